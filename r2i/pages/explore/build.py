"""A table's index, made by one look through its filter columns."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from r2i.core.errors import TableError
from r2i.pages.explore.database import Database
from r2i.pages.explore.index import Cells, Index, Numbers, Text
from r2i.pages.explore.shards import Shards, open_shards
from r2i.pages.explore.sheets import NONE, Sheet

LARGEST = 48 * 2**20  # bytes of a column's texts that are kept: larger ones are searched in the files


class Column:
    """Texts as they come, batch after batch, each kept once."""

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0
        self.chunks: list[pa.DictionaryArray] = []

    def add(self, values: pa.Array) -> None:
        if self.held <= self.most:
            self.chunks.append(values.dictionary_encode())
            self.held += self.chunks[-1].dictionary.nbytes
            if self.held > 2 * self.most or (self.held > self.most and self._shorter() > self.most):
                self.chunks = []

    def _shorter(self) -> int:
        """Bytes after texts that came in several batches were made one."""
        self.chunks = pa.chunked_array(self.chunks).unify_dictionaries().chunks
        self.held = self.chunks[0].dictionary.nbytes
        return self.held

    def done(self, places: list[Numbers], rows: int) -> Text | None:
        """None where they are too large."""
        if not self.chunks:
            return None if self.held else Text(np.full(rows, -1, np.int32), pa.array([], pa.string()))
        chunks = pa.chunked_array(self.chunks).unify_dictionaries().chunks
        codes = np.full(rows, -1, np.int32)
        for at, chunk in zip(places, chunks, strict=True):
            codes[at] = chunk.indices.fill_null(-1).to_numpy()
        return Text(codes, chunks[-1].dictionary)


def build_index(sheet: Sheet, database: Database) -> Index:
    """Read a table's filter columns once. Raises TableError."""
    tables = sheet.tables()
    if not tables:
        raise TableError(f"no table in {sheet.table.folder}", f"run `dvc repro {sheet.table.stage}`")
    shards = open_shards(tables)
    asked = _shards_of(sheet, "q")
    sql, bound = _query(sheet, shards, asked, _shards_of(sheet, "v"))
    known, cells = Cells(len(sheet.facets)), np.zeros(shards.rows, np.int32)
    texts = {name: Column(LARGEST) for name in sheet.texts}
    sorts = {name: np.full(shards.rows, np.nan, np.float32) for name in sheet.sorts}
    question = np.full(shards.rows, -1, np.int32)
    places: list[Numbers] = []
    for batch in database.batches(sheet.table.folder, sql, bound):
        columns = iter(batch.columns)
        at = shards.numbers(next(columns), next(columns))
        places.append(at)
        cells[at] = known.add([next(columns) for _ in sheet.facets])
        for column in texts.values():
            column.add(next(columns))
        for name in sheet.sorts:
            sorts[name][at] = next(columns).to_numpy(zero_copy_only=False)
        if asked:
            file, row = next(columns), next(columns)
            there = file.is_valid().to_numpy(zero_copy_only=False)
            question[at[there]] = asked.numbers(file.drop_null(), row.drop_null())
    kept = {name: text for name, column in texts.items() if (text := column.done(places, shards.rows))}
    if asked and (text := _questions(sheet, database, asked)):
        kept["question"] = Text(np.append(text.codes, np.int32(-1))[question], text.values)
    return Index(sheet, shards, cells, known.codes(), [list(values) for values in known.known], sorts, kept)


def _shards_of(sheet: Sheet, alias: str) -> Shards | None:
    """Of a joined table; None where it is not there."""
    table = dict(sheet.joins).get(alias)
    try:
        return open_shards([table]) if table else None
    except TableError:
        return None


def _questions(sheet: Sheet, database: Database, asked: Shards) -> Text | None:
    """The questions' texts, of the rows of `asked`; None where they are too large."""
    places: list[Numbers] = []
    column = Column(LARGEST)
    sql = "SELECT CAST(file_index AS BIGINT), file_row_number, question FROM read_parquet(?)"
    for batch in database.batches(dict(sheet.joins)["q"].folder, sql, [asked.files]):
        places.append(asked.numbers(batch.column(0), batch.column(1)))
        column.add(batch.column(2))
    return column.done(places, asked.rows)


def _query(sheet: Sheet, shards: Shards, asked: Shards | None, voted: Shards | None) -> tuple[str, list[Any]]:
    """SQL of place, facets, texts, sort columns, the question's place. A joined table that is missing gives nulls."""
    bound: list[Any] = []
    run = ""
    if sheet.parts:
        run = ", list_extract(?, 1 + CAST(file_index AS INT)) AS run"
        bound.append(shards.runs)
    bound.append(shards.files)
    joins = ""
    if "v" in dict(sheet.joins):
        joins += _join("v", "agree, valid", ("agree", "valid"), voted, bound)
    if "q" in dict(sheet.joins):
        place = "dimension, CAST(file_index AS BIGINT) AS file_at, file_row_number AS row_at"
        joins += _join("q", place, ("dimension",), asked, bound)
    facets = [f"coalesce(CAST({facet.expression} AS VARCHAR), '{NONE}')" for facet in sheet.facets]
    texts = [f't."{name}"' for name in sheet.texts]
    sorts = [f'CAST(t."{name}" AS FLOAT)' for name in sheet.sorts]
    question = ["q.file_at", "q.row_at"] if asked else []
    wanted = ", ".join(["CAST(t.file_at AS BIGINT)", "t.row_at", *facets, *texts, *sorts, *question])
    rows = f"(SELECT *, file_index AS file_at, file_row_number AS row_at{run} FROM read_parquet(?)) t"
    return f"SELECT {wanted} FROM {rows}{joins}", bound


def _join(alias: str, columns: str, nulls: Sequence[str], found: Shards | None, bound: list[Any]) -> str:
    if found:
        bound.append(found.files)
        return f" LEFT JOIN (SELECT question_id, {columns} FROM read_parquet(?)) {alias} USING (question_id)"
    empty = ", ".join(f"NULL::VARCHAR AS {name}" for name in ("question_id", *nulls))
    return f" LEFT JOIN (SELECT {empty}) {alias} USING (question_id)"
