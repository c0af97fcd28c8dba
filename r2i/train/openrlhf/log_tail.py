"""What a training printed: the cause of its end, and whether it still prints."""

import os
import re
import time
from pathlib import Path

from r2i.endpoint.launch import EXCEPTION_LINE
from r2i.endpoint.quote import hide_key

TAIL = 12  # lines that an error shows
READ = 2**18  # bytes at the end of the log in which the cause is looked for
WRAPPERS = ("RayTaskError", "RayActorError", "ActorDiedError", "WorkerCrashedError", "CalledProcessError")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
NO_MEMORY = re.compile(r"out of memory|OutOfMemory|No available memory for the cache blocks", re.IGNORECASE)


def log_begun(log: Path, what: str) -> int:
    """Add a line that says what begins; its end, in bytes."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        file.write(f"\n=== {what}\n".encode())
        return file.tell()


def last_words(log: Path, began: int, secrets: tuple[str, ...] = ()) -> str:
    """The error that ended it, of all it printed since `began`, and the last lines. Of much, the last part."""
    lines = _lines(log, began, secrets)
    cause = find_cause(lines)
    shown = "\n".join(f"    {line[:300]}" for line in lines[-TAIL:] or ["(nothing)"])
    return (f"{cause}; " if cause else "") + f"the end of its log:\n{shown}"


def find_cause(lines: list[str]) -> str:
    """The last error that is no mere report of another process's; empty where there is none."""
    errors = [found.group()[:500] for line in lines if (found := EXCEPTION_LINE.search(line))]
    own = [error for error in errors if not any(wrapper in error.split(":")[0] for wrapper in WRAPPERS)]
    return (own or errors or [""])[-1]


def remedy_for(cause: str, log: Path) -> str:
    """What to do next."""
    if NO_MEMORY.search(cause):
        what = "lower train.cluster.memory_share, or dapo.max_pixels, max_prompt and max_response, or add GPUs"
        return f"{what} (`r2i estimate` says what a GPU must hold); run again to go on; the whole log is {log}"
    return f"run again to go on from the last checkpoint, once the cause is gone; the whole log is {log}"


class Silence:
    """How long a training has said nothing: neither in its log nor in its scalars."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._last, self._since = self._state(0), time.monotonic()

    def seconds(self, lines: int) -> float:
        """`lines`: of the curve, so far."""
        if (state := self._state(lines)) != self._last:
            self._last, self._since = state, time.monotonic()
        return time.monotonic() - self._since

    def _state(self, lines: int) -> tuple[int, int]:
        return (self.log.stat().st_size if self.log.exists() else 0), lines


def _lines(log: Path, began: int, secrets: tuple[str, ...]) -> list[str]:
    with log.open("rb") as file:
        file.seek(max(began, file.seek(0, os.SEEK_END) - READ))
        text = COLOUR.sub("", file.read().decode("utf-8", "replace"))
    for secret in secrets:
        text = hide_key(text, secret)
    return [line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()]
