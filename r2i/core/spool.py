"""Bytes kept on disk until a table is written, so that memory holds no pictures."""

import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Self


class Spool:
    """Unnamed files in `folder`, made when there is something to keep; gone when the block or the process ends.

    Threads may share it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = ExitStack()
        self.kept: IO[bytes] | None = None
        self.lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self.files.close()

    def keep(self, data: bytes) -> Callable[[], bytes]:
        """Write `data`; the function gives it back."""
        with self.lock:
            if self.kept is None:
                self.kept = self.new_file()
            start = self.kept.seek(0, 2)
            self.kept.write(data)
            return partial(self.part, self.kept, start, len(data))

    def new_file(self) -> IO[bytes]:
        """A further file, which goes when the spool goes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.files.enter_context(tempfile.TemporaryFile(dir=self.folder))

    def part(self, file: IO[bytes], start: int, size: int) -> bytes:
        """`size` bytes of one of the files, from `start`."""
        with self.lock:
            file.seek(start)
            return file.read(size)
