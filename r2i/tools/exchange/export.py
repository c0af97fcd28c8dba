"""A table of train rows -> Parquet that other trainers and `datasets.load_dataset` read."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from r2i.core.disk import new_folder
from r2i.core.errors import TableError
from r2i.core.params import Cut
from r2i.core.records import OK, TRAIN
from r2i.core.tables import LEVEL, ROW_GROUP, Row, table_parts
from r2i.importing.questions import TAG
from r2i.tools.exchange import Form, distill, easyr1, reference
from r2i.tools.exchange.folder import EXPORT, require_free

if TYPE_CHECKING:
    from datasets import Features

READ = ("row_id", "view", "image", "box", "answer", "label", "prompt", "dimension", "status", "reason")


@dataclass(frozen=True)
class Columns:
    """What goes out. `convert`: of a row, or the reason why it can't go out; `read`: columns of the table that it
    takes; `split`: beginning of the files' names."""

    features: "Callable[[], Features]"
    convert: Callable[[Row], dict[str, Any] | str]
    read: tuple[str, ...] = READ
    split: str = "train"


FORMS = {
    "reference": Columns(reference.features, reference.to_reference),
    "easyr1": Columns(easyr1.features, easyr1.to_easyr1),
}


def columns_of(form: Form, parts: Sequence[Path], cut: Cut, style: str) -> Columns:
    """Of a form, for the shards `parts`. `cut`: of a region's crop; `style`: of the prompts."""
    if form in FORMS:
        return FORMS[form]
    features, convert = distill.FORMS[form]
    crops = distill.find_crops(parts, cut)

    def with_crop(row: Row) -> dict[str, Any] | str:
        if row["view"] == "crop":
            return "shows the crop itself"
        crop = crops(row)
        return convert(row, crop, style) if crop else "no crop"

    return Columns(features, with_crop, distill.READ)


def export_table(
    source: Path, folder: Path, form: Form, cut: Cut | None = None, style: str = "paper"
) -> dict[str, Any]:
    """Write the rows of `source` (r2i.core.records.TRAIN) that are ok to `folder`, a file for each shard.

    `cut`: of a region's crop, where the form has one; `style`: of the prompts. One row group of the source is in memory
    at a time. Returns the rows written and those left out, by reason.
    Raises TableError where there is no table, no row that is ok, or where `folder` holds something else.
    """
    parts = table_parts(source, TRAIN, "overlay")
    require_free(folder, EXPORT, source)
    with new_folder(folder) as part:
        return write_rows(parts, part, columns_of(form, parts, cut or Cut(), style))


def write_rows(parts: Sequence[Path], folder: Path, columns: Columns) -> dict[str, Any]:
    """As `export_table`, of the shards `parts` and into `folder`, which is there."""
    schema = columns.features().arrow_schema  # with the metadata that says which column holds pictures
    left_out: Counter[str] = Counter()
    files: list[Path] = []
    written = 0
    for path in parts:
        tables = (
            pa.Table.from_pylist(rows, schema=schema)
            for group in _row_groups(path, columns.read, left_out)
            if (rows := list(_converted(group, columns, left_out)))
        )
        count = _write(folder / path.name, schema, tables)
        files += [folder / path.name] if count else []  # `datasets` can't read an empty file
        written += count
    if not written:
        raise TableError(f"no row of {parts[0].parent} is ok", f"left out: {dict(left_out)}")
    for number, file in enumerate(files):
        file.rename(folder / f"{columns.split}-{number:05d}-of-{len(files):05d}.parquet")
    return {"rows": written, "left_out": dict(sorted(left_out.items()))}


def _converted(rows: Sequence[Row], columns: Columns, left_out: Counter[str]) -> Iterator[dict[str, Any]]:
    for row in rows:
        made = columns.convert(row)
        if isinstance(made, str):
            left_out[made] += 1
        else:
            yield made


def _write(path: Path, schema: pa.Schema, tables: Iterator[pa.Table]) -> int:
    """A row group for each table; no file where there is none. Returns the rows."""
    writer, written = None, 0
    try:
        for table in tables:
            if writer is None:
                writer = pq.ParquetWriter(path, schema, compression="zstd", compression_level=LEVEL)
            writer.write_table(table, row_group_size=ROW_GROUP)
            written += table.num_rows
    finally:
        if writer is not None:
            writer.close()
    return written


def _row_groups(path: Path, columns: tuple[str, ...], left_out: Counter[str]) -> Iterator[list[Row]]:
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            kept: list[Row] = []
            for row in file.read_row_group(number, columns=list(columns)).to_pylist():
                reason = _reason(row)
                if reason:
                    left_out[reason] += 1
                else:
                    kept.append(row)
            if kept:
                yield kept


def _reason(row: Mapping[str, Any]) -> str:
    """Why a row can't go out, or nothing: an image tag in the text would ask for a second picture."""
    if row["status"] != OK:
        return f"{row['status']}: {row['reason']}"
    return "image_tag_in_prompt" if TAG.search(row.get("prompt") or row.get("question", "")) else ""
