"""The rows that people decide about, as a server needs them: few in memory, read anew when the tables change."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from r2i.core.catalogue import Listed
from r2i.core.errors import TableError
from r2i.core.images import read_size
from r2i.core.tables import Row
from r2i.endpoint.base import Picture
from r2i.review.decisions import Decision, Decisions, Frame, Was, by_subject, was_of

READ = 4096  # rows at once


class Subjects(ABC):
    """`frame`: what is drawn from; `path`: its decisions; `tables`: those that are read."""

    frame: Frame
    path: Path
    tables: tuple[Listed, ...]

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._gone: set[str] = set()  # asked for, and not there: not looked for again
        self._pictures: dict[str, Mapping[str, Picture]] = {}
        self._seen: tuple[Any, ...] = ()
        self._strata: dict[str, str] = {}
        self._lock = threading.RLock()

    def strata(self) -> dict[str, str]:
        """Stratum by subject, of all that can be drawn. Raises TableError where a table is missing."""
        with self._lock:
            self._renew()
            return self._strata

    def rows(self, ids: Iterable[str]) -> dict[str, Row]:
        """Those that are there. Keys: columns of the tables without pictures; `id`, `shown`: there is a picture."""
        with self._lock:
            self._renew()
            wanted = set(ids)
            if missing := wanted - self._rows.keys() - self._gone:
                self._rows |= self._find(missing)
                self._gone |= missing - self._rows.keys()
            return {name: self._rows[name] for name in wanted if name in self._rows}

    def picture(self, subject: str) -> bytes:
        """The full image, JPEG bytes. Raises TableError."""
        with self._lock:
            row = self.rows([subject]).get(subject)
            if row is None or not row["shown"]:
                raise TableError(f"no picture of {subject!r}", f"run `dvc repro {self.tables[0].stage}`")
            if subject not in self._pictures:
                shown = [name for name, one in self._rows.items() if one["shown"] and name not in self._pictures]
                try:
                    found = self._open([subject, *shown])
                except TableError:  # another row's picture is gone
                    found, shown = self._open([subject]), [subject]
                self._pictures |= dict.fromkeys(shown, found)
            return self._pictures[subject][self._picture_id(row)].load()

    def size(self, subject: str) -> tuple[int, int]:
        """Width and height of the full image, pixels."""
        return read_size(self.picture(subject))

    def was(self, row: Row, decisions: Iterable[Decision] = ()) -> Was:
        """What is decided about. `decisions`: all about the row, undone ones too."""
        return was_of(row)

    def _renew(self) -> None:
        seen = tuple(_look(table) for table in self.tables)
        if seen != self._seen:
            # nothing is known until it is read: a table may be gone for a while, and come back as it was
            self._rows, self._pictures, self._strata, self._gone, self._seen = {}, {}, {}, set(), ()
            self._strata, self._seen = self._read_strata(), seen

    def version(self) -> object:
        """Another one when the tables have changed."""
        with self._lock:
            self._renew()
            return self._seen

    @abstractmethod
    def _read_strata(self) -> dict[str, str]: ...

    @abstractmethod
    def _find(self, ids: set[str]) -> dict[str, Row]: ...

    @abstractmethod
    def _open(self, ids: Iterable[str]) -> Mapping[str, Picture]: ...

    @abstractmethod
    def _picture_id(self, row: Row) -> str: ...


def standing(subjects: Subjects, decisions: Decisions) -> dict[str, list[Decision]]:
    """Of every subject that is there: the decisions that stand about what it is now."""
    rows = subjects.rows({one.subject for one in decisions.all})
    every = by_subject(decisions.all)
    was = {name: subjects.was(row, every[name]) for name, row in rows.items()}
    found: dict[str, list[Decision]] = {}
    for one in decisions.standing():
        if one.subject in was and one.was == was[one.subject]:
            found.setdefault(one.subject, []).append(one)
    return found


def each(table: Listed, columns: list[str], key: str = "", ids: Iterable[str] = ()) -> Iterator[Row]:
    """All rows, of a few columns; with `key`, those whose value there is one of `ids`. Raises TableError."""
    wanted = pa.array(sorted(ids), pa.string())
    for batch in table.batches(columns):
        found = batch.filter(pc.is_in(batch.column(key), wanted)) if key else batch
        for start in range(0, found.num_rows, READ):
            yield from found.slice(start, READ).to_pylist()


def _look(table: Listed) -> tuple[Any, ...]:
    """What changes when the table does."""
    try:
        stats = [(path.name, path.stat()) for path in sorted(table.folder.glob("part-*.parquet"))]
    except OSError:
        return ("changing",)
    return tuple((name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
