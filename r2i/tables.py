"""Parquet tables whose bytes depend on their rows alone.

Explicit schema, rows sorted by their id, one compression level, one row-group size. A table is a
folder of shards; a row's shard follows from a hash of its image, so that new images leave the
other shards' bytes alone. Files are written beside the folder and moved in one step: a stage that
is killed leaves no half-written table.
"""

import hashlib
import itertools
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r2i.errors import TableError

Row = dict[str, Any]
ROW_GROUP = 256  # rows; small because rows may hold images
LEVEL = 3  # zstd


def shard_of(key: str, shards: int) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % shards


def write_table(folder: Path, rows: Iterable[Mapping[str, Any]], schema: pa.Schema, shards: int = 1) -> None:
    """Write `rows` as `folder/part-00000-of-0000N.parquet`, replacing what was there.

    Rows are sorted by the schema's first field, which must be unique. The shard of a row is chosen
    by its `image_id` where it has one, else by its first field.
    """
    key = schema.names[0]
    ordered = sorted(rows, key=lambda row: row[key])
    for before, after in itertools.pairwise(ordered):
        if before[key] == after[key]:
            raise TableError(f"two rows of {folder} share the {key} {after[key]!r}", "this is a defect in the stage")
    by = "image_id" if "image_id" in schema.names else key
    groups: list[list[Mapping[str, Any]]] = [[] for _ in range(shards)]
    for row in ordered:
        groups[shard_of(row[by], shards)].append(row)
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        for number, group in enumerate(groups):
            table = pa.Table.from_pylist([dict(row) for row in group], schema=schema)
            name = f"part-{number:05d}-of-{shards:05d}.parquet"
            pq.write_table(
                table, part / name, compression="zstd", compression_level=LEVEL,
                row_group_size=ROW_GROUP, write_statistics=True, use_dictionary=True,
            )  # fmt: skip
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _parts(folder: Path, schema: pa.Schema, made_by: str) -> list[Path]:
    remedy = f"run `dvc repro {made_by}`"
    parts = sorted(folder.glob("part-*.parquet")) if folder.is_dir() else []
    if not parts:
        raise TableError(f"no table in {folder}", remedy)
    for path in parts:
        try:
            found = pq.read_schema(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise TableError(f"{path} is not a readable Parquet file ({error})", remedy) from error
        for field in schema:
            if field.name not in found.names:
                raise TableError(f"{path} has no column {field.name!r}", remedy)
            if found.field(field.name).type != field.type:
                raise TableError(
                    f"column {field.name!r} of {path} is {found.field(field.name).type}, not {field.type}", remedy
                )
    return parts


def read_table(
    folder: Path,
    schema: pa.Schema,
    made_by: str,
    columns: list[str] | None = None,
    allow_empty: bool = False,
) -> list[Row]:
    """All rows of a table as dicts, in order of their id.

    `made_by` is the stage that writes the table: it is named in the remedy of every error. Raises
    TableError where the table is missing, unreadable, of another schema, or empty (unless
    `allow_empty`).
    """
    rows = list(iter_rows(folder, schema, made_by, columns))
    if not rows and not allow_empty:
        raise TableError(f"no rows in {folder}", f"look at metrics/{made_by}.json, then run `dvc repro {made_by}`")
    if schema.names[0] in (rows[0] if rows else {}):
        rows.sort(key=lambda row: row[schema.names[0]])
    return rows


def iter_rows(folder: Path, schema: pa.Schema, made_by: str, columns: list[str] | None = None) -> Iterator[Row]:
    """Rows one row group at a time, shard after shard: memory stays bounded."""
    names = columns or schema.names
    for path in _parts(folder, schema, made_by):
        for batch in pq.ParquetFile(path).iter_batches(batch_size=ROW_GROUP, columns=names):
            yield from batch.to_pylist()


def ok_rows(rows: Iterable[Row], folder: Path, made_by: str) -> list[Row]:
    """The rows with status `ok`. Raises TableError where there is none: the next stage has no input."""
    kept = [row for row in rows if row["status"] == "ok"]
    if not kept:
        raise TableError(f"no row of {folder} is ok", f"metrics/{made_by}.json counts the reasons")
    return kept


def read_blobs(folder: Path, schema: pa.Schema, made_by: str, column: str, ids: Iterable[str]) -> dict[str, bytes]:
    """Bytes in `column` by id (the schema's first field), for `ids` alone; other rows are not kept.

    Raises TableError where an id has no row or its bytes are null: the tables are of different runs.
    """
    key, wanted = schema.names[0], set(ids)
    blobs = {
        row[key]: row[column]
        for row in iter_rows(folder, schema, made_by, [key, column])
        if row[key] in wanted and row[column] is not None
    }
    if missing := sorted(wanted - blobs.keys()):
        raise TableError(f"{folder} has no {column} for {missing[0]!r} and {len(missing) - 1} more",
                         f"run `dvc repro {made_by}` and what follows")  # fmt: skip
    return blobs
