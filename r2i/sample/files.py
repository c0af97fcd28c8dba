"""What a pool's file holds: one image, a tar's members, a Parquet file's rows; each with its sha256."""

import hashlib
import itertools
import lzma
import os
import tarfile
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from r2i.core.errors import R2IError
from r2i.core.images import sha256
from r2i.core.params import Pool
from r2i.core.photos import BATCH, image_values, name_text
from r2i.sample.hashes import Entry

SUFFIXES = {"tar": (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"), "parquet": (".parquet",)}
PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")  # gzip, bzip2, xz
IMAGES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")  # how image files start


def walk(root: str) -> Iterator[str]:
    """Every file below `root`; linked folders are followed, each real folder once (links may loop)."""
    entered = {os.path.realpath(root)}
    closed: list[str] = []
    for folder, below, files in os.walk(root, followlinks=True, onerror=lambda e: closed.append(e.filename)):
        below.sort()
        kept = []
        for name in below:
            real = os.path.realpath(os.path.join(folder, name))  # noqa: PTH118 - millions of them
            if real not in entered:
                entered.add(real)
                kept.append(name)
        below[:] = kept
        yield from (os.path.join(folder, name) for name in sorted(files))  # noqa: PTH118
    yield from closed  # a folder that may not be read becomes one unreadable row


def read_entries(path: str, pool: Pool, stop: threading.Event) -> list[Entry]:
    """All images of one file; what can't be read is an entry with a `fault`. Raises R2IError: no such column.

    Ends early, with some of them, once `stop` is set: a shard can take minutes.
    """
    if not Path(path).is_file():  # a broken link, a folder without permission, a pipe that would block
        return [_fault("", "unreadable")]
    if pool.kind == "tar":
        return list(_until(stop, _members(path)))
    if pool.kind == "parquet":
        return list(_until(stop, _rows(path, pool)))
    try:
        with Path(path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return [Entry("", None, file.tell(), digest)]
    except OSError:
        return [_fault("", "unreadable")]


def is_packed(path: str) -> bool:
    """Whether a tar is compressed, so that its members can't be read by offset."""
    with Path(path).open("rb") as file:
        return file.read(6).startswith(PACKED)


def _until(stop: threading.Event, entries: Iterator[Entry]) -> Iterator[Entry]:
    return itertools.takewhile(lambda _: not stop.is_set(), entries)


def _fault(name: str, reason: str) -> Entry:
    return Entry(name, None, None, "", reason)


def _members(path: str) -> Iterator[Entry]:
    """The images of a tar, by their place in it. Nothing is unpacked: a member's path is only its name."""
    names: Counter[str] = Counter()
    name = ""
    try:
        with tarfile.open(path, "r:*") as tar:
            for info in tar:
                name = ""
                if not info.isreg() or info.issparse():
                    continue
                names[info.name] += 1
                name = name_text(info.name) + (f"#{names[info.name]}" if names[info.name] > 1 else "")
                file = tar.extractfile(info)
                if file is None or not _is_offered(info.name, file.read(16)):
                    continue
                file.seek(0)
                digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
                yield Entry(name, info.offset_data, info.size, digest)
            name = ""
            if _ends_early(tar):
                yield _fault("", "truncated")
    except (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, ValueError, OverflowError) as error:
        cut = isinstance(error, EOFError) or "end of data" in str(error)
        yield _fault(name, "truncated" if cut else "unreadable")


def _is_offered(name: str, head: bytes) -> bool:
    """Images by their first bytes, and what is called an image: SA-1B has JSON beside its JPEGs."""
    if head.startswith(IMAGES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return True
    return os.path.splitext(name)[1].lower() in Image.registered_extensions()  # noqa: PTH122 - a name, not a path


def _ends_early(tar: tarfile.TarFile) -> bool:
    """tarfile takes a torn header for the end: a whole tar ends with a block of zeros."""
    file = tar.fileobj
    assert file is not None
    file.seek(tar.offset)  # type: ignore[attr-defined]
    return file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE)


def _rows(path: str, pool: Pool) -> Iterator[Entry]:
    number = 0
    try:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as file:
            _require_column(file.schema_arrow, path, pool)
            for batch in file.iter_batches(BATCH, columns=[pool.column], use_threads=False):
                for value in image_values(batch.column(0)) or ():
                    data = value.as_py()
                    if data is None:
                        yield _fault(str(number), "unreadable")
                    else:
                        yield Entry(str(number), None, len(data), sha256(data))
                    number += 1
    except (pa.ArrowException, OSError):
        yield _fault("", "unreadable")


def _require_column(schema: pa.Schema, path: str, pool: Pool) -> None:
    if pool.column not in schema.names:
        raise R2IError(
            f"pool {pool.name!r}: {path} has no column {pool.column!r}",
            f"set the pool's column to one of: {', '.join(schema.names)}",
        )
    kind = schema.field(pool.column).type
    if image_values(pa.array([], kind)) is None:
        raise R2IError(
            f"pool {pool.name!r}: column {pool.column!r} of {path} is {kind}",
            "name a column of bytes, or of structs with a field `bytes`",
        )
