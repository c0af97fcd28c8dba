"""Bytes kept on disk until the table is written, so that memory holds no pictures."""

import bz2
import gzip
import lzma
import tempfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

CHUNK = 2**17
OPEN: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}


class Spool:
    """Unnamed files in `folder`, made when there is something to keep; gone when the block or the process ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept: IO[bytes] | None = None
        self.tars: dict[str, IO[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for file in [*self.tars.values(), *([self.kept] if self.kept else [])]:
            file.close()

    def keep(self, data: bytes) -> Callable[[], bytes]:
        """Write `data`; the function gives it back."""
        if self.kept is None:
            self.kept = self._new()
        start = self.kept.seek(0, 2)
        self.kept.write(data)
        return partial(_part, self.kept, start, len(data))

    def unpacked(self, path: str, start: int, size: int) -> bytes:
        """Bytes of a compressed tar, which is unpacked when it is first asked for. Raises OSError."""
        if path not in self.tars:
            self.tars[path] = self._unpack(path)
        return _part(self.tars[path], start, size)

    def _unpack(self, path: str) -> IO[bytes]:
        with Path(path).open("rb") as file:
            unpack = OPEN.get(file.read(2))
        if unpack is None:
            raise OSError(f"{path} is not compressed any more")
        whole = self._new()
        with unpack(path, "rb") as packed:
            try:
                while data := packed.read1(CHUNK):  # `read` would lose what comes before the tear
                    whole.write(data)
            except (EOFError, OSError, zlib.error, lzma.LZMAError):
                pass  # torn: what came before is good, and is checked by its hash
        return whole

    def _new(self) -> IO[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=self.folder)


def _part(file: IO[bytes], start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)
