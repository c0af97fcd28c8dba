"""An image row -> its JPEG bytes: from the table, or from the pool's file that the row refers to.

A reference is `pool`, `member`, `start` and `size` (records.IMAGES). What is read is checked against
`image_id`, the sha256 of the source's bytes: where the pool lies is no part of the result.
"""

import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from r2i.core import paths
from r2i.core.errors import ImageError, R2IError, TableError
from r2i.core.images import MAX_BYTES, is_plain_jpeg, jpeg_bytes, read_image, sha256
from r2i.core.params import Params, Pool, load_params
from r2i.core.records import OK, REJECTED
from r2i.core.tables import Row

REFERENCE = ("image_id", "pool", "member", "start", "size", "image", "status")  # columns that `jpeg` needs
BATCH = 16  # rows of a Parquet file decoded at once
_parquet = threading.Lock()


class Photos:
    """The pictures of image rows. It can be pickled: every process opens files of its own."""

    def __init__(self, pools: Iterable[Pool]) -> None:
        self.pools = {pool.name: pool for pool in pools}

    @classmethod
    def of(cls, params: Params) -> Self:
        """Of the chosen profile's pools."""
        return cls(params.chosen.sample.pools)

    @classmethod
    def here(cls) -> Self:
        """Of params.yaml; where it can't be read or names no pools, only pictures inside the tables are found."""
        try:
            return cls.of(load_params())
        except R2IError:
            return cls([])

    def jpeg(self, row: Mapping[str, Any]) -> bytes:
        """The upright RGB JPEG of an image row (columns REFERENCE).

        A row that refers to its pool gives the bytes that an embedding table would hold. Raises TableError
        where the pool is unknown or its file is gone or changed.
        """
        if row["image"] is not None:
            return bytes(row["image"])
        try:
            return jpeg_of(self.checked(row["image_id"], row["pool"], row["member"], row["start"], row["size"]))
        except ImageError as error:  # the bytes are those that were decoded before: another Pillow
            raise TableError(f"{row['pool']}/{row['member']} is {error.cause}", "run `dvc repro sample`") from error

    def shown(self, row: Mapping[str, Any]) -> bytes | None:
        """As `jpeg`, also of a row that was rejected, as a near duplicate or too small, to look at it.

        None where its pool is not here, and of what failed: nobody could read it, or should try to.
        """
        if row["status"] not in (OK, REJECTED):
            return None
        source = row["image_id"].partition("-")[0]  # a copy of a file has an id of its own, with more behind it
        with suppress(TableError):
            return self.jpeg({**row, "image_id": source})
        return None

    def filled(self, rows: Iterable[Row]) -> Iterator[Row]:
        """`rows` (columns REFERENCE), with the image of every row that is ok. Raises TableError as `jpeg` does."""
        return (row | {"image": self.jpeg(row)} if row["status"] == OK else row for row in rows)

    def checked(self, image_id: str, pool: str, member: str, start: int | None, size: int | None) -> bytes:
        """The source file's bytes, which hash to `image_id`. Raises TableError."""
        where = f"{pool}/{member}"
        try:
            data = self.source(pool, member, start, size)
        except OSError as error:
            raise TableError(
                f"{where}: the pool's file is gone ({error})",
                "the table refers to it: put it back, or run `dvc repro sample`",
            ) from error
        if sha256(data) != image_id:
            raise TableError(
                f"{where}: the pool's file has changed since it was sampled", "put it back, or run `dvc repro sample`"
            )
        return data

    def source(self, pool: str, member: str, start: int | None, size: int | None) -> bytes:
        """The source file's bytes. Raises OSError where they can't be read, TableError for an unknown pool."""
        if pool not in self.pools:
            raise TableError(f"no pool {pool!r} in params.yaml", "name it as it was named when it was sampled")
        found = self.pools[pool]
        file, _, inner = member.partition("!")
        path = _inside(pool_root(found), text_name(member if found.kind == "folder" else file))
        if found.kind == "folder":
            return _read(path)
        if found.kind == "parquet" and inner.isdecimal():
            return _read_row(path, int(inner), found.column)
        if found.kind == "tar" and start is not None and size is not None:
            return _read(path, start, size)
        raise OSError(f"{pool}/{member} can't be read by reference")


def pool_path(pool: Pool) -> Path:
    """Where a pool lies; relative to the main workspace where `dvc exp run --temp` runs in another."""
    return paths.here_or_main(Path(pool.path or ""))


def pool_root(pool: Pool) -> Path:
    """The folder that the pool's members are named from."""
    path = pool_path(pool)
    return path.parent if pool.kind != "folder" and path.is_file() else path


def name_text(name: str) -> str:
    """A file's name as text: names need not be UTF-8, a table's text must be. `text_name` turns it back."""
    return os.fsencode(name).replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def text_name(text: str) -> str:
    r"""The file's name that `name_text` wrote; \x21 stands for the ! that ends a file's name in `member`."""
    parts = re.sub(
        rb"\\(\\|x[0-9a-f]{2})",
        lambda found: b"\\" if found[1] == b"\\" else bytes([int(found[1][1:], 16)]),
        text.encode("utf-8"),
    )
    return os.fsdecode(parts)


def jpeg_of(data: bytes) -> bytes:
    """The JPEG bytes to keep of a source file: its own where it is plain, else newly encoded. Raises ImageError."""
    return data if is_plain_jpeg(data) else jpeg_bytes(read_image(data))


def _inside(root: Path, member: str) -> Path:
    """The file `member` of a pool. Raises OSError for a name that leads out: tables come from others, too."""
    path = PurePath(member)
    if path.is_absolute() or ".." in path.parts:
        raise OSError(f"{member} is no file of the pool")
    return root / path


def _read(path: Path, start: int = 0, size: int | None = None) -> bytes:
    if not path.is_file():  # a broken link, a folder without permission, a pipe that would block
        raise OSError(f"{path} is not a file that can be read")
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(MAX_BYTES + 1 if size is None else min(size, MAX_BYTES + 1))
    if len(data) > MAX_BYTES:
        raise OSError(f"{path} is larger than any picture")
    return data


def image_values(column: pa.Array) -> pa.Array | None:
    """The bytes in a column of images: its own, or the field `bytes` of Hugging Face's struct; else None."""
    if pa.types.is_struct(column.type):
        if column.type.get_field_index("bytes") < 0:
            return None
        column = pc.struct_field(column, "bytes")
    return column if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type) else None


def _read_row(path: Path, number: int, column: str) -> bytes:
    """One value of a Parquet file, by its row group: files of small groups are read fast."""
    try:
        stat = path.stat()
        with _parquet:
            file = _open_parquet(str(path), stat.st_size, stat.st_mtime_ns)
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if number < rows:
                    return _value(file, group, number, column)
                number -= rows
    except (pa.ArrowException, ValueError, LookupError) as error:
        raise OSError(f"{path}: {error}") from error
    raise OSError(f"{path} has fewer rows")


@lru_cache(maxsize=4)
def _open_parquet(path: str, size: int, mtime_ns: int) -> pq.ParquetFile:
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20)


def _value(file: pq.ParquetFile, group: int, number: int, column: str) -> bytes:
    for batch in file.iter_batches(BATCH, row_groups=[group], columns=[column], use_threads=False):
        if number < batch.num_rows:
            values = image_values(batch.column(0))
            found = None if values is None else values[number].as_py()
            if found is None:
                raise OSError("no image in this row")
            return bytes(found)
        number -= batch.num_rows
    raise OSError("the row group is shorter than it says")
