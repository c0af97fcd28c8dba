"""Bytes kept on disk until a table is written, so that memory holds no pictures."""

import bz2
import gzip
import lzma
import tempfile
import threading
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

CHUNK = 2**17  # bytes
UNPACK: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
"""What opens a compressed tar, by its first two bytes."""


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


class TarSpool(Spool):
    """A spool that also keeps compressed tars, unpacked."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.tars: dict[str, IO[bytes]] = {}

    def unpacked(self, path: str, start: int, size: int) -> bytes:
        """Bytes of a compressed tar, which is unpacked when it is first asked for. Raises OSError."""
        if path not in self.tars:
            self.tars[path] = self._unpack(path)
        return self.part(self.tars[path], start, size)

    def _unpack(self, path: str) -> IO[bytes]:
        with Path(path).open("rb") as file:
            unpack = UNPACK.get(file.read(2))
        if unpack is None:
            raise OSError(f"{path} is not compressed any more")
        whole = self.new_file()
        with unpack(path, "rb") as packed:
            try:
                while data := packed.read1(CHUNK):  # `read` would lose what comes before the tear
                    whole.write(data)
            except (EOFError, OSError, zlib.error, lzma.LZMAError):
                pass  # torn: what came before is good, and is checked by its hash
        return whole
