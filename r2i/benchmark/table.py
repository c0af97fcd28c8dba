"""Benchmarks from Parquet: a file or folder with columns of records.BENCHMARK, some of which may be missing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r2i.benchmark.views import boxed_view, crop_view
from r2i.boxes import Box, area, clip
from r2i.errors import ImageError, TableError
from r2i.ids import make_id
from r2i.images import read_image, sha256, stored_jpeg
from r2i.mcq import LETTERS
from r2i.params import Benchmark
from r2i.records import BENCHMARK, FAILED, OK, REJECTED
from r2i.tables import Row
from r2i.text import same_answer

NEEDED = ("image", "question", "answer")


def read_items(cfg: Benchmark) -> list[Row]:
    """Rows (records.BENCHMARK) of the table at `cfg.path`.

    A missing crop or boxed view is made from the box, exactly as it is given: a published box *is*
    the region, so `margin` and `square` do not apply. Without a box both views stay null. Ids, gold
    letters and sources that are missing are filled in. Rows that can't be used are failed
    (`unreadable`, ..., `bad_box`, `no_gold_option`) or rejected (`duplicate`: same image, same
    question). Raises TableError where the table is missing, unreadable, or lacks a needed column.
    """
    path = Path(cfg.path or "")
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for found in _read_parquet(path):
        row = _complete(found, cfg, path.stem)
        again = seen.get(row["item_id"], 0)
        seen[row["item_id"]] = again + 1
        if again:
            item_id = make_id(row["item_id"], again)
            row |= {"item_id": item_id, "status": REJECTED, "reason": "duplicate"}
        rows.append(row)
    return rows


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    remedy = f"put Parquet with columns {', '.join(NEEDED)} there (see r2i/records.py) or change benchmark.path"
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise TableError(f"no Parquet in {path}", remedy)
    rows: list[dict[str, Any]] = []
    for file in files:
        try:
            table = pq.read_table(file)
        except (pa.ArrowException, OSError) as error:
            raise TableError(f"{file} is not a readable Parquet file ({error})", remedy) from error
        missing = [name for name in NEEDED if name not in table.column_names]
        if missing:
            raise TableError(f"{file} has no column {', '.join(missing)}", remedy)
        known = [name for name in BENCHMARK.names if name in table.column_names]
        rows += table.select(known).to_pylist()
    if not rows:
        raise TableError(f"no rows in {path}", remedy)
    return rows


def _complete(found: Mapping[str, Any], cfg: Benchmark, source: str) -> Row:
    """One row with every column; a row that can't be used says why."""
    data = _bytes_of(found["image"])
    row: Row = {**dict.fromkeys(BENCHMARK.names), "status": OK, "reason": ""}
    row |= {"question": found["question"] or "", "answer": found["answer"] or ""}
    row |= {"options": list(found.get("options") or []), "dimension": found.get("dimension") or ""}
    row["source"] = found.get("source") or source
    row["image_id"] = found.get("image_id") or sha256(data)
    row["item_id"] = found.get("item_id") or make_id(row["image_id"], row["question"])
    row["label"] = found.get("label") or find_label(row["options"], row["answer"])
    if found.get("status", OK) != OK:
        return row | {"status": found["status"], "reason": found.get("reason") or ""}
    if not row["question"] or not row["answer"]:
        return row | _failed("no_question_or_answer")
    if row["options"] and not row["label"]:
        return row | _failed("no_gold_option")
    return row | _views(found, data, cfg)


def _views(found: Mapping[str, Any], data: bytes, cfg: Benchmark) -> Row:
    try:
        image = read_image(data)
        given = {name: _bytes_of(found.get(name)) for name in ("crop", "boxed")}
        views: Row = {name: stored_jpeg(view, read_image(view)) for name, view in given.items() if view}
    except ImageError as error:
        return _failed(error.cause)
    if found.get("box"):
        left, top, right, bottom = (round(side) for side in found["box"])
        box: Box = clip((left, top, right, bottom), *image.size)
        if not area(box):
            return _failed("bad_box")
        views.setdefault("crop", crop_view(image, box, cfg))
        views.setdefault("boxed", boxed_view(image, box, cfg))
        views["box"] = list(box)
    return views | {"image": stored_jpeg(data, image)}


def _failed(reason: str) -> Row:
    return {"status": FAILED, "reason": reason}


def _bytes_of(image: Any) -> bytes:
    """Image columns hold bytes, or `{bytes, path}` as the `datasets` library writes them."""
    value = image.get("bytes") if isinstance(image, Mapping) else image
    return value if isinstance(value, bytes) else b""


def find_label(options: list[str], answer: str) -> str:
    """Letter of the one option that says the answer, or that the answer names by its letter; else ""."""
    same = [letter for letter, option in zip(LETTERS, options, strict=False) if same_answer(option, answer)]
    if len(same) == 1:
        return same[0]
    letter = answer.strip().strip("().").upper()
    return letter if not same and len(letter) == 1 and letter in LETTERS[: len(options)] else ""
