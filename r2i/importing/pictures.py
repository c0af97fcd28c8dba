"""A cell that holds a picture -> the bytes of its file."""

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r2i.core.errors import ImageError

LONGEST_PATH = 4096  # characters: what is longer is base64
BESIDE = ("", "images", "imgs", "image", "img", "data")  # folders beside a dataset's file


def read_picture(cell: Any, folder: Path) -> bytes:
    """The file's bytes of the one picture in `cell`.

    `cell`: bytes; `{bytes, path}` as `datasets` writes them; a path (see find_file); base64, also as a data URL; or a
    list of one of these. Raises ImageError: `no_image`, `several_images`, `missing_image` (no such file, no base64),
    `image_is_a_url` (nothing is fetched), `unreadable` (a file that can't be opened).
    """
    if isinstance(cell, list | tuple):
        if len(cell) > 1:
            raise ImageError("several_images")
        cell = cell[0] if cell else None
    if isinstance(cell, Mapping):
        cell = cell.get("bytes") or cell.get("path")
    if isinstance(cell, str) and cell.strip():
        return _read_named(cell.strip(), folder)
    if isinstance(cell, bytes | bytearray) and cell:
        return bytes(cell)
    raise ImageError("no_image")


def _read_named(text: str, folder: Path) -> bytes:
    if re.match(r"https?://", text):
        raise ImageError("image_is_a_url")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    elif file := find_file(text.removeprefix("file://"), folder):
        try:
            return file.read_bytes()
        except OSError as error:
            raise ImageError("unreadable") from error
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise ImageError("missing_image") from error


def find_file(name: str, folder: Path) -> Path | None:
    """The file that `name` means: the path itself, or its end in `folder` or in a usual folder there.

    Names are often relative to where the publisher's script ran.
    """
    if len(name) > LONGEST_PATH:
        return None
    path = Path(name)
    ends = [path] + [Path(*path.parts[-count:]) for count in (3, 2, 1) if len(path.parts) > count]
    candidates = (folder / beside / end for end in ends for beside in BESIDE)
    try:
        return next((file for file in candidates if file.is_file()), None)  # no pipe: reading one would block
    except (OSError, ValueError):  # a name that is none: too long, or with NUL
        return None
