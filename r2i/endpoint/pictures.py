"""JPEGs of a table by id, read when they are sent: memory holds a few row groups, never the table."""

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

import pyarrow as pa
import pyarrow.parquet as pq

from r2i.core.errors import TableError
from r2i.core.paths import IMAGES
from r2i.core.photos import REFERENCE, Photos
from r2i.core.records import IMAGES as IMAGES_SCHEMA
from r2i.core.records import OK
from r2i.core.tables import iter_rows, table_parts
from r2i.endpoint.base import Picture

CACHE_BYTES = 64 * 2**20  # of row groups, and as many of scaled pictures
T = TypeVar("T")


def read_pictures(
    folder: Path,
    schema: pa.Schema,
    made_by: str,
    column: str,
    ids: Iterable[str],
    max_pixels: int | None = None,
) -> Mapping[str, Picture]:
    """The JPEGs in `column` by id (the schema's first field), for `ids` alone.

    It iterates over the ids in the table's order: who asks for the pictures in that order reads each row group about
    once. `max_pixels` (width x height): larger pictures are scaled down, once while they are in use. Raises
    TableError where an id has no row or no picture: the tables are of different runs.
    """
    return TablePictures(PictureColumn(folder, schema, made_by, column, set(ids)), max_pixels)


def read_images(
    photos: Photos, ids: Iterable[str] | None = None, max_pixels: int | None = None, folder: Path = IMAGES
) -> Mapping[str, Picture]:
    """The JPEGs of the table of images by id, as `read_pictures`, whether it holds their bytes or refers to the pools.

    `ids` None: of every row that is ok. Raises TableError where an id has no row; loading a picture raises it where
    its pool no longer has the file.
    """
    if ids is None:
        rows = iter_rows(folder, IMAGES_SCHEMA, "sample", ["image_id", "status"])
        ids = (row["image_id"] for row in rows if row["status"] == OK)
    return TablePictures(ImageColumn(folder, photos, set(ids)), max_pixels)


def sort_by_picture(rows: Iterable[T], pictures: Mapping[str, Picture], id_of: Callable[[T], str]) -> list[T]:
    """`rows` in the order of their pictures in the table, so that each row group is read about once.

    `id_of`: the id of a row's picture. Raises KeyError where there is no such picture.
    """
    place = {picture: number for number, picture in enumerate(pictures)}
    return sorted(rows, key=lambda row: place[id_of(row)])


class ByteCache(Generic[T]):
    """The most recently used values, up to `max_bytes`; the last one stays however large it is. Thread-safe."""

    def __init__(self, max_bytes: int, size_of: Callable[[T], int]) -> None:
        self.max_bytes, self.size_of, self.bytes = max_bytes, size_of, 0
        self.values: OrderedDict[Hashable, T] = OrderedDict()
        self.lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of `key`, made by `make` where it is not in the cache."""
        with self.lock:
            if key in self.values:
                self.values.move_to_end(key)
                return self.values[key]
            value = self.values[key] = make()
            self.bytes += self.size_of(value)
            while self.bytes > self.max_bytes and len(self.values) > 1:
                self.bytes -= self.size_of(self.values.popitem(last=False)[1])
            return value


class PictureColumn:
    """The bytes in one column of a table, by id. `place`: number of the id's row, in the table's order."""

    def __init__(self, folder: Path, schema: pa.Schema, made_by: str, column: str, ids: set[str]) -> None:
        self.folder, self.column = folder, column
        self.remedy = f"run `dvc repro {made_by}` and what follows"
        self.groups: list[tuple[Path, int]] = []  # (file, row group), in order
        self.starts = [0]  # place of each group's first row
        for path in table_parts(folder, schema, made_by):
            metadata = pq.read_metadata(path)
            for number in range(metadata.num_row_groups):
                self.groups.append((path, number))
                self.starts.append(self.starts[-1] + metadata.row_group(number).num_rows)
        self.cache: ByteCache[pa.Table] = ByteCache(CACHE_BYTES, lambda rows: rows.nbytes)
        names = [schema.names[0], *(["status"] if "status" in schema.names else [])]
        self.place = {
            row[names[0]]: place
            for place, row in enumerate(iter_rows(folder, schema, made_by, names))
            if row[names[0]] in ids and row.get("status", OK) == OK
        }
        if missing := sorted(ids - self.place.keys()):
            raise TableError(f"{folder} has no {column} for {missing[0]!r} and {len(missing) - 1} more", self.remedy)

    def read(self, name: str) -> bytes:
        """The JPEG of the row `name`. Raises TableError where it is null."""
        data = self._row(name, [self.column])[self.column][0].as_py()
        if data is None:
            raise TableError(f"{self.folder} has no {self.column} for {name!r}", self.remedy)
        return bytes(data)

    def _row(self, name: str, columns: Sequence[str]) -> pa.Table:
        """The row as a table of one, from its row group; always the same `columns`."""
        place = self.place[name]
        group = bisect_right(self.starts, place) - 1
        return self.cache.get(group, partial(self._read_group, group, columns)).slice(place - self.starts[group], 1)

    def _read_group(self, group: int, columns: Sequence[str]) -> pa.Table:
        path, number = self.groups[group]
        with pq.ParquetFile(path) as file:
            return file.read_row_group(number, columns=list(columns))


class ImageColumn(PictureColumn):
    """The images of `sample`; those that the table doesn't embed are read from their pool."""

    def __init__(self, folder: Path, photos: Photos, ids: set[str]) -> None:
        super().__init__(folder, IMAGES_SCHEMA, "sample", "image", ids)
        self.photos = photos

    def read(self, name: str) -> bytes:
        """The JPEG of the row `name`. Raises TableError where its pool has lost the file."""
        return self.photos.jpeg(self._row(name, REFERENCE).to_pylist()[0])


class TablePictures(Mapping[str, Picture]):
    """Pictures by id. One that is in use is the same object for all its users, so that its name is hashed once."""

    def __init__(self, column: PictureColumn, max_pixels: int | None) -> None:
        self.column, self.max_pixels = column, max_pixels
        self.in_use: WeakValueDictionary[str, Picture] = WeakValueDictionary()
        self.scaled: ByteCache[bytes] = ByteCache(CACHE_BYTES, len)

    def __getitem__(self, name: str) -> Picture:
        if name not in self.column.place:
            raise KeyError(name)
        picture = self.in_use.get(name)
        if picture is None:
            picture = self.in_use[name] = self._make(name)
        return picture

    def _make(self, name: str) -> Picture:
        picture = Picture(partial(self.column.read, name))
        if self.max_pixels is None:
            return picture
        smaller = picture.within(self.max_pixels)
        return Picture(lambda: self.scaled.get(smaller.name, smaller.load), smaller.name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.column.place)

    def __len__(self) -> int:
        return len(self.column.place)
