"""The images in a pool's file (the file itself, a tar's members, a Parquet file's rows), each with its sha256."""

import hashlib
import itertools
import lzma
import os
import posixpath
import tarfile
import threading
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from r2i.core.errors import R2IError
from r2i.core.images import MAX_BYTES, sha256
from r2i.core.params import Pool
from r2i.core.photos import BATCH, image_values, name_text
from r2i.importing.hash_cache import ImageEntry

SUFFIXES = {"tar": (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"), "parquet": (".parquet",)}
COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")  # gzip, bzip2, xz
IMAGE_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")  # first bytes of image files


def walk_files(root: str) -> Iterator[str]:
    """Every file below `root`; linked folders are followed, each real folder once (links may loop)."""
    entered = {os.path.realpath(root)}
    unreadable: list[str] = []
    for folder, below, files in os.walk(root, followlinks=True, onerror=lambda e: unreadable.append(e.filename)):
        below.sort()
        new = []
        for name in below:
            real = os.path.realpath(os.path.join(folder, name))  # noqa: PTH118 - millions of them
            if real not in entered:
                entered.add(real)
                new.append(name)
        below[:] = new
        yield from (os.path.join(folder, name) for name in sorted(files))  # noqa: PTH118
    yield from unreadable  # a folder without permission becomes one row


def read_entries(path: str, pool: Pool, stop: threading.Event) -> list[ImageEntry]:
    """All images of one file; those that can't be read have a `fault`. Raises R2IError for a missing column.

    Ends early, with some of them, once `stop` is set: a shard can take minutes.
    """
    if not Path(path).is_file():  # a broken link, a folder without permission, a pipe that would block
        return [_unreadable_entry("", "unreadable")]
    if pool.kind == "tar":
        return list(_until(stop, _members(path)))
    if pool.kind == "parquet":
        return list(_until(stop, _rows(path, pool)))
    try:
        if (size := Path(path).stat().st_size) > MAX_BYTES:  # a film
            return [ImageEntry("", None, size, "", "file_too_large")]
        with Path(path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return [ImageEntry("", None, file.tell(), digest)]
    except OSError:
        return [_unreadable_entry("", "unreadable")]


def is_compressed(path: str) -> bool:
    """Whether a tar is compressed, so that its members can't be read by offset."""
    with Path(path).open("rb") as file:
        return file.read(6).startswith(COMPRESSED)


def _until(stop: threading.Event, entries: Iterator[ImageEntry]) -> Iterator[ImageEntry]:
    return itertools.takewhile(lambda _: not stop.is_set(), entries)


def _unreadable_entry(name: str, reason: str) -> ImageEntry:
    return ImageEntry(name, None, None, "", reason)


def _members(path: str) -> Iterator[ImageEntry]:
    """The images of a tar, by offset. Nothing is extracted: a member's path is only its name.

    A link has the bytes of the member that it leads to. What can't be read by offset (a sparse member, a link that
    leads to no image) is an entry with a fault.
    """
    names: set[str] = set()
    images: dict[str, ImageEntry] = {}  # by the member's path
    links: list[tuple[str, tarfile.TarInfo]] = []
    name = ""
    try:
        with tarfile.open(path, "r:*") as tar:
            for info in tar:
                name = ""
                if not (info.isreg() or info.islnk() or info.issym()):
                    continue
                name = _new_name(name_text(info.name), names)
                if info.islnk() or info.issym():
                    links.append((name, info))
                elif entry := _member(tar, info, name):
                    images[posixpath.normpath(info.name)] = entry
                    yield entry
            yield from _linked(links, images)
            name = ""
            if _ends_early(tar):
                yield _unreadable_entry("", "truncated")
    except (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, ValueError, OverflowError) as error:
        cut = isinstance(error, EOFError) or "end of data" in str(error)
        yield _unreadable_entry(name, "truncated" if cut else "unreadable")


def _new_name(name: str, names: set[str]) -> str:
    """`name`, with a number behind it where it is in `names`, to which it is added."""
    numbered = (f"{name}#{number}" for number in itertools.count(2))
    fresh = next(text for text in itertools.chain([name], numbered) if text not in names)
    names.add(fresh)
    return fresh


def _member(tar: tarfile.TarFile, info: tarfile.TarInfo, name: str) -> ImageEntry | None:
    """The entry of a regular member; None where it is no image. Raises what tarfile raises."""
    file = tar.extractfile(info)
    if file is None or not _is_image(info.name, file.read(16)):
        return None
    if info.issparse():  # its bytes are not all in the file
        return _unreadable_entry(name, "unreadable")
    if info.size > MAX_BYTES:
        return ImageEntry(name, None, info.size, "", "file_too_large")
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    return ImageEntry(name, info.offset_data, info.size, digest)


def _linked(links: list[tuple[str, tarfile.TarInfo]], images: dict[str, ImageEntry]) -> Iterator[ImageEntry]:
    """Entries of a tar's hard and symbolic links: those that lead to an image, or are called like one."""
    targets = {posixpath.normpath(info.name): _target(info) for _, info in links}
    for name, info in links:
        path, passed = posixpath.normpath(info.name), set[str]()
        while path in targets and path not in images and path not in passed:
            passed.add(path)
            path = targets[path]
        if path in images:
            yield replace(images[path], name=name)
        elif _is_image(info.name, b""):
            yield _unreadable_entry(name, "unreadable")


def _target(info: tarfile.TarInfo) -> str:
    """The member that a link leads to: hard links say its path, symbolic ones the way there."""
    return posixpath.normpath(
        posixpath.join(posixpath.dirname(info.name), info.linkname) if info.issym() else info.linkname
    )


def _is_image(name: str, head: bytes) -> bool:
    """Whether a tar's member is an image by its first bytes or its name: SA-1B has JSON beside its JPEGs."""
    if head.startswith(IMAGE_STARTS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return True
    return os.path.splitext(name)[1].lower() in Image.registered_extensions()  # noqa: PTH122 - a name, not a path


def _ends_early(tar: tarfile.TarFile) -> bool:
    """Whether a tar is truncated. tarfile takes a torn header for the end; a whole tar ends with a block of zeros."""
    file = tar.fileobj
    assert file is not None
    file.seek(tar.offset)  # type: ignore[attr-defined]
    return file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE)


def _rows(path: str, pool: Pool) -> Iterator[ImageEntry]:
    number = 0
    try:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as file:
            _require_column(file.schema_arrow, path, pool)
            for batch in file.iter_batches(BATCH, columns=[pool.column], use_threads=False):
                for value in image_values(batch.column(0)) or ():
                    data = value.as_py()
                    if data is None:
                        yield _unreadable_entry(str(number), "unreadable")
                    elif len(data) > MAX_BYTES:
                        yield ImageEntry(str(number), None, len(data), "", "file_too_large")
                    else:
                        yield ImageEntry(str(number), None, len(data), sha256(data))
                    number += 1
    except (pa.ArrowException, OSError):
        yield _unreadable_entry("", "unreadable")


def _require_column(schema: pa.Schema, path: str, pool: Pool) -> None:
    if pool.column not in schema.names:
        raise R2IError(
            f"pool {pool.name!r}: {path} has no column {pool.column!r}",
            f"set the pool's column to one of: {', '.join(schema.names)}",
        )
    if schema.names.count(pool.column) > 1:
        raise R2IError(f"pool {pool.name!r}: {path} has two columns {pool.column!r}", "rename one of them")
    kind = schema.field(pool.column).type
    if image_values(pa.array([], kind)) is None:
        raise R2IError(
            f"pool {pool.name!r}: column {pool.column!r} of {path} is {kind}",
            "name a column of bytes, or of structs with a field `bytes`",
        )
