"""Bytes kept on disk until the table is written, those of compressed tars too."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from r2i.core.spool import Spool

CHUNK = 2**17
OPEN: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}


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
            unpack = OPEN.get(file.read(2))
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
