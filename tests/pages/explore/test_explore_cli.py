"""`r2i explore` as a process: its address, its end, and what it refuses."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
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
            assert server.returncode == 1 and remedy in errors
            assert errors.startswith("error:") and len(errors.splitlines()) == 2  # nothing of threads, nothing of leaks


def test_params_that_are_broken_do_not_stop_it(tmp_path: Path) -> None:
    """They are needed for photographs in pools alone."""
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"profile": "none"}))
    server = start(tmp_path, "--port", "0")
    assert server.stdout
    assert server.stdout.readline().startswith("http://")
    server.send_signal(signal.SIGINT)
    server.communicate(timeout=20)
    assert server.returncode == 0


@pytest.mark.parametrize("after", [0.0, 0.1, 0.5])
def test_ctrl_c_right_after_the_start_ends_it_without_a_word(made_lab: Path, after: float) -> None:
    """Its tables are being read in a thread then."""
    server = start(made_lab, "--port", "0")
    assert server.stdout and server.stdout.readline().startswith("http://")
    time.sleep(after)
    server.send_signal(signal.SIGINT)
    output, errors = server.communicate(timeout=30)
    assert (output, errors, server.returncode) == ("stopped\n", "", 0)


def test_on_all_addresses_other_machines_need_a_name_that_was_allowed(tmp_path: Path) -> None:
    own = own_address()
    server = start(tmp_path, "--port", "0", "--host", "0.0.0.0", "--expose", "--allow-host", "lab.example")
    assert server.stdout
    port = server.stdout.readline().split()[0].rstrip("/").rpartition(":")[2]
    try:
        for name, status in (("localhost", 400), ("127.0.0.1", 400), ("lab.example", 200)):
            asked = urllib.request.Request(f"http://{own}:{port}/", headers={"Host": f"{name}:{port}"})
            try:
                found = urllib.request.urlopen(asked, timeout=30).status
            except urllib.error.HTTPError as error:
                found = error.code
            assert (name, found) == (name, status)
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=20)


def own_address() -> str:
    """An address of this machine by which its own requests come from that address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no other address than the loopback's")
        return str(probe.getsockname()[0])
