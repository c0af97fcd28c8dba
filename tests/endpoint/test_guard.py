"""The guard removes what its server's processes leave in shared memory, however these end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from r2i.endpoint import guard

SERVER = """
import os, time
from multiprocessing import resource_tracker, shared_memory
made = shared_memory.SharedMemory(create=True, size=1000)
print(made.name, os.getpid(), resource_tracker._resource_tracker._pid, flush=True)
time.sleep(600)
"""
GUARD = f"""
import sys
sys.path.insert(0, {str(Path(guard.__file__).parent)!r})
import guard
guard.LOOK_S, guard.GRACE_S = 0.1, 1.0
sys.exit(guard.main(int(sys.argv[1]), sys.argv[2:]))
"""

pytestmark = pytest.mark.skipif(not Path(guard.SHARED).is_dir(), reason="no shared memory of names here")


def end_by_the_stage(process: subprocess.Popen[str], pids: list[int]) -> None:
    for pid in pids[1:]:
        os.kill(pid, signal.SIGSTOP)  # the tracker, which would tidy up itself, is killed before it can
    process.stdin.close()


def kill_all(process: subprocess.Popen[str], pids: list[int]) -> None:
    time.sleep(2 * guard.POLL_S)  # in which the guard has looked
    for pid in reversed(pids):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("end", [end_by_the_stage, kill_all])
def test_no_segment_is_left(end: Callable[[subprocess.Popen[str], list[int]], None], tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    command = [sys.executable, "-c", GUARD, str(os.getpid()), sys.executable, str(tmp_path / "server.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdin
        name, *pids = process.stdout.readline().split()
        segment = Path(guard.SHARED) / name.lstrip("/")
        assert segment.exists()
        end(process, [int(pid) for pid in pids])
        process.wait(30)
    assert not segment.exists()
