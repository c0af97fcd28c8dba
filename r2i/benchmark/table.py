"""Any Parquet, JSONL, JSON, TSV, CSV or `datasets` folder: our columns, or the file's by `columns` in params."""

from collections.abc import Iterator
from typing import Any

from r2i.core.errors import ParamsError
from r2i.core.params import BenchmarkSource
from r2i.importing.draft import Draft, boxes_of
from r2i.importing.files import Record
from r2i.importing.options import lettered, list_of, plain_question, relabel, text_of

COLUMNS = (
    "image", "crop", "boxed", "box", "question", "options", "answer", "label", "dimension",
    "cluster_id", "item_id", "image_id", "source", "crop_made", "phash", "status", "reason",
)  # fmt: skip
NEEDED = ("image", "question", "answer")
GIVEN = ("item_id", "image_id", "cluster_id", "source", "crop_made", "phash", "status", "reason")


def column_names(source: BenchmarkSource) -> dict[str, str]:
    """Ours -> the file's. Raises ParamsError for a name that is not ours."""
    if unknown := sorted(set(source.columns) - set(COLUMNS)):
        raise ParamsError(f"benchmark: no column {', '.join(unknown)}", f"columns may name {', '.join(COLUMNS)}")
    return {name: source.columns.get(name, name) for name in COLUMNS}


def drafts(record: Record, source: BenchmarkSource) -> Iterator[Draft]:
    """One item. `options` may be a list, the text of one, or several columns: `A,B,C,D`."""
    names = column_names(source)
    values = {ours: record.get(theirs) for ours, theirs in names.items()}
    by_letter = lettered(_options(record, names["options"], values["options"]))
    answer, label = text_of(values["answer"]), text_of(values["label"])
    yield Draft(
        image=values["image"],
        folder=record.folder,
        question=plain_question(text_of(values["question"])),
        answer=answer,
        options=list(by_letter.values()),
        label=relabel(by_letter, label),
        dimension=text_of(values["dimension"]),
        boxes=boxes_of(values["box"]),
        box_form=source.box_form,
        box_unit=source.box_unit,
        crop=values["crop"],
        boxed=values["boxed"],
        given={name: values[name] for name in GIVEN if values[name] is not None},
    )


def _options(record: Record, name: str, value: Any) -> list[Any]:
    if "," in name:
        return [record.get(part.strip()) for part in name.split(",")]
    return list_of(value)
