"""Any Parquet, JSONL, JSON, TSV, CSV or `datasets` folder: our columns, or the file's by `columns` in params."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from r2i.benchmark.rows import Draft, released_text
from r2i.core.errors import ParamsError, TableError
from r2i.core.params import BenchmarkSource
from r2i.core.records import FAILED, OK, REJECTED
from r2i.importing.boxes import read_boxes
from r2i.importing.questions import (
    is_ambiguous,
    read_choices,
    read_letter,
    read_letter_columns,
    relabel,
    split_options,
    strip_tags,
)
from r2i.importing.records import Record, read_list, read_records, read_text

COLUMNS = (
    "image", "crop", "boxed", "box", "question", "options", "answer", "label", "dimension",
    "cluster_id", "item_id", "image_id", "source", "group", "crop_made", "magnification", "phash", "prompt",
    "status", "reason",
)  # fmt: skip
NEEDED = ("image", "question", "answer")
_HASHES = {"image_id": re.compile("[0-9a-f]{64}"), "phash": re.compile("[0-9a-f]{16}")}
_OPTIONS = re.compile(r"option|choice", re.IGNORECASE)  # what a column is called that holds them
GIVEN = ("item_id", "image_id", "cluster_id", "source", "crop_made", "phash", "status", "reason")


def column_names(source: BenchmarkSource) -> dict[str, str]:
    """Ours -> the file's. Raises ParamsError for a name that is not ours."""
    if unknown := sorted(set(source.columns) - set(COLUMNS)):
        raise ParamsError(f"benchmark: no column {', '.join(unknown)}", f"columns may name {', '.join(COLUMNS)}")
    return {name: source.columns.get(name, name) for name in COLUMNS}


def column_help() -> str:
    """Which columns a table has, for messages."""
    others = ", ".join(name for name in COLUMNS if name not in NEEDED)
    return (
        f"a table has {', '.join(NEEDED)} and may have {others}; `columns: {{image: NAME}}` (`r2i bench`: "
        "--column image=NAME) names the file's own"
    )


def read_named(path: Path, source: BenchmarkSource) -> Iterator[Record]:
    """All records. Raises TableError as `read_records` does, and for a column that params name and no record has."""
    names = column_names(source)
    missing = {part.strip() for name in source.columns.values() for part in name.split(",")}
    for record in read_records(path, tuple((names[name],) for name in NEEDED), remedy=column_help()):
        missing -= record.values.keys()
        yield record
    if missing:
        raise TableError(f"no record of {path} has a column {min(missing)!r}", column_help())


def drafts(record: Record, source: BenchmarkSource) -> Iterator[Draft]:
    """One item. `options` may be a list, the text of one, or several columns: `A,B,C,D`; where there is none, they are
    looked for in columns A to J and in the question. An empty list says that the question is open."""
    names = column_names(source)
    values = {ours: record.get(theirs) for ours, theirs in names.items()}
    answer, label = read_text(values["answer"]), read_text(values["label"])
    given, fault = _given(values)
    question, by_letter, unread = _read_options(record, names, values, answer or label)
    fault = unread or fault
    prompt = released_text(values["prompt"], by_letter)
    if question not in strip_tags(read_text(prompt)):
        prompt = None  # a column of this name that holds something else, e.g. how to answer
    yield Draft(
        fault=fault,
        image=values["image"],
        folder=record.folder,
        question=question,
        answer=answer,
        options=list(by_letter.values()),
        label=relabel(by_letter, label),
        dimension=read_text(values["dimension"]),
        boxes=read_boxes(values["box"]),
        box_form=source.box_form,
        box_unit=source.box_unit,
        crop=values["crop"],
        boxed=values["boxed"],
        prompt=prompt,
        given=given,
    )  # `group` and `magnification` of a table of ours: params say the one, the other is measured anew


def _given(values: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Columns of records.BENCHMARK that are taken as they are, and why the row can't be used, or nothing.

    Other datasets have columns of these names too: ids are text then, and an `image_id` or `phash` that is no hash of
    ours is made anew.
    """
    given = {name: values[name] for name in GIVEN if values[name] is not None}
    texts = {name: read_text(value) for name, value in given.items() if name != "crop_made"}
    if any(isinstance(value, list | dict | bytes) for value in given.values()):
        return {}, "bad_value"
    if not isinstance(given.get("crop_made"), bool | None):
        return {}, "bad_value"
    if texts.get("status", OK) not in (OK, REJECTED, FAILED):
        return {}, "unknown_status"
    unfit = {name for name, form in _HASHES.items() if name in texts and not form.fullmatch(texts[name])}
    return {name: texts.get(name, value) for name, value in given.items() if name not in unfit}, ""


def _read_options(
    record: Record, names: Mapping[str, str], values: Mapping[str, Any], answer: str
) -> tuple[str, dict[str, str], str]:
    """The question, its options by their published letter, and why nobody can say which they are, or nothing: else a
    multiple choice question would be asked as an open one."""
    question, told = strip_tags(read_text(values["question"])), values["options"]
    several = [part.strip() for part in names["options"].split(",")] if "," in names["options"] else []
    by_letter = read_choices([record.get(part) for part in several] if several else read_list(told))
    if by_letter or isinstance(told, list) or read_text(told) in ("[]", "()"):
        return question, by_letter, ""
    if read_text(told):
        return question, {}, "no_options"
    columns = {} if set(ascii_uppercase) & set(names.values()) else read_letter_columns(record.values)
    if len(columns) > 1:
        return question, columns, ""
    before, listed = split_options(question, inline=bool(read_letter(answer)))
    if listed:
        return before, dict(zip(ascii_uppercase, listed, strict=False)), ""
    others = [name for name in record.values if name not in names.values() and _OPTIONS.search(name)]
    hidden = bool(read_letter(answer)) and any(read_text(record.values[name]) for name in others)
    return question, {}, "ambiguous_options" if hidden or is_ambiguous(question, answer) else ""
