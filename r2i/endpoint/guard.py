"""Runs a server as long as the stage that uses it: `python guard.py STAGE_PID COMMAND...`.

The stage holds the write end of the pipe that is this process's standard input, and never writes. However the stage
ends (kill -9 too), the pipe is closed, and the server with all its processes is stopped: TERM, and KILL for what is
left after 10 s. Shared memory that they leave is removed. The server is in a process group of its own and this
process leads a session of its own, so that Ctrl-C in the terminal reaches the stage alone.

Standard library only, and run as a file: it starts fast and takes little memory.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

GRACE_S = 10.0  # between TERM and KILL
LAST_S = 5.0  # after KILL: a process in uninterruptible sleep may never end
POLL_S = 0.2  # between two checks of the server
LOOK_S = 5.0  # between two looks at its shared memory
NOT_STARTED = 127  # exit code where the command can't be run, as shells have it
SHARED = "/dev/shm/"
SHARED_NAMES = ("psm_", "sem.mp-", "nccl-")  # of Python and of NCCL
SET_PDEATHSIG, SET_CHILD_SUBREAPER = 1, 36  # of prctl(2)


def main(stage: int, command: list[str]) -> int:
    """Run `command` until it or the process `stage` ends: its exit code, 128 + n for signal n, 0 if it was stopped."""
    signals: list[int] = []
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, lambda number, _: signals.append(number))
    prctl = _find_prctl()
    prctl(SET_CHILD_SUBREAPER, 1)  # orphans of the server become our children, which `_children` lists
    try:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=lambda: prctl(SET_PDEATHSIG, signal.SIGTERM),  # should this process be killed
        )
    except OSError as error:
        print(f"{command[0]} can't be run: {error.strerror}", file=sys.stderr)
        return NOT_STARTED
    segments = Segments()
    while server.poll() is None and not signals and not _has_ended(stage):
        segments.look()
    code = server.poll()
    segments.look(LOOK_S)
    stop_all(server)
    segments.remove()
    if code is None:
        return 0
    return code if code >= 0 else 128 - code


class Segments:
    """Named shared memory of the server's processes. Where these are killed it stays, with all its bytes, until the
    machine is restarted: a vLLM leaves 160 MiB."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._looked = 0.0

    def look(self, early_s: float = 0.0) -> None:
        """See, each LOOK_S seconds, what they map; with `early_s` so much earlier."""
        if time.monotonic() - self._looked >= LOOK_S - early_s:
            self._looked = time.monotonic()
            self.names |= _mapped(descendants(os.getpid()))

    def remove(self) -> None:
        """What no process maps any more."""
        for name in self.names - _mapped(_processes()) if self.names else ():
            with suppress(OSError):
                Path(SHARED, name).unlink()


def _mapped(processes: Iterable[int]) -> set[str]:
    names: set[str] = set()
    for pid in processes:
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines()
            names |= {line.partition(SHARED)[2] for line in lines if SHARED in line}
    return {name for name in names if name.startswith(SHARED_NAMES) and " (deleted)" not in name}


def _processes() -> list[int]:
    with suppress(OSError):
        return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return []


def descendants(root: int) -> set[int]:
    """The processes below `root`, on Linux."""
    parents: dict[int, int] = {}
    for pid in _processes():
        with suppress(OSError, ValueError, IndexError):
            parents[pid] = int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    found, new = set[int](), {root}
    while new:
        new = {pid for pid, parent in parents.items() if parent in new}
        found |= new
    return found


def _find_prctl() -> Callable[[int, int], None]:
    """Linux's prctl with one argument; elsewhere a no-op: the pipe and the process group have to do."""
    if sys.platform != "linux":
        return lambda option, value: None
    function = ctypes.CDLL(None).prctl
    return lambda option, value: function(option, ctypes.c_ulong(value), 0, 0, 0) and None


def _has_ended(stage: int) -> bool:
    """Wait POLL_S for the pipe to close. A child that the stage forked may hold it open, so the parent counts too."""
    ready, _, _ = select.select([0], [], [], POLL_S)
    return bool(ready and not os.read(0, 1)) or os.getppid() != stage


def stop_all(server: subprocess.Popen[bytes]) -> None:
    """Send TERM to the group of `server` and to what has left the group, then KILL to what still runs."""
    _signal(server.pid, signal.SIGTERM)
    if _wait(server, time.monotonic() + GRACE_S):
        return
    end = time.monotonic() + LAST_S
    while time.monotonic() < end:
        _signal(server.pid, signal.SIGKILL)
        if _wait(server, time.monotonic() + POLL_S):
            return


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
    for child in _children():
        with suppress(ProcessLookupError, PermissionError):
            if os.getpgid(child) != group:  # else it has the signal, and some take a second one for haste
                os.kill(child, number)


def _children() -> list[int]:
    """Process ids of the server and, on Linux, of its orphans."""
    with suppress(OSError):
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    return []


def _wait(server: subprocess.Popen[bytes], end: float) -> bool:
    """Whether all have ended by `end`, on the monotonic clock."""
    while _any_alive(server):
        if time.monotonic() >= end:
            return False
        time.sleep(0.02)
    return True


def _any_alive(server: subprocess.Popen[bytes]) -> bool:
    """Whether a process of the group, or a child of ours, is alive; reaps those that are not."""
    server.poll()
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True  # a child, alive
    try:
        os.killpg(server.pid, 0)
    except (ProcessLookupError, PermissionError):  # macOS: no permission for a group of zombies
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
