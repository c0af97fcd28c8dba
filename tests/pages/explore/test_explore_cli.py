"""`r2i explore` as a process: its address, its end, and what it refuses."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]


def start(at: Path, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "r2i.cli.main", "explore", *options]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, cwd=at, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_ends_cleanly(tmp_path: Path, end: signal.Signals) -> None:
    """In a folder without any table: it starts, and its page says what to run."""
    server = start(tmp_path, "--port", "0")
    assert server.stdout
    address = server.stdout.readline().split()[0]
    assert address.startswith("http://127.0.0.1:")
    page = urllib.request.urlopen(address, timeout=30).read().decode()
    assert "dvc repro sample" in page
    server.send_signal(end)
    _, errors = server.communicate(timeout=20)
    assert "Traceback" not in errors
    assert server.returncode in ((0,) if end == signal.SIGINT else (0, -signal.SIGTERM))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "127.0.0.2"], ""),
        (["--host", "0.0.0.0", "--expose"], "--allow-host NAME"),
        (["--host", "0.0.0.0", "--expose", "--allow-host", "Lab.example"], "http://lab.example:"),
    ],
)
def test_the_address_that_it_prints_is_answered(tmp_path: Path, options: list[str], said: str) -> None:
    server = start(tmp_path, "--port", "0", *options)
    assert server.stdout
    address = server.stdout.readline().split()[0]
    allowed = urllib.request.Request(address, headers={"Host": options[-1]} if "--allow-host" in options else {})
    try:
        assert urllib.request.urlopen(address, timeout=30).status == 200
        assert urllib.request.urlopen(allowed, timeout=30).status == 200
    finally:
        server.send_signal(signal.SIGINT)
        output = server.stdout.read()
        server.communicate(timeout=20)
    assert said in output


def test_a_taken_port_and_other_machines_are_refused_with_a_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for options, remedy in (
            (["--port", str(taken.getsockname()[1])], "--port 0"),
            (["--host", "0.0.0.0"], "--expose"),
        ):
            server = start(tmp_path, *options)
            _, errors = server.communicate(timeout=60)
            assert server.returncode == 1 and "error:" in errors and remedy in errors and "Traceback" not in errors


def test_params_that_are_broken_do_not_stop_it(tmp_path: Path) -> None:
    """They are needed for photographs in pools alone."""
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"profile": "none"}))
    server = start(tmp_path, "--port", "0")
    assert server.stdout
    assert server.stdout.readline().startswith("http://")
    server.send_signal(signal.SIGINT)
    server.communicate(timeout=20)
    assert server.returncode == 0
