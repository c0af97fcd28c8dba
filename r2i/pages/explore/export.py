"""The rows that a page has chosen, without pictures, as they stream: CSV, JSON lines, Parquet, or their ids alone."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r2i.core.errors import TableError
from r2i.pages.explore.index import Index, Numbers
from r2i.pages.web.errors import BadRequest

BATCH = 4096  # rows in memory
TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson", "parquet": "application/vnd.apache.parquet",
         "ids": "text/plain; charset=utf-8"}  # fmt: skip
Writer = Callable[[Iterator[pa.RecordBatch], pa.Schema], Iterator[bytes]]


def export(index: Index, numbers: Numbers, form: str) -> Iterator[bytes]:
    """The file's bytes, piece by piece; rows in the order of the shards. Raises BadRequest for an unknown form.

    Where the table changes on the way the stream breaks off with TableError: half a file is no file.
    """
    if form not in WRITERS:
        raise BadRequest(f"no format {form[:20]!r}", f"one of {', '.join(WRITERS)}")
    names = [index.sheet.key] if form == "ids" else index.sheet.light
    schema = pa.schema([index.sheet.table.schema.field(name) for name in names]).remove_metadata()
    if index.sheet.parts and form != "ids":
        schema = schema.append(pa.field("run", pa.string()))
    return WRITERS[form](_batches(index, numbers, names, schema), schema)


def _batches(index: Index, numbers: Numbers, names: list[str], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The chosen rows, file by file."""
    import numpy as np

    chosen = np.zeros(index.rows, bool)
    chosen[numbers] = True
    index.shards.check()
    try:
        for at, path in enumerate(index.shards.files):
            before, end = int(index.shards.first[at]), int(index.shards.first[at + 1])
            if not chosen[before:end].any():
                continue
            with pq.ParquetFile(path, pre_buffer=False) as file:
                for batch in file.iter_batches(BATCH, columns=names):
                    mask = chosen[before : before + batch.num_rows]
                    before += batch.num_rows
                    if mask.any():
                        yield _in_order(batch.filter(pa.array(mask)), schema, index.shards.runs[at])
            index.shards.check()
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{index.sheet.table.folder} changed while it was read", "ask again") from error
    index.shards.check()


def _in_order(batch: pa.RecordBatch, schema: pa.Schema, run: str) -> pa.RecordBatch:
    columns = [pa.repeat(run, batch.num_rows) if name == "run" else batch.column(name) for name in schema.names]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _ids(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[bytes]:
    for batch in batches:
        yield "".join(f"{value}\n" for value in batch.column(0).to_pylist()).encode()


def _jsonl(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[bytes]:
    for batch in batches:
        yield "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in batch.to_pylist()).encode()


def _csv(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[bytes]:
    """Lists and calls as JSON; a null is empty."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(schema.names)
    for batch in batches:
        writer.writerows([_cell(value) for value in row.values()] for row in batch.to_pylist())
        yield _taken(text)
    yield _taken(text)


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _taken(text: io.StringIO) -> bytes:
    data = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return data


class _Pieces(io.RawIOBase):
    """What a writer has written since it was last looked at."""

    def __init__(self) -> None:
        self.held: list[bytes] = []
        self.at = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.held.append(bytes(data))
        self.at += len(self.held[-1])
        return len(self.held[-1])

    def tell(self) -> int:
        return self.at

    def take(self) -> bytes:
        data, self.held = b"".join(self.held), []
        return data


def _parquet(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[bytes]:
    pieces = _Pieces()
    with pq.ParquetWriter(pa.PythonFile(pieces, "w"), schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield pieces.take()
    yield pieces.take()


WRITERS: dict[str, Writer] = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet, "ids": _ids}
