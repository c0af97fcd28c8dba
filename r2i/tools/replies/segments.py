"""Write segments of the archive; r2i.endpoint.archive describes and reads them."""

import contextlib
import os
import sqlite3
import uuid
import zlib
from collections.abc import Iterable
from pathlib import Path

from r2i.core.errors import R2IError
from r2i.core.images import file_sha256
from r2i.endpoint.archive import PREFIX, TABLES

MAX_BYTES = 64_000_000  # of a segment
PAGE = 16384  # bytes: about twenty records, so that the tree of a full segment has few levels


def write_segments(folder: Path, records: Iterable[tuple[str, bytes]], limit: int = MAX_BYTES) -> list[Path]:
    """Write `records`, (key, bytes) in order of keys, into new segments of at most `limit` bytes.

    Each appears whole, under its name, when it is full; killed at any time, at most one part file is left.
    The same records give the same bytes. Raises R2IError where the folder can't be written.
    """
    paths: list[Path] = []
    part: _Part | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for key, data in records:
            body = zlib.compress(data)
            if part and part.size_with(body) > limit:
                paths.append(part.finish())
                part = None
            part = part or _Part(folder)
            part.add(key, body)
        if part:
            paths.append(part.finish())
            part = None
    except (OSError, sqlite3.Error) as error:
        raise R2IError(
            f"the archive {folder} can't be written: {error}", "free some space or set R2I_REPLIES; then run again"
        ) from error
    finally:
        if part:
            part.drop()
    return paths


class _Part:
    """A segment that is being written."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f".{uuid.uuid4().hex}.part"
        self.keys = bytearray()
        self.connection = sqlite3.connect(self.path, isolation_level=None)
        # neither journal nor syncs: a torn part is discarded; `finish` syncs the whole
        for pragma in (f"page_size = {PAGE}", "journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
            self.connection.execute(f"PRAGMA {pragma}")
        self.connection.executescript(f"BEGIN; {TABLES}")

    def size_with(self, body: bytes) -> int:
        """An upper bound of the file's bytes once `body` is added and the part is finished."""
        pages = self.connection.execute("PRAGMA page_count").fetchone()[0]
        added = len(body) + len(self.keys) + PREFIX
        return int(pages + added // (PAGE - 4) + 8) * PAGE  # 8: pages that split or are started

    def add(self, key: str, body: bytes) -> None:
        binary = bytes.fromhex(key)
        self.connection.execute("INSERT INTO records VALUES (?, ?)", (binary, body))
        self.keys += binary[:PREFIX]

    def finish(self) -> Path:
        """Write the prefixes, sync to the disk, and rename the file to the sha256 of its bytes."""
        self.connection.execute("INSERT INTO prefixes VALUES (?)", (bytes(self.keys),))
        self.connection.execute("COMMIT")
        self.connection.close()
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        final = self.path.with_name(f"{file_sha256(self.path)}.sqlite")
        os.replace(self.path, final)
        return final

    def drop(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self.connection.close()
        with contextlib.suppress(OSError):
            self.path.unlink()
