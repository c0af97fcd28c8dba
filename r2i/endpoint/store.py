"""The store of replies: a call that was paid for is never paid for twice.

The live store has a JSON record for each request, `<root>/ab/<key>.json`, written atomically and synced to the
disk. What it lacks is looked up in the archive (r2i.endpoint.archive), which others share. A damaged record counts as
missing: it is asked for, and paid for, again; `r2i replies verify` names it.
"""

import contextlib
import errno
import os
import stat
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from r2i.core import paths
from r2i.core.errors import EndpointError
from r2i.endpoint import locks
from r2i.endpoint.archive import Archive, open_archive
from r2i.endpoint.base import Reply, differ, key_of
from r2i.endpoint.record import MAX_BYTES, DamagedRecord, Record, is_storable, read_record, write_record

# without waiting: what lies in a record's place may be a pipe
READING = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))

_writing = [threading.Lock() for _ in range(256)]  # by a key's first byte: threads may bring samples of one request


class Store:
    """Replies by request key. Safe for several processes and threads: records are written atomically.

    Without `root`, store and archive are the workspace's; with `root` alone there is no archive.
    """

    def __init__(self, root: Path | None = None, archive: Path | None = None) -> None:
        folder = paths.reply_archive() if root is None and archive is None else archive
        self.root = paths.reply_store() if root is None else root
        self.archive: Archive | None = None if folder is None else open_archive(folder)
        self.has_warned = False

    def path(self, key: str) -> Path:
        """The file of the live record of `key`."""
        return self.root / key[:2] / f"{key}.json"

    def find(self, key: str) -> dict[int, Reply]:
        """Replies by sample: the live record's, then the archive's that it lacks. Raises EndpointError.

        A reply that was paid for here stays what it was: one that another lab shared does not replace it.
        """
        archived = self.archive.find(key) if self.archive else {}
        live = self.live(key)
        if live is not None:
            self._warn_where_others_differ(live.replies, archived)
            return {**archived, **live.replies}
        if self.archive and self.archive.refresh():  # packed and collected by another process meanwhile
            return self.archive.find(key)
        return archived

    def _warn_where_others_differ(self, live: Mapping[int, Reply], archived: Mapping[int, Reply]) -> None:
        if not self.has_warned and any(differ(reply, archived[i]) for i, reply in live.items() if i in archived):
            self.has_warned = True
            print(
                f"warning: replies in {self.root} differ from those that others shared; your own are used "
                "(to read what all labs read: `r2i replies gc --take-shared`)",
                file=sys.stderr,
            )

    def live(self, key: str) -> Record | None:
        """The live record, or None where there is none or it is damaged. Raises EndpointError."""
        try:
            return self.read(key)
        except (FileNotFoundError, DamagedRecord):
            return None
        except OSError as error:
            raise EndpointError(f"the store {self.root} can't be read: {error}", "check R2I_STORE") from error

    def read(self, key: str) -> Record:
        """The live record. Raises DamagedRecord, and OSError where there is none or it can't be read."""
        try:
            file = os.open(f"{self.root}/{key[:2]}/{key}.json", READING)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise DamagedRecord("a link that leads to itself") from error
            raise
        try:
            state = os.fstat(file)
            if stat.S_ISDIR(state.st_mode):  # no record could take its place, and what comes would be paid for in vain
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(self.path(key)))
            if not stat.S_ISREG(state.st_mode):
                raise DamagedRecord("not a file")
            if state.st_size > MAX_BYTES:
                raise DamagedRecord(f"of {state.st_size} bytes")
            return read_record(_read_all(file, state.st_size), key)
        finally:
            os.close(file)

    def put(
        self,
        key: str,
        parts: Mapping[str, Any],
        prompt_sha256: str,
        replies: Mapping[int, Reply],
        call: Mapping[str, Any],
    ) -> None:
        """Add the replies of one call to the live record, atomically and synced to the disk.

        Samples that the record has stay as they are; transient failures are left out. Raises EndpointError
        where the disk is full or can't be written: nothing is left behind then.
        """
        if key_of(parts) != key:
            raise ValueError(f"the request's parts do not hash to {key}")
        storable = {i: reply for i, reply in replies.items() if is_storable(reply)}
        with _writing[int(key[:2], 16)]:
            before = self.live(key)
            record = (before or Record(parts, prompt_sha256, {}, [])).adding(storable, call)
            if record.replies and record is not before:
                self.write(key, record)

    def write(self, key: str, record: Record) -> None:
        """Replace the live record of `key`. Raises EndpointError, leaving no part file.

        The folder itself is not synced: its change goes to the disk with the next record's. A power cut can
        cost the last few records, never a whole one its content.
        """
        path = self.path(key)
        part = path.with_name(f".{key}.{uuid.uuid4().hex}.part")
        data = write_record(record)
        read_record(data, key)  # what can't be read back is never written
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException as error:
            with contextlib.suppress(OSError):
                part.unlink()
            if not isinstance(error, OSError):
                raise
            raise EndpointError(
                f"the store {self.root} can't be written: {error}", "free some space or set R2I_STORE; then run again"
            ) from error

    def claim(self, key: str) -> bool:
        """Claim the right to ask for `key`; False while another asks. See r2i.endpoint.locks."""
        return locks.claim(self.root, key)

    def release(self, key: str) -> None:
        """Give up a claim, once its replies are put."""
        locks.release(self.root, key)

    def iter_files(self) -> Iterator[Path]:
        """Every file of the live store in order of names; one folder's names are in memory at a time.

        Raises EndpointError where the store can't be read.
        """
        try:
            folders = sorted(self.root.iterdir()) if self.root.exists() else []
            for folder in folders:
                yield from sorted(folder.iterdir()) if folder.is_dir() else [folder]
        except OSError as error:
            raise EndpointError(f"the store {self.root} can't be read: {error}", "check R2I_STORE") from error

    def iter_keys(self) -> Iterator[str]:
        """Keys of the records, in order; damaged records' too. Raises EndpointError."""
        return (path.stem for path in self.iter_files() if is_key(path.stem) and path == self.path(path.stem))


def _read_all(file: int, size: int) -> bytes:
    """The `size` bytes of an open file: a read may bring fewer than were asked for."""
    data = os.read(file, size)
    while len(data) < size and (more := os.read(file, size - len(data))):
        data += more
    return data


def is_key(text: str) -> bool:
    """Whether `text` is 64 lower-case hex digits."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")
