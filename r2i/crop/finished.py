"""Finished images, kept beside the store of replies, so that no image is segmented twice.

`<state>/crop/<fingerprint>/` holds the region rows of every finished image, whatever run or executor made
them: a stage that was killed goes on where it was, and a hundred new images cost a hundred images. The
fingerprint is of all that decides about rows: params, model, code, libraries. A run appends to a file of its
own, one record for an image; a torn or damaged record and what follows it in its file count as missing.
A file that no run has used for KEEP_DAYS is removed when a stage ends.
"""

import contextlib
import hashlib
import json
import os
import struct
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from r2i.core.errors import R2IError
from r2i.core.tables import Row

MAGIC = b"r2i\1"  # the last byte is the format's version
HEAD = struct.Struct("<4sQ32s")  # magic, bytes of the body, their sha256
KEEP_DAYS = 14
SYNC_S = 5.0  # a power cut costs at most so much work; kill -9 costs the images in flight
IN_MEMORY = ("region_id", "status", "reason", "area_share")


def pack(key: str, rows: Sequence[Row], keep: bool = True, note: str = "") -> bytes:
    """One finished image as a record. Not `keep`: for this run only, say a failure that may pass.

    Body: a line of JSON (the index), then each row as JSON without its crop, followed by the crop.
    """
    parts: list[bytes] = []
    index = []
    start = 0
    for row in rows:
        text = json.dumps({name: value for name, value in row.items() if name != "crop"}, sort_keys=True).encode()
        crop: bytes | None = row["crop"]
        index.append([row[name] for name in IN_MEMORY] + [start, len(text), None if crop is None else len(crop)])
        parts += [text, crop or b""]
        start += len(text) + len(crop or b"")
    about = {"key": key, "image_id": rows[0]["image_id"], "keep": keep, "note": note, "rows": index}
    head = json.dumps(about).encode() + b"\n"
    body = head + b"".join(parts)
    return HEAD.pack(MAGIC, len(body), hashlib.sha256(body).digest()) + body


class RegionRow(Mapping[str, Any]):
    """A row of records.REGIONS whose crop and mask are read from the file each time they are asked for."""

    __slots__ = ("area_share", "at", "crop_size", "image_id", "path", "reason", "region_id", "status", "text_size")

    def __init__(self, path: str, start: int, image_id: str, entry: Sequence[Any]) -> None:
        self.path, self.image_id = path, image_id
        self.region_id, status, reason, self.area_share, place, self.text_size, self.crop_size = entry
        self.status, self.reason, self.at = sys.intern(status), sys.intern(reason), start + place

    def items(self) -> Any:
        """All columns, by one read."""
        data = os.pread(_opened(self.path), self.text_size + (self.crop_size or 0), self.at)
        row = json.loads(data[: self.text_size])
        return (row | {"crop": None if self.crop_size is None else data[self.text_size :]}).items()

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name) if name in IN_MEMORY or name == "image_id" else dict(self.items())[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.items())

    def __len__(self) -> int:
        return len(self.items())


class _File:
    """An open file; closed when nobody has it any more."""

    def __init__(self, path: str) -> None:
        self.file = open(path, "rb", buffering=0)  # noqa: PTH123, SIM115 - stays open

    def __del__(self) -> None:
        self.file.close()


_recent = lru_cache(maxsize=64)(_File)


def _opened(path: str) -> int:
    return _recent(path).file.fileno()


class FinishedImages:
    """The finished images among `wanted` (keys), and a file for those that finish now.

    Raises R2IError where the folder can't be written.
    """

    def __init__(self, folder: Path, wanted: Iterable[str]) -> None:
        self.folder = folder
        self.wanted = set(wanted)
        self.found: dict[str, list[RegionRow]] = {}
        self.path = folder / f"{uuid.uuid4().hex}.regions"  # made with the first record
        self.file: FileIO | None = None
        self.synced = time.monotonic()

    def __enter__(self) -> Self:
        for path in sorted(self.folder.glob("*.regions")):
            with contextlib.suppress(FileNotFoundError):  # another run removes what is too old
                if self._scan(path):
                    os.utime(path)  # in use
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.file:
            with contextlib.suppress(OSError):
                os.fsync(self.file.fileno())
            self.file.close()

    def __contains__(self, key: str) -> bool:
        return key in self.found

    def _scan(self, path: Path) -> bool:
        """Take over the records of one file, as far as they are whole. Whether one was wanted."""
        used = False
        with path.open("rb") as file:
            while len(head := file.read(HEAD.size)) == HEAD.size:
                magic, size, digest = HEAD.unpack(head)
                left = os.fstat(file.fileno()).st_size - file.tell()
                if magic != MAGIC or size > left:
                    break
                at, body = file.tell(), file.read(size)
                if hashlib.sha256(body).digest() != digest:
                    break
                index, first = _index(body)
                if index["keep"] and index["key"] in self.wanted and index["key"] not in self.found:
                    self._take(index, str(path), at + first)
                    used = True
        return used

    def _take(self, index: dict[str, Any], path: str, start: int) -> None:
        self.found[index["key"]] = [RegionRow(path, start, index["image_id"], entry) for entry in index["rows"]]

    def add(self, record: bytes) -> str:
        """Append a record of `pack`; returns its note. From here on it survives the process."""
        index, first = _index(record[HEAD.size :])
        try:
            file = self.file = self.file or self._make_file()
            at = file.tell() + HEAD.size
            rest = memoryview(record)
            while rest:
                rest = rest[file.write(rest) :]
            if time.monotonic() - self.synced > SYNC_S:
                os.fsync(file.fileno())
                self.synced = time.monotonic()
        except OSError as error:
            raise R2IError(
                f"finished images can't be kept in {self.folder}: {error}",
                "free some space; what is finished so far is kept, run again to go on",
            ) from error
        self._take(index, str(self.path), at + first)
        return str(index["note"])

    def _make_file(self) -> FileIO:
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileIO(self.path, "xb")

    def rows(self) -> list[RegionRow]:
        """The rows of all images, in no order. Memory holds some 300 bytes of each."""
        return [row for rows in self.found.values() for row in rows]


def _index(body: bytes) -> tuple[dict[str, Any], int]:
    """The index of a record's body, and where the rows start in it."""
    end = body.index(b"\n") + 1
    return json.loads(body[:end]), end


def remove_unused(root: Path, days: float = KEEP_DAYS) -> None:
    """Remove what no run has used for `days` from the folders of all fingerprints below `root`."""
    oldest = time.time() - days * 86400
    for path in sorted(root.rglob("*"), reverse=True):  # a folder comes after what is in it
        with contextlib.suppress(OSError):  # another run removes it too; a folder is not empty
            if path.stat().st_mtime < oldest:
                path.rmdir() if path.is_dir() else path.unlink()
