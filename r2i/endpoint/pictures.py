"""Pictures of a table, read when they are sent: memory holds a few row groups, never the table."""

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

import pyarrow as pa
import pyarrow.parquet as pq

from r2i.core.errors import TableError
from r2i.core.records import OK
from r2i.core.tables import iter_rows, table_parts
from r2i.endpoint.base import Picture

HELD_BYTES = 64 * 2**20  # of row groups, and as many of pictures scaled down
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

    It iterates over the ids in the order in which they lie in the table: who asks for the pictures in that
    order reads each row group about once. `max_pixels`: larger ones are scaled down, once while they are in
    use. Raises TableError where an id has no row or no picture: the tables are of different runs.
    """
    return Pictures(PictureRows(folder, schema, made_by, column, set(ids)), max_pixels)


def in_their_order(rows: Iterable[T], pictures: Mapping[str, Picture], name: Callable[[T], str]) -> list[T]:
    """`rows` in the order in which their pictures lie, so that each row group is read about once.

    `name`: the id of a row's picture. Raises KeyError where there is no such picture.
    """
    place = {picture: number for number, picture in enumerate(pictures)}
    return sorted(rows, key=lambda row: place[name(row)])


class Recent(Generic[T]):
    """What was made last, up to `most` bytes; the very last is kept however large it is."""

    def __init__(self, most: int, size: Callable[[T], int]) -> None:
        self.most, self.size, self.held = most, size, 0
        self.kept: OrderedDict[Hashable, T] = OrderedDict()
        self.lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        with self.lock:
            if key in self.kept:
                self.kept.move_to_end(key)
                return self.kept[key]
            value = self.kept[key] = make()
            self.held += self.size(value)
            while self.held > self.most and len(self.kept) > 1:
                self.held -= self.size(self.kept.popitem(last=False)[1])
            return value


class PictureRows:
    """Bytes by id. `place`: number of the id's row in the whole table, in the table's order."""

    def __init__(self, folder: Path, schema: pa.Schema, made_by: str, column: str, wanted: set[str]) -> None:
        self.folder, self.column = folder, column
        self.remedy = f"run `dvc repro {made_by}` and what follows"
        self.groups: list[tuple[Path, int]] = []  # (file, row group), in order
        self.starts = [0]  # place of each group's first row
        for path in table_parts(folder, schema, made_by):
            found = pq.read_metadata(path)
            for number in range(found.num_row_groups):
                self.groups.append((path, number))
                self.starts.append(self.starts[-1] + found.row_group(number).num_rows)
        self.recent: Recent[pa.ChunkedArray] = Recent(HELD_BYTES, lambda values: values.nbytes)
        names = [schema.names[0], *(["status"] if "status" in schema.names else [])]
        self.place = {
            row[names[0]]: place
            for place, row in enumerate(iter_rows(folder, schema, made_by, names))
            if row[names[0]] in wanted and row.get("status", OK) == OK
        }
        if missing := sorted(wanted - self.place.keys()):
            raise TableError(f"{folder} has no {column} for {missing[0]!r} and {len(missing) - 1} more", self.remedy)

    def read(self, name: str) -> bytes:
        place = self.place[name]
        group = bisect_right(self.starts, place) - 1
        values = self.recent.get(group, partial(self._read_group, group))
        data = values[place - self.starts[group]].as_py()
        if data is None:
            raise TableError(f"{self.folder} has no {self.column} for {name!r}", self.remedy)
        return bytes(data)

    def _read_group(self, group: int) -> pa.ChunkedArray:
        path, number = self.groups[group]
        with pq.ParquetFile(path) as file:
            return file.read_row_group(number, columns=[self.column]).column(0)


class Pictures(Mapping[str, Picture]):
    """A picture that is in use is the same object for all, so that its name is found out once."""

    def __init__(self, rows: PictureRows, max_pixels: int | None) -> None:
        self.rows, self.max_pixels = rows, max_pixels
        self.used: WeakValueDictionary[str, Picture] = WeakValueDictionary()
        self.scaled: Recent[bytes] = Recent(HELD_BYTES, len)

    def __getitem__(self, name: str) -> Picture:
        if name not in self.rows.place:
            raise KeyError(name)
        picture = self.used.get(name)
        if picture is None:
            picture = self.used[name] = self._make(name)
        return picture

    def _make(self, name: str) -> Picture:
        picture = Picture(partial(self.rows.read, name))
        if self.max_pixels is None:
            return picture
        smaller = picture.within(self.max_pixels)
        return Picture(lambda: self.scaled.get(smaller.name, smaller.load), smaller.name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows.place)

    def __len__(self) -> int:
        return len(self.rows.place)
