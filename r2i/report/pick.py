"""Rows by chance and rows by id, out of tables of any size: ids are read through, pictures only of what is shown."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from r2i.core.catalogue import BATCH, Listed
from r2i.core.errors import TableError

Row = dict[str, Any]


class Draw:
    """`count` ids at random: those whose hash with `salt` is lowest. The order of `add` plays no part."""

    def __init__(self, count: int, *salt: object) -> None:
        self.count = count
        self.salt = sha256("".join(f"{part}\0" for part in salt).encode())
        self.heap: list[tuple[int, str]] = []  # (-hash, id): the highest hash on top

    def add(self, ids: Iterable[str]) -> None:
        for one in ids:
            mixed = self.salt.copy()
            mixed.update(one.encode())
            mark = (-int.from_bytes(mixed.digest()[:8], "big"), one)
            if len(self.heap) < self.count:
                heapq.heappush(self.heap, mark)
            elif self.heap and mark > self.heap[0]:
                heapq.heapreplace(self.heap, mark)

    def ids(self) -> list[str]:
        return [one for _, one in sorted(self.heap, reverse=True)]


def there(listed: Listed) -> bool:
    """Whether the table was written."""
    return any(listed.folder.glob("part-*.parquet"))


def batches(listed: Listed, columns: Sequence[str]) -> Iterator[pa.Table]:
    """A few columns of all rows, up to BATCH rows at once. Raises TableError."""
    for batch in listed.batches(list(columns)):
        yield pa.Table.from_batches([batch])


def fetch(listed: Listed, key: str, wanted: Iterable[str], columns: Sequence[str]) -> list[Row]:
    """Rows whose `key` is wanted, with `columns`, in order of the table's id. Raises TableError.

    The one column is read through; of the others, those row groups that hold such a row.
    """
    ids = pa.array(sorted(set(wanted)), pa.string())
    names = list(dict.fromkeys([listed.key, key, *columns]))
    found: list[Row] = []
    try:
        for path in listed.parts() if len(ids) else []:
            with pq.ParquetFile(path, pre_buffer=False) as file:
                for group in _groups(file, key, ids):
                    rows = file.read_row_group(group, columns=names)
                    found += rows.filter(pc.is_in(rows[key], ids)).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{listed.folder} can't be read ({error})", f"run `dvc checkout {listed.folder}`") from error
    return sorted(found, key=lambda row: str(row[listed.key]))


def _groups(file: pq.ParquetFile, key: str, ids: pa.Array) -> list[int]:
    """The row groups that hold a row whose `key` is one of `ids`."""
    ends = np.cumsum([file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)])
    before, places = 0, []
    for batch in file.iter_batches(BATCH, columns=[key]):
        places.append(before + pc.indices_nonzero(pc.is_in(batch.column(0), ids)).to_numpy().astype(np.int64))
        before += batch.num_rows
    rows = np.concatenate(places) if places else np.zeros(0, np.int64)
    return [int(group) for group in np.unique(np.searchsorted(ends, rows, side="right"))]


def fetch_there(listed: Listed, key: str, wanted: Iterable[str], columns: Sequence[str]) -> list[Row]:
    """As `fetch`; [] where the table was not written."""
    return fetch(listed, key, wanted, columns) if there(listed) else []


def by(rows: Iterable[Row], key: str) -> dict[str, Row]:
    return {row[key]: row for row in rows}


def grouped(rows: Iterable[Row], key: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[key], []).append(row)
    return found
