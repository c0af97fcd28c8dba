"""Parquet tables whose bytes depend on their rows alone.

Explicit schema, rows sorted by their id within a shard, one compression level, one rule for row groups. A table is
a folder of shards. The tables from images to train rows are cut alike (r2i.core.shards); others by a hash of the
row's image. Files are written beside the folder and moved in one step: a stage that is killed leaves no half-written
table.
"""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r2i.core.disk import new_folder
from r2i.core.errors import TableError

Row = dict[str, Any]
ROW_GROUP = 256  # most rows of a row group
GROUP_BYTES = 16 * 2**20  # most bytes of pictures in one, unless it is a single row
LEVEL = 3  # zstd


def shard_of(key: str, shards: int) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % shards


def write_table(
    folder: Path, rows: Iterable[Mapping[str, Any]], schema: pa.Schema, shards: int | Mapping[str, str] = 1
) -> None:
    """Write `rows` as the files of `folder`, replacing what was there.

    `shards`: the name of each image's shard by image_id (`part-<name>.parquet`; a shard without rows is written too);
    or how many, `part-00000-of-0000N.parquet`, chosen by a hash of `image_id`, of the schema's first field where
    there is none. Within a shard rows are sorted by the first field, which must be unique. A value may be a function
    without arguments that gives it: it is called when the row is written, so that `rows` need not hold pictures.
    Raises DiskError where it can't be written; what was there then stays.
    """
    ordered = sort_rows(rows, schema, str(folder))
    by = "image_id" if "image_id" in schema.names else schema.names[0]
    if isinstance(shards, int):
        names = [f"{number:05d}-of-{shards:05d}" for number in range(shards)]
        groups: dict[str, list[Mapping[str, Any]]] = {name: [] for name in names}
        for row in ordered:
            groups[names[shard_of(row[by], shards)]].append(row)
    else:
        groups = {name: [] for name in shards.values()}
        for row in ordered:
            groups[shards[row[by]]].append(row)
    with new_folder(folder) as part:
        for name, group in groups.items():
            write_part(part_path(part, name), group, schema)


def sort_rows(rows: Iterable[Mapping[str, Any]], schema: pa.Schema, where: str = "a table") -> list[Mapping[str, Any]]:
    """`rows` by the schema's first field. Raises TableError where two share it; `where` names the table then."""
    key = schema.names[0]
    ordered = sorted(rows, key=lambda row: row[key])
    for before, after in itertools.pairwise(ordered):
        if before[key] == after[key]:
            raise TableError(f"two rows of {where} share the {key} {after[key]!r}", "this is a defect in the stage")
    return ordered


def part_path(folder: Path, name: str) -> Path:
    """The file of the shard `name`."""
    return folder / f"part-{name}.parquet"


def part_name(path: Path) -> str:
    """The shard's name, out of its file's."""
    return path.stem.removeprefix("part-")


def write_part(path: Path, rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> None:
    """One shard of rows that are in order, a row group at a time: memory holds the pictures of one group."""
    with pq.ParquetWriter(
        path, schema, compression="zstd", compression_level=LEVEL, write_statistics=True, use_dictionary=True
    ) as writer:
        written = False
        for group in _row_groups(rows):
            writer.write_table(pa.Table.from_pylist(group, schema=schema), row_group_size=ROW_GROUP)
            written = True
        if not written:
            writer.write_table(schema.empty_table())


def _row_groups(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Row]]:
    """`rows` with their values read, at most ROW_GROUP rows and GROUP_BYTES of pictures together."""
    group: list[Row] = []
    held = 0
    for lazy in rows:
        row = {name: value() if callable(value) else value for name, value in lazy.items()}
        size = sum(len(value) for value in row.values() if isinstance(value, bytes))
        if group and (len(group) == ROW_GROUP or held + size > GROUP_BYTES):
            yield group
            group, held = [], 0
        group.append(row)
        held += size
    if group:
        yield group


def table_parts(folder: Path, schema: pa.Schema, made_by: str) -> list[Path]:
    """The shards' files, in order. `folder`: a table, or one of its shards. Raises TableError as `read_table` does."""
    remedy = f"run `dvc repro {made_by}`"
    parts = sorted(folder.glob("part-*.parquet")) if folder.is_dir() else [folder] if folder.is_file() else []
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
        raise no_rows(folder, made_by)
    if schema.names[0] in (rows[0] if rows else {}):
        rows.sort(key=lambda row: row[schema.names[0]])
    return rows


def iter_rows(folder: Path, schema: pa.Schema, made_by: str, columns: list[str] | None = None) -> Iterator[Row]:
    """Rows one row group at a time, shard after shard: memory stays bounded."""
    names = columns or schema.names
    pictures = any(pa.types.is_binary(schema.field(name).type) for name in names)
    for path in table_parts(folder, schema, made_by):
        with pq.ParquetFile(path) as file:
            for batch in _batches(file, names, pictures):
                yield from batch.to_pylist()


def _batches(file: pq.ParquetFile, names: list[str], pictures: bool) -> Iterator[pa.Table | pa.RecordBatch]:
    """Row groups hold as many rows as their pictures allow; without pictures those rows may be few."""
    if not pictures:
        return iter(file.iter_batches(batch_size=ROW_GROUP, columns=names))
    return (file.read_row_group(number, columns=names) for number in range(file.num_row_groups))


def ok_rows(rows: Iterable[Row], folder: Path, made_by: str) -> list[Row]:
    """The rows with status `ok`. Raises TableError where there is none: the next stage has no input."""
    kept = [row for row in rows if row["status"] == "ok"]
    if not kept:
        raise no_ok_row(folder, made_by)
    return kept


def no_rows(folder: Path, made_by: str) -> TableError:
    return TableError(f"no rows in {folder}", f"look at metrics/{made_by}.json, then run `dvc repro {made_by}`")


def no_ok_row(folder: Path, made_by: str) -> TableError:
    return TableError(f"no row of {folder} is ok", f"metrics/{made_by}.json counts the reasons")
