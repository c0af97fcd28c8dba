"""The files of a table, and its rows by their number: row groups are read, not files."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from r2i.core.catalogue import Listed
from r2i.core.errors import TableError
from r2i.core.tables import Row
from r2i.pages.web.pictures import Stamp, stamp_of

Numbers = npt.NDArray[np.int64]
OPEN = 64  # files held open at most
_opened: dict[tuple[str, ...], tuple[Stamp, "Shards"]] = {}
_opening = threading.Lock()


def open_shards(tables: Sequence[Listed]) -> "Shards":
    """The files of tables of one schema as they are now, opened once. Raises TableError as `Shards` does."""
    key = tuple(str(table.folder) for table in tables)
    try:
        stamp = stamp_of([path for table in tables for path in sorted(table.folder.glob("part-*.parquet"))])
    except OSError:  # gone between two looks: to be looked at in full
        stamp = ()
    with _opening:
        known = _opened.get(key)
        if known is None or known[0] != stamp or not stamp:
            known = _opened[key] = (stamp, Shards(tables))
        return known[1]


class Shards:
    """The files as they were when they were opened. Safe to use from several threads.

    `files`: paths, in order; `stamp`: theirs, from before any was read; `first`: (files + 1,) number of the first
    row of each, then the count of all rows; `runs`: (files,) name of the folder that a file lies in: the model of a
    prediction.
    """

    def __init__(self, tables: Sequence[Listed]) -> None:
        """Raises TableError where a table is missing or of another schema."""
        self.files: list[str] = []
        self.runs: list[str] = []
        for table in tables:
            parts = [str(path) for path in table.parts()]
            self.files += parts
            self.runs += [table.folder.name] * len(parts)
        try:
            self.stamp = stamp_of([Path(path) for path in self.files])
        except OSError as error:
            raise TableError(f"{tables[0].folder} changed while it was read", "ask again") from error
        self._open: OrderedDict[int, tuple[pq.ParquetFile, Numbers]] = OrderedDict()
        self._lock = threading.Lock()
        with self._lock:
            counts = [int(self._file(at)[1][-1]) for at in range(len(self.files))]
        self.first: Numbers = np.cumsum([0, *counts]).astype(np.int64)

    @property
    def rows(self) -> int:
        return int(self.first[-1])

    def file_of(self, number: int) -> int:
        """Which of `files` a row lies in."""
        return int(np.searchsorted(self.first, number, side="right")) - 1

    def numbers(self, files: pa.Array, rows: pa.Array) -> Numbers:
        """Of rows, by file and place in it. Raises TableError where a file has got more rows than it had."""
        at = files.to_numpy()
        found: Numbers = self.first[at] + rows.to_numpy()
        if (found >= self.first[at + 1]).any():
            raise TableError("a file changed while it was read", "ask again")
        return found

    def check(self) -> None:
        """Raises TableError where a file is no longer the one that was opened: rows' numbers mean other rows now."""
        try:
            same = stamp_of([Path(path) for path in self.files]) == self.stamp
        except OSError:
            same = False
        if not same:
            raise TableError(f"{Path(self.files[0]).parent} changed while it was read", "ask again")

    def read(self, numbers: Sequence[int], columns: list[str]) -> list[Row]:
        """The rows of these numbers, in their order, with `columns` and `run`. Raises TableError."""
        wanted: dict[tuple[int, int], list[tuple[int, int]]] = {}  # (file, row group) -> (row in it, place)
        with self._lock:
            try:
                for place, number in enumerate(numbers):
                    at = self.file_of(number)
                    inside = number - int(self.first[at])
                    ends = self._file(at)[1]
                    group = int(np.searchsorted(ends, inside, side="right"))
                    before = int(ends[group - 1]) if group else 0
                    wanted.setdefault((at, group), []).append((inside - before, place))
                return self._rows(wanted, columns, len(numbers))
            except (pa.ArrowException, OSError) as error:
                raise TableError(f"{self.files[0]} and its like can't be read ({error})", "ask again") from error

    def _rows(self, wanted: dict[tuple[int, int], list[tuple[int, int]]], columns: list[str], count: int) -> list[Row]:
        found: list[Row] = [{} for _ in range(count)]
        for (at, group), places in sorted(wanted.items()):
            rows = self._file(at)[0].read_row_group(group, columns=columns, use_threads=False)
            taken = rows.take(pa.array([inside for inside, _ in places])).to_pylist()
            for (_, place), row in zip(places, taken, strict=True):
                found[place] = row | {"run": self.runs[at]}
        return found

    def _file(self, at: int) -> tuple[pq.ParquetFile, Numbers]:
        """An open file, and the number of rows up to the end of each row group."""
        if at not in self._open:
            file = pq.ParquetFile(self.files[at], pre_buffer=False)
            ends = np.cumsum([file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] or [0])
            self._open[at] = (file, ends.astype(np.int64))
        self._open.move_to_end(at)
        while len(self._open) > OPEN:
            self._open.popitem(last=False)[1][0].close()
        return self._open[at]
