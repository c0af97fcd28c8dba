"""A cache of files of pools and benchmarks, hashed once by size and modification time, and of what was seen in images.

It is `.r2i/pools.sqlite`, may be deleted at any time, and is safe for several processes.
"""

import json
import os
import sqlite3
import sys
import zlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

TIMEOUT_S = 60.0  # for another process that writes
BUFFERED = 1000  # files in memory before they are written

CREATE = """CREATE TABLE IF NOT EXISTS files_1 (
    path BLOB, variant TEXT, size INTEGER, mtime_ns INTEGER, entries BLOB, PRIMARY KEY (path, variant)
) WITHOUT ROWID"""

CREATE_INSPECTIONS = """CREATE TABLE IF NOT EXISTS inspections_1 (
    image_id TEXT, rules TEXT, inspection TEXT, PRIMARY KEY (image_id, rules)
) WITHOUT ROWID"""


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One image in a file of a pool.

    `name`: inside the file, empty where the whole file is the image. `start`: its first byte in the
    (uncompressed) file, None where it is not read by offset. `fault`: why it can't be read; then `sha256` is empty.
    """

    name: str
    start: int | None
    size: int | None
    sha256: str
    fault: str = ""


class HashCache:
    """The entries of each file. Where the database can't be used it says so on stderr, and every file is hashed.

    The database is opened at the first lookup.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unwritten: list[tuple[bytes, str, int, int, bytes]] = []
        self.unwritten_inspections: list[tuple[str, str, str]] = []
        self.db: sqlite3.Connection | None = None
        self.is_tried = False

    def _open(self) -> sqlite3.Connection | None:
        if self.is_tried:
            return self.db
        self.is_tried = True
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.db = sqlite3.connect(self.path, timeout=TIMEOUT_S)
            with self.db:
                self.db.execute(CREATE)
                self.db.execute(CREATE_INSPECTIONS)
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)
        return self.db

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.flush()
        if self.db:
            self.db.close()

    def find(self, path: str, variant: str, stat: os.stat_result) -> list[ImageEntry] | None:
        """The entries of the file `path`; None where it is new or has changed. `variant`: how it is read."""
        return self.find_all([(path, stat)], variant)[0]

    def find_all(self, files: Sequence[tuple[str, os.stat_result]], variant: str) -> list[list[ImageEntry] | None]:
        """`find` of each of some hundred files, in one look at the database."""
        db, here = self._open(), os.getcwd()  # noqa: PTH109 - millions
        if not db:
            return [None] * len(files)
        keys = [_key(path, here) for path, _ in files]
        places = ", ".join("?" * len(keys))
        ask = f"SELECT path, size, mtime_ns, entries FROM files_1 WHERE variant = ? AND path IN ({places})"
        try:
            known = {path: (size, mtime, data) for path, size, mtime, data in db.execute(ask, (variant, *keys))}
            return [
                _entries(known[key][2]) if known.get(key, ())[:2] == (stat.st_size, stat.st_mtime_ns) else None
                for key, (_, stat) in zip(keys, files, strict=True)
            ]
        except (sqlite3.Error, zlib.error, ValueError, TypeError) as error:
            self._give_up(error)
            return [None] * len(files)

    def add(self, path: str, variant: str, stat: os.stat_result, entries: list[ImageEntry]) -> None:
        """Remember the entries of a file that was hashed."""
        if not self.db:
            return
        data = zlib.compress(json.dumps([astuple(entry) for entry in entries]).encode(), 1)
        key = _key(path, os.getcwd())  # noqa: PTH109 - millions
        self.unwritten.append((key, variant, stat.st_size, stat.st_mtime_ns, data))
        if len(self.unwritten) >= BUFFERED:
            self.flush()

    def find_inspection(self, image_id: str, rules: str) -> str | None:
        """What was added under this image's sha256 and these rules; None where nothing was."""
        db = self._open()
        if not db:
            return None
        ask = "SELECT inspection FROM inspections_1 WHERE image_id = ? AND rules = ?"
        try:
            row = db.execute(ask, (image_id, rules)).fetchone()
            return str(row[0]) if row else None
        except sqlite3.Error as error:
            self._give_up(error)
            return None

    def add_inspection(self, image_id: str, rules: str, inspection: str) -> None:
        """Remember what an inspection by `rules` (a digest of code and params) gave."""
        if not self.db:
            return
        self.unwritten_inspections.append((image_id, rules, inspection))
        if len(self.unwritten_inspections) >= BUFFERED:
            self.flush()

    def flush(self) -> None:
        """Write what was added."""
        if not self.db:
            return
        try:
            with self.db:
                self.db.executemany("INSERT OR REPLACE INTO files_1 VALUES (?, ?, ?, ?, ?)", self.unwritten)
                known = self.unwritten_inspections
                self.db.executemany("INSERT OR REPLACE INTO inspections_1 VALUES (?, ?, ?)", known)
        except sqlite3.Error as error:
            self._give_up(error)
        self.unwritten.clear()
        self.unwritten_inspections.clear()

    def _give_up(self, error: Exception) -> None:
        print(f"{self.path} can't be used ({error}): every file is hashed; delete it if it is damaged", file=sys.stderr)
        if self.db:
            self.db.close()
        self.db = None


def _key(path: str, here: str) -> bytes:
    return os.fsencode(os.path.normpath(os.path.join(here, path)))  # noqa: PTH118 - millions


def _entries(data: bytes) -> list[ImageEntry]:
    return [ImageEntry(*values) for values in json.loads(zlib.decompress(data))]
