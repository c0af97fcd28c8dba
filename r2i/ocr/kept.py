"""Outlines of pictures that were looked at before, in `.r2i/outlines.sqlite`: four stages look at the same ones.

An outline is a function of the picture's pixels, the packages' versions and the kind of machine, which are its key. The
file may be deleted at any time and is safe for several processes; where it can't be used, pictures are outlined anew.
"""

import json
import sqlite3
from contextlib import suppress
from functools import cache

from PIL import Image

from r2i.core import paths
from r2i.core.fingerprint import library_versions, machine
from r2i.core.ids import make_id
from r2i.core.images import sha256
from r2i.ocr.engines import LIBRARIES, Line, find_lines

TIMEOUT_S = 30.0  # for another process that writes
CREATE = "CREATE TABLE IF NOT EXISTS outlines_1 (key TEXT PRIMARY KEY, lines TEXT) WITHOUT ROWID"


def outline(image: Image.Image, faint: bool = False) -> list[Line]:
    """`find_lines`, once for the same pixels. Raises EndpointError where the package is missing."""
    key = f"{_versions()} {picture_key(image)}{' faint' * faint}"
    if (known := _find(key)) is not None:
        return known
    found = find_lines(image, faint)
    with suppress(sqlite3.Error, OSError):
        _open().execute("INSERT OR REPLACE INTO outlines_1 VALUES (?, ?)", (key, json.dumps(found)))
    return found


def picture_key(image: Image.Image) -> str:
    """The sha256 of an RGB picture's size and pixels."""
    return sha256(f"{image.size} ".encode() + image.tobytes())


def _find(key: str) -> list[Line] | None:
    with suppress(sqlite3.Error, OSError, ValueError, TypeError, IndexError):
        row = _open().execute("SELECT lines FROM outlines_1 WHERE key = ?", (key,)).fetchone()
        if row:
            return [Line(tuple((x, y) for x, y in quad), score) for quad, score in json.loads(row[0])]  # type: ignore[arg-type]
    return None


@cache
def _open() -> sqlite3.Connection:
    file = paths.state_folder() / "outlines.sqlite"
    file.parent.mkdir(parents=True, exist_ok=True)
    opened = sqlite3.connect(file, timeout=TIMEOUT_S, isolation_level=None, check_same_thread=False)
    opened.execute(CREATE)
    return opened


@cache
def _versions() -> str:
    return make_id(library_versions(LIBRARIES["rapidocr"]), machine())
