"""What a training printed: the cause of its end, and whether it still prints."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from r2i.endpoint.launch import EXCEPTION_LINE

TAIL = 12  # lines that an error shows
READ = 2**18  # bytes at the end of the log in which the cause is looked for
WRAPPERS = ("RayTaskError", "RayActorError", "ActorDiedError", "WorkerCrashedError", "CalledProcessError")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
MERE_WARNING = re.compile(r"\b(?:DEBUG|INFO|WARNING)\b|\b[IW]\d{4} \d\d:|\b\w+Warning: ")  # of loggers and Python
NO_MEMORY = re.compile(r"out of memory|OutOfMemory|No available memory for the cache blocks", re.IGNORECASE)


def log_begun(log: Path, what: str) -> int:
    """Add a line that says what begins; its end, in bytes."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        file.write(f"\n=== {what}\n".encode())
        return file.tell()


def last_words(log: Path, began: int, ended: bool, hide: Callable[[str], str] = str) -> str:
    """The last lines that it printed since `began`; before them, where it has `ended`, the error that ended it. Of a
    training that is silent no error is known: what it warned of before, it went on after. `hide` takes the keys out."""
    lines = _lines(log, began, hide)
    cause = find_cause(lines) if ended else ""
    shown = "\n".join(f"    {line[:300]}" for line in lines[-TAIL:] or ["(nothing)"])
    return (f"{cause}; " if cause else "") + f"the end of its log:\n{shown}"


def find_cause(lines: list[str]) -> str:
    """The last error that is neither a warning nor a mere report of another process's; empty where there is none."""
    told = [line for line in lines if not MERE_WARNING.search(line)]
    errors = [found.group()[:500] for line in told if (found := EXCEPTION_LINE.search(line))]
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


def _lines(log: Path, began: int, hide: Callable[[str], str]) -> list[str]:
    with log.open("rb") as file:
        file.seek(max(began, file.seek(0, os.SEEK_END) - READ))
        text = hide(COLOUR.sub("", file.read().decode("utf-8", "replace")))
    return [line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()]
