"""A job on a real Ray cluster of this machine: submitted, followed, found again, stopped."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("openrlhf")
pytest.importorskip("ray")

from r2i.endpoint.launch import free_port
from r2i.train.openrlhf.environment import Environment
from r2i.train.openrlhf.launch import gpus_there, wait_while_alive
from r2i.train.openrlhf.ray_job import RayJob

HEAD = """
import sys, ray
ray.init(address="local", include_dashboard=True, dashboard_port=int(sys.argv[1]), num_cpus=2, num_gpus=2)
print("up", flush=True)
sys.stdin.read()
"""
ENVIRONMENT = Environment({"WORD": "told"}, {"KEY": "sk-secret"}, ())


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster with two made-up GPUs, for as long as this module runs."""
    port = free_port()
    given = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "CUDA_VISIBLE_DEVICES")}
    given["RAY_DASHBOARD_SUBPROCESS_MODULE_WAIT_READY_TIMEOUT"] = "180"  # seconds: a busy machine is slow
    command = [sys.executable, "-c", HEAD, str(port)]
    with subprocess.Popen(command, env=given, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as head:
        assert head.stdout and head.stdin
        while line := head.stdout.readline():
            if line.strip() == "up":
                break
        assert line, "Ray did not start"
        yield f"http://127.0.0.1:{port}"
        head.stdin.close()


def job(address: str, log: Path, code: str, name: str) -> RayJob:
    found = RayJob.found(ENVIRONMENT, log, address, name, whole=lambda: True)
    return found or RayJob.submitted(["-c", code], ENVIRONMENT, log, address, name)


def said(log: Path, word: str) -> bool:
    end = time.monotonic() + 60
    while word not in log.read_text():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def test_its_gpus_are_counted(address: str) -> None:
    assert gpus_there(address) == 2


def test_a_job_is_followed_to_its_end(address: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    good = job(address, log, "import os; print(os.environ['WORD'], os.environ['KEY'][:3])", "good")
    assert not wait_while_alive(good, 120) and good.ended_as() == ""
    assert said(log, "told sk-") and "sk-secret" not in log.read_text()
    again = job(address, tmp_path / "again", "0 / 0", "good")  # its result is taken
    assert again.job == good.job and not wait_while_alive(again, 120) and again.ended_as() == ""
    bad = job(address, log, "import os; raise KeyError('no latest', os.environ['KEY'])", "bad")
    assert not wait_while_alive(bad, 120) and bad.ended_as().startswith("failed")
    assert "('no latest', '***')" in bad.ended_as() and said(log, "no latest")


def test_a_job_left_behind_is_followed_by_the_next_run_and_can_be_stopped(address: str, tmp_path: Path) -> None:
    code = "import time; print('going', flush=True); time.sleep(300)"
    first = job(address, tmp_path / "first", code, "left")
    assert said(tmp_path / "first", "going")
    second = job(address, tmp_path / "second", code, "left")
    assert second.job == first.job and said(tmp_path / "second", "going")
    second.stop()
    assert second.ended_as().startswith("stopped") and not wait_while_alive(first, 10)
    third = job(address, tmp_path / "third", "print('anew')", "left")
    assert third.job != first.job and not wait_while_alive(third, 120)
