"""Adding decisions to their file: several processes and threads at once, nothing lost when one is killed."""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from r2i.core.errors import R2IError
from r2i.review.decisions import Decision, Decisions, parse_lines


def append(path: Path, decision: Decision) -> None:
    """Write one line, and return when the disk has it. A torn last line is ended first.

    Raises R2IError where nothing can be written there: then the decision is not kept.
    """
    line = decision.model_dump_json(exclude_none=True).encode() + b"\n"
    try:
        with _locked(path) as file:
            torn = os.fstat(file).st_size > 0 and os.pread(file, 1, os.fstat(file).st_size - 1) != b"\n"
            _write_all(file, b"\n" * torn + line)
            os.fsync(file)
    except OSError as error:
        raise R2IError(
            f"the decision was not kept: {path} ({error})", "make room or give rights, then decide again"
        ) from error


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The file, open to append and to be read, ours alone. git replaces files: one that was replaced is opened anew."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_still(path, file):
                if new:
                    _sync_folder(path.parent)
                yield file
                return
        finally:
            os.close(file)  # the lock goes with it


def _is_still(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


class Log:
    """A file of decisions that others write to as well: read again when it has changed. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._read = Decisions()
        self._lock = threading.Lock()

    def read(self) -> Decisions:
        with self._lock:
            seen = self._look()
            if seen != self._seen:
                self._read, self._seen = parse_lines(self.path.read_bytes() if seen else b""), seen
            return self._read

    def add(self, decision: Decision) -> None:
        """Raises R2IError where it can't be kept."""
        append(self.path, decision)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_size, stat.st_mtime_ns
