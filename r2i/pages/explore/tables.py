"""The tables as they are now: indexed when first asked for, and anew when a stage has written them again."""

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from r2i.core.errors import TableError
from r2i.core.tables import Row
from r2i.pages.explore.build import build_index
from r2i.pages.explore.choice import Choice
from r2i.pages.explore.database import Database, columns_sql
from r2i.pages.explore.index import Index, Numbers
from r2i.pages.explore.shards import open_shards
from r2i.pages.explore.sheets import SHEETS, Sheet
from r2i.pages.web.errors import Conflict
from r2i.pages.web.pictures import Stamp, stamp_of

KEPT = 6  # selections of rows in memory: numbers of rows, 8 bytes each
CHECKED = 0.5  # seconds for which a table is taken to be as it was
T = TypeVar("T")


class Tables:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self.database = Database()
        self._indexes: dict[str, tuple[Stamp, Index]] = {}
        self._checked: dict[str, float] = {}
        self._locks = {slug: threading.Lock() for slug in SHEETS}
        self._kept: OrderedDict[tuple[Any, ...], Numbers] = OrderedDict()
        self._keeping = threading.Lock()

    def index(self, slug: str) -> Index:
        """Raises TableError where the table is missing or can't be read."""
        with self._locks[slug]:
            stamp, index = self._indexes.get(slug, (None, None))
            if index is not None and time.monotonic() - self._checked[slug] < CHECKED:
                return index
            now = stamp_now(SHEETS[slug])
            if index is None or stamp != now:
                self._indexes.pop(slug, None)
                index = build_index(SHEETS[slug], self.database)
                self._indexes[slug] = (now, index)
            self._checked[slug] = time.monotonic()
            return index

    def steady(self, slug: str, look: Callable[[Index], T]) -> T:
        """What `look` finds in a table that stayed the same meanwhile. Raises TableError, Conflict."""
        for _ in range(3):
            index = self.index(slug)
            try:
                found = look(index)
            except TableError:
                if self._is_as_read(slug):
                    raise
            else:
                if self._is_as_read(slug):
                    return found
            self._checked[slug] = 0.0
        raise Conflict(f"{SHEETS[slug].title.lower()} are being written just now", "ask again when the stage has ended")

    def _is_as_read(self, slug: str) -> bool:
        known = self._indexes.get(slug)
        return known is not None and known[0] == stamp_now(SHEETS[slug])

    def among(self, index: Index, choice: Choice) -> Numbers | None:
        """Numbers of the rows that have the text and ids that are asked for; None: all have."""
        if not choice.text and not choice.ids:
            return None
        key = (index.serial, choice.text, choice.long, *sorted(choice.ids.items()))
        return self._keep(key, lambda: self._search(index, choice))

    def selected(self, index: Index, choice: Choice) -> Numbers:
        """Numbers of all rows that `choice` shows, in its order."""
        among = self.among(index, choice)
        facets = tuple(sorted(choice.facets.items()))
        key = (index.serial, facets, choice.text, choice.long, *sorted(choice.ids.items()), choice.sort, choice.down)
        return self._keep(key, lambda: index.select(choice.facets, among, choice.sort, choice.down))

    def _keep(self, key: tuple[Any, ...], make: Callable[[], Numbers]) -> Numbers:
        with self._keeping:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = make()
        with self._keeping:
            self._kept[key] = found
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found

    def _search(self, index: Index, choice: Choice) -> Numbers:
        """By the texts in memory; ids and texts that are not there are looked for in the files."""
        found: Numbers | None = None
        if choice.ids:
            found = self._scan(index, *ids_sql(index, choice))
        if not choice.text:
            return np.zeros(0, np.int64) if found is None else found
        hits = np.zeros(index.rows, bool)
        for text in index.texts.values():
            hits |= text.matching(choice.text)
        if scan := text_sql(index, choice):
            hits[self._scan(index, *scan)] = True
        return np.flatnonzero(hits) if found is None else found[hits[found]]

    def _scan(self, index: Index, sql: str, bound: list[Any]) -> Numbers:
        found = [
            index.shards.numbers(batch.column(0), batch.column(1))
            for batch in self.database.batches(index.sheet.table.folder, sql, bound)
        ]
        return np.sort(np.concatenate(found)) if found else np.zeros(0, np.int64)

    def find(
        self,
        slug: str,
        column: str,
        ids: list[str],
        columns: list[str] | None = None,
        run: str = "",
        most: int | None = 500,
    ) -> list[Row]:
        """At most `most` rows (None: all) whose `column` is one of `ids`, by their key. `run`: of that folder alone.

        Raises TableError. It needs no index: files know which ids a row group can hold.
        """
        sheet = SHEETS[slug]
        tables = sheet.tables() or [sheet.table]
        found: list[Row] = []
        for table in [table for table in tables if run in ("", table.folder.name) or table is sheet.table]:
            sql = f"SELECT {columns_sql(columns or sheet.light)} FROM read_parquet(?) t "
            sql += f'WHERE t."{column}" IN ({", ".join("?" * len(ids))}) ORDER BY t."{sheet.key}"'
            sql += "" if most is None else f" LIMIT {most}"
            rows = self.database.rows(table.folder, sql, [open_shards([table]).files, *ids]) if ids else []
            found += [row | {"run": table.folder.name} for row in rows]
        return found


def stamp_now(sheet: Sheet) -> Stamp:
    """Of all files that a sheet's index is made from. A table that is not there has no files."""
    folders = [table.folder for table in (*sheet.tables(), *(table for _, table in sheet.joins))]
    for _ in range(3):
        try:
            return stamp_of([path for folder in folders for path in sorted(folder.glob("part-*.parquet"))])
        except OSError:  # gone between two looks
            continue
    return ()


PLACE = "SELECT CAST(file_index AS BIGINT), file_row_number FROM read_parquet(?) t WHERE "


def ids_sql(index: Index, choice: Choice) -> tuple[str, list[Any]]:
    """Places of the rows that refer to all of the ids."""
    return PLACE + " AND ".join(f't."{name}" = ?' for name in choice.ids), [index.shards.files, *choice.ids.values()]


def text_sql(index: Index, choice: Choice) -> tuple[str, list[Any]] | None:
    """Places of the rows that have the text where memory has not: in long texts, or as their id; None: no need."""
    sheet = index.sheet
    columns = [name for name in sheet.texts if name not in index.texts]
    columns += sheet.long_texts if choice.long else ()
    any_of = [f'regexp_matches(t."{name}", ?)' for name in columns]
    pattern = "(?i)" + re.escape(choice.text)  # a fifth faster than lower()
    bound: list[Any] = [pattern] * len(columns)
    if "question" not in index.texts and (files := _question_files(sheet)):
        any_of.append("t.question_id IN (SELECT question_id FROM read_parquet(?) WHERE regexp_matches(question, ?))")
        bound += [files, pattern]
    if looks_like_id(choice.text):
        any_of.append(f't."{sheet.key}" = ?')
        bound.append(choice.text)
    return (PLACE + " OR ".join(any_of), [index.shards.files, *bound]) if any_of else None


def _question_files(sheet: Sheet) -> list[str]:
    """Where the questions of a table without such a column stand: the table that its pages show them from."""
    joins = dict(sheet.joins)
    for alias in ("q", "v") if "q" in joins else ():
        try:
            return open_shards([joins[alias]]).files
        except TableError:
            continue
    return []


def looks_like_id(text: str) -> bool:
    return len(text) > 7 and " " not in text and any(char.isdigit() for char in text)
