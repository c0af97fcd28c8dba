"""The archive of replies: a folder of immutable segments, shared by DVC.

A segment is a SQLite file named by the sha256 of its bytes, made by `r2i replies pack`:
`records` (key, zlib-compressed record) and `prefixes`, the first 8 bytes of all its keys in order, so that
it is known without a query which segments hold a key. Others make segments: one is read only if its bytes have the
sha256 that names it and its tables are these. A damaged segment never fails a stage: what it held counts as missing,
and one warning names it.
"""

import re
import sqlite3
import stat
import sys
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from r2i.core.errors import EndpointError
from r2i.core.images import file_sha256
from r2i.endpoint.base import Reply, differ
from r2i.endpoint.record import MAX_BYTES, DamagedRecord, Record, own_sha256, read_record

TABLES = """
CREATE TABLE records (key BLOB PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE prefixes (keys BLOB NOT NULL);
"""
PREFIX = 8  # bytes of a key in `prefixes`: a false hit costs one query
SEGMENT = re.compile(r"[0-9a-f]{64}\.sqlite")
MAX_OPEN = 128  # segments open at once: each takes a file descriptor
CACHE_KIB = 256  # of pages, per open segment
MAX_SEGMENT = 2**30  # bytes of a segment that is hashed and opened: sixteen times what `pack` writes

_archives: dict[Path, "Archive"] = {}
_guard = threading.Lock()


def open_archive(folder: Path) -> "Archive":
    """The archive at `folder`, which need not exist: one for the process, so that its index is in memory once."""
    with _guard:
        return _archives.setdefault(folder.absolute(), Archive(folder.absolute()))


class ArchivedRecord(NamedTuple):
    """A record, and the name of its segment."""

    segment: str
    record: Record


class Archive:
    """Records by key in the segments of `folder`; with `names`, in those segments alone.

    The index takes 12 bytes a record.
    """

    def __init__(self, folder: Path, names: list[str] | None = None) -> None:
        self.folder, self.names = folder, names
        self.segments: list[str] = []  # names; a number in `index` is a place in this list
        self.index: tuple[Any, Any] | None = None  # prefixes (N,) uint64 in order, and segments (N,) uint32
        self.mtime_ns: int | None = None  # of the folder when it was read; None: never, or no folder
        self.is_read = False
        self.open: OrderedDict[str, sqlite3.Connection] = OrderedDict()
        self.warned: set[str] = set()
        self.has_warned = False  # that labs differ
        self.is_intact: dict[str, bool] = {}  # by name, of the segments that were read from
        self.lock = threading.RLock()

    def find(self, key: str) -> dict[int, Reply]:
        """Replies by sample. Of several records the one with the smallest own sha256 comes first."""
        replies: dict[int, Reply] = {}
        for archived in self.records(key):
            others = archived.record.replies
            if not self.has_warned and any(differ(reply, others[i]) for i, reply in replies.items() if i in others):
                self.has_warned = True
                print(f"warning: in {self.folder}, labs shared different replies to one request", file=sys.stderr)
            replies = {**others, **replies}
        return replies

    def records(self, key: str) -> list[ArchivedRecord]:
        """The sound records of `key`, in order of their own sha256."""
        with self.lock:
            if not self.is_read:
                self.refresh()
            bodies: list[tuple[bytes, ArchivedRecord]] = []
            for name in self._holders(key):
                try:
                    body = self._body(name, key)
                    if body is not None:
                        bodies.append((body, ArchivedRecord(name, read_record(body, key))))
                except (sqlite3.Error, DamagedRecord) as error:
                    self._warn(name, str(error))
        if len(bodies) > 1:
            bodies.sort(key=lambda item: (own_sha256(item[0]), item[1].segment))
        return [archived for _, archived in bodies]

    def holds(self, key: str) -> bool:
        """Whether a segment has `key`, as far as the index tells: no record is read."""
        with self.lock:
            if not self.is_read:
                self.refresh()
            return bool(self._holders(key))

    def refresh(self) -> bool:
        """Read the index again where the folder has changed; whether it had. Raises EndpointError."""
        with self.lock:
            mtime_ns = _mtime_ns(self.folder)
            if self.is_read and mtime_ns == self.mtime_ns:
                return False
            self.is_read, self.mtime_ns = True, mtime_ns
            try:
                self.segments = segment_names(self.folder) if self.names is None else self.names
            except OSError as error:  # what it holds would all be paid for again
                raise EndpointError(f"the archive {self.folder} can't be read: {error}", "check R2I_REPLIES") from error
            while self.open:
                self.open.popitem()[1].close()
            self.is_intact.clear()
            self.index = self._read_index() if self.segments else None
            return True

    def _read_index(self) -> tuple[Any, Any]:
        """Prefixes of all keys in one sorted array, and the segment of each in another beside it."""
        import numpy as np  # late: most workspaces have no archive

        parts, places = [np.empty(0, np.uint64)], [np.empty(0, np.uint32)]
        for place, name in enumerate(self.segments):
            try:
                part = np.frombuffer(read_prefixes(self._connect(name)), dtype=">u8")
            except (sqlite3.Error, ValueError) as error:
                self._warn(name, str(error))
                continue
            parts.append(part.astype(np.uint64))
            places.append(np.full(len(part), place, dtype=np.uint32))
        prefixes = np.concatenate(parts)
        order = np.argsort(prefixes, kind="stable")
        return prefixes[order], np.concatenate(places)[order]

    def _holders(self, key: str) -> list[str]:
        """Names of the segments that hold `key`."""
        if self.index is None:
            return []
        prefixes, places = self.index
        prefix = prefixes.dtype.type(int(key[: 2 * PREFIX], 16))  # a Python int would be compared as a float
        first, last = prefixes.searchsorted(prefix, "left"), prefixes.searchsorted(prefix, "right")
        return [self.segments[place] for place in dict.fromkeys(places[first:last].tolist())]

    def _body(self, name: str, key: str) -> bytes | None:
        """The record of `key`, None where there is none. Raises DamagedRecord, in a damaged segment for every key."""
        if name not in self.is_intact:  # before its first record is read: the index alone gives no reply
            self.is_intact[name] = is_intact(self.folder / name)
        if not self.is_intact[name]:
            raise DamagedRecord("its bytes are not those that its name says")
        row = self._connect(name).execute("SELECT body FROM records WHERE key = ?", (bytes.fromhex(key),)).fetchone()
        return None if row is None else unpack(row[0])

    def _connect(self, name: str) -> sqlite3.Connection:
        """The segment's connection; the least recently used one is closed where there are too many."""
        if name in self.open:
            self.open.move_to_end(name)
        else:
            if len(self.open) >= MAX_OPEN:
                self.open.popitem(last=False)[1].close()
            self.open[name] = connect(self.folder / name)
        return self.open[name]

    def _warn(self, name: str, why: str) -> None:
        if name not in self.warned:
            self.warned.add(name)
            print(
                f"warning: {self.folder / name} is damaged ({why}); what can't be read of it counts as missing and "
                "is asked for again: see `r2i replies verify`",
                file=sys.stderr,
            )


def is_intact(path: Path) -> bool:
    """Whether the bytes of a segment have the sha256 that names it; False where it can't be read."""
    try:
        state = path.stat()
        is_file = stat.S_ISREG(state.st_mode) and state.st_size <= MAX_SEGMENT
        return is_file and f"{file_sha256(path)}.sqlite" == path.name
    except OSError:
        return False


def segment_names(folder: Path) -> list[str]:
    """File names of the segments, in order; none where there is no such folder."""
    return sorted(path.name for path in folder.iterdir() if SEGMENT.fullmatch(path.name)) if folder.is_dir() else []


def connect(path: Path) -> sqlite3.Connection:
    """A segment, open for reading: an immutable file needs neither a lock nor a journal.

    Raises sqlite3.Error, where it has other tables than TABLES too: a view in their place could be any query.
    """
    if not path.is_file():  # SQLite would wait for a pipe
        raise sqlite3.DatabaseError("not a file")
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_BYTES)  # of a value
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute("PRAGMA trusted_schema = OFF")
        tables = [row[0] for row in connection.execute("SELECT sql FROM sqlite_master ORDER BY rowid LIMIT 9")]
        if tables != [table.strip() for table in TABLES.split(";")[:-1]]:
            raise sqlite3.DatabaseError("not the tables of a segment")
    except BaseException:
        connection.close()
        raise
    return connection


def read_prefixes(connection: sqlite3.Connection) -> bytes:
    """The first PREFIX bytes of every key, in order. Raises sqlite3.Error."""
    row = connection.execute("SELECT keys FROM prefixes").fetchone()
    if row is None or not isinstance(row[0], bytes):
        raise sqlite3.DatabaseError("no prefixes")
    return row[0]


def unpack(body: Any) -> bytes:
    """The bytes of a record. Raises DamagedRecord, where there are over MAX_BYTES too."""
    inflate = zlib.decompressobj()
    try:
        data = inflate.decompress(body, MAX_BYTES)
    except (zlib.error, TypeError) as error:
        raise DamagedRecord(f"can't be decompressed ({error})") from error
    if not inflate.eof:
        raise DamagedRecord("can't be decompressed (it is cut, or too large)")
    return data


def iter_bodies(connection: sqlite3.Connection) -> Iterator[tuple[str, Any]]:
    """(key, compressed record) of a segment, in order of keys. Raises sqlite3.Error."""
    for key, body in connection.execute("SELECT key, body FROM records ORDER BY key"):
        yield key.hex() if isinstance(key, bytes) else str(key), body


def _mtime_ns(folder: Path) -> int | None:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return None
