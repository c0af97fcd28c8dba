"""Pictures as benchmarks hold them -> their bytes; and where the views lie until the table is written."""

import base64
import binascii
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from r2i.core.errors import ImageError

LONGEST_NAME = 1024  # characters: what is longer is base64, no path
BESIDE = ("", "images", "imgs", "image", "img", "data")  # folders beside a benchmark's file


def read_picture(cell: Any, folder: Path) -> bytes:
    """The source file's bytes of an image column.

    `cell`: bytes; `{bytes, path}` as `datasets` writes them; a path, relative to `folder`; base64, also as a
    data URL; or a list of one of these. Raises ImageError: `no_image`, `missing_image` (no such file, no base64),
    `several_images`.
    """
    if isinstance(cell, list | tuple):
        if len(cell) > 1:
            raise ImageError("several_images")
        cell = cell[0] if cell else None
    if isinstance(cell, Mapping):
        cell = cell.get("bytes") or cell.get("path")
    if isinstance(cell, bytes | bytearray):
        return bytes(cell)
    if not isinstance(cell, str) or not cell.strip():
        raise ImageError("no_image")
    if len(cell) <= LONGEST_NAME and (file := find_file(cell, folder)):
        return file.read_bytes()
    return _unpack(cell)


def find_file(name: str, folder: Path) -> Path | None:
    """The file that `name` means: the path itself, or its end in `folder` or in a usual folder there.

    Names are often relative to where the publisher's script ran.
    """
    path = Path(name)
    ends = [path] + [Path(*path.parts[-count:]) for count in (3, 2, 1) if len(path.parts) > count]
    candidates = (folder / beside / end for end in ends for beside in BESIDE)
    try:
        return next((file for file in candidates if file.is_file()), None)
    except (OSError, ValueError):  # a name that is none: too long, or with NUL
        return None


def _unpack(text: str) -> bytes:
    head, comma, body = text.partition(",")
    try:
        return base64.b64decode("".join((body if comma and head.startswith("data:") else text).split()), validate=True)
    except binascii.Error as error:
        raise ImageError("missing_image") from error


class Kept:
    """Bytes in an unnamed file in `folder`, so that memory holds no pictures; gone when the block ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.file:
            self.file.close()

    def keep(self, data: bytes) -> Callable[[], bytes]:
        """Write `data`; the function gives it back."""
        if self.file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - closed with the block
        start = self.file.seek(0, 2)
        self.file.write(data)
        return partial(_part, self.file, start, len(data))


def _part(file: IO[bytes], start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)
