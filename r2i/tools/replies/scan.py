"""Iterate over all records of the store and the archive, damaged ones too, one in memory at a time."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from r2i.endpoint.archive import connect, iter_bodies, segment_names, unpack
from r2i.endpoint.record import DamagedRecord, Record, read_record
from r2i.endpoint.store import Store, is_key


@dataclass(frozen=True)
class ScannedRecord:
    """A record with its path, key and size in bytes; where it is damaged, `record` is None and `why` says how.

    `key` is empty where there is none: for a file that is no record, or a segment that can't be read.
    """

    path: Path
    key: str
    size: int
    record: Record | None
    why: str = ""


def scan_store(store: Store) -> Iterator[ScannedRecord]:
    """The live records in order of keys, and every file among them that is none. Hidden files are left out."""
    for path in store.iter_files():
        if path.name.startswith("."):
            continue
        if not is_key(path.stem) or path != store.path(path.stem):
            yield ScannedRecord(path, "", 0, None, "misnamed: not where a record of the store is")
            continue
        try:
            yield ScannedRecord(path, path.stem, path.stat().st_size, store.read(path.stem))
        except FileNotFoundError:
            continue  # removed since it was listed
        except DamagedRecord as error:
            yield ScannedRecord(path, path.stem, path.stat().st_size, None, str(error))
        except OSError as error:
            yield ScannedRecord(path, path.stem, 0, None, f"can't be read: {error}")


def scan_archive(folder: Path) -> Iterator[ScannedRecord]:
    """The records of every segment, segment after segment in order of keys."""
    for name in segment_names(folder):
        yield from scan_segment(folder / name)


def scan_segment(path: Path) -> Iterator[ScannedRecord]:
    """The records of one segment, as far as it can be read; the last one says so where it can't."""
    try:
        with contextlib.closing(connect(path)) as connection:
            for key, body in iter_bodies(connection):
                try:
                    yield ScannedRecord(path, key, len(body), read_record(unpack(body), key))
                except DamagedRecord as error:
                    yield ScannedRecord(path, key, 0, None, str(error))
    except sqlite3.Error as error:
        yield ScannedRecord(path, "", 0, None, f"can't be read: {error}")
