"""A new benchmark's items -> its folder: our table, ZoomBench's columns, what it was made of, and a card."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r2i.benchmark.build import REMEDIES, Asked, Known, Picked, Rules, asked_of, pick, query_of
from r2i.benchmark.build_card import card
from r2i.benchmark.groups import OWN
from r2i.core import paths, records
from r2i.core.boxes import Box
from r2i.core.catalogue import IMAGES, REGIONS, TRAIN, VOTES, Listed
from r2i.core.choices import is_open
from r2i.core.disk import new_folder
from r2i.core.drawing import make_boxed, make_crop
from r2i.core.errors import R2IError
from r2i.core.images import read_image
from r2i.core.metrics import histogram, remedy_for, write_metrics
from r2i.core.params import Drawing, Params
from r2i.core.photos import Photos
from r2i.core.records import OK
from r2i.core.tables import GROUP_BYTES, LEVEL, ROW_GROUP, Row, write_table
from r2i.endpoint.base import Picture
from r2i.endpoint.pictures import read_images, read_pictures
from r2i.review.decisions import read_and_warn

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
MADE = "build.json"
_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # as `datasets` reads it
ZOOMBENCH = pa.schema([
    ("id", pa.string()), ("query", pa.string()), ("response", pa.string()), ("image", _PICTURE),
    ("crop_image", _PICTURE), ("question_type", pa.string()), ("dimension", pa.string()),
    ("bbox", pa.list_(pa.int32())),
])  # fmt: skip


def build(name: str, params: Params, rules: Rules, folder: Path = paths.BENCHMARKS) -> tuple[Picked, Path]:
    """Write data/benchmarks/NAME; the same inputs give the same bytes.

    Raises R2IError for a name that is no folder's, for a folder that holds something else, and where no question is
    left; TableError where a table is missing.
    """
    if not NAME.fullmatch(name):
        raise R2IError(f"{name!r} is no name", "use small letters, digits, dots, dashes and underscores")
    target = folder / name
    if target.exists() and not (target / MADE).is_file():
        raise R2IError(f"{target} is there and was not made by `r2i benchmark build`", "choose another name")
    picked = pick(name, read_known(rules.hard_for), read_and_warn(paths.REVIEWED_QUESTIONS), rules)
    if not picked.items:
        why = ", ".join(f"{count:,} {reason}" for reason, count in picked.left_out.items())
        raise R2IError(
            f"none of {picked.considered:,} questions is left ({why})",
            remedy_for(picked.left_out, REMEDIES)
            if picked.considered
            else "there is no voted question: `dvc repro vote`",
        )
    with new_folder(target) as part:
        _write(part, name, picked, params, rules)
    return picked, target


def _write(part: Path, name: str, picked: Picked, params: Params, rules: Rules) -> None:
    images = read_images(Photos.of(params), {item["image_id"] for item in picked.items})
    hashes = {row["image_id"]: row["phash"] for row in _each(IMAGES, ["image_id", "phash"])}
    rows = [_row(item, images[item["image_id"]], hashes, params.chosen.drawing) for item in picked.items]
    write_table(part / "items", rows, records.BENCHMARK)
    ids = [item["item_id"] for item in picked.items]
    full, crop = (
        read_pictures(part / "items", records.BENCHMARK, "benchmark", view, ids) for view in ("image", "crop")
    )
    zoom = (_zoombench_row(item, full[item["item_id"]], crop[item["item_id"]]) for item in picked.items)
    _write_zoombench(part / "zoombench" / "test-00000-of-00001.parquet", zoom)
    made = describe(name, picked, params, rules)
    write_metrics(part / MADE, made)
    (part / "README.md").write_text(card(made), encoding="utf-8")


def read_known(hard_for: str | None = None) -> Known:
    """The tables of this run, without pictures. `hard_for`: whose predictions. Raises TableError."""
    names = ["question_id", "region_id", "image_id", "question", "dimension", "answer", "agree", "status"]
    votes = [row for row in _each(VOTES, names) if row["status"] == OK]
    regions, images = {vote["region_id"] for vote in votes}, {vote["image_id"] for vote in votes}
    tried: dict[str, Row] = {}
    trained, trained_images = set(), set()
    columns = ["question_id", "image_id", "question", "options", "answer", "label", "right", "tries", "status"]
    for row in _each(TRAIN, columns):
        tried.setdefault(row["question_id"], row)
        if row["status"] == OK:
            trained.add(row["question_id"])
            trained_images.add(row["image_id"])
    sizes = _each(IMAGES, ["image_id", "width", "height"])
    return Known(
        votes,
        {
            row["region_id"]: Box(*row["box"])
            for row in _each(REGIONS, ["region_id", "box"])
            if row["region_id"] in regions
        },
        {row["image_id"]: (row["width"], row["height"]) for row in sizes if row["image_id"] in images},
        tried,
        trained,
        trained_images,
        read_measured(hard_for) if hard_for else {},
    )


def read_measured(model: str) -> dict[Asked, tuple[int, int]]:
    """By `asked_of`: right replies, and scored ones, of the full view. Raises TableError."""
    table = Listed("predictions", paths.PREDICTIONS / model, records.PREDICTIONS, f"evaluate@{model}")
    counts: defaultdict[Asked, list[int]] = defaultdict(lambda: [0, 0])
    for row in _each(table, ["item_id", "question", "answer", "view", "correct"]):
        if row["view"] == "full" and row["correct"] is not None:
            count = counts[asked_of(row)]
            count[0] += row["correct"]
            count[1] += 1
    return {asked: (right, tries) for asked, (right, tries) in counts.items()}


def describe(name: str, picked: Picked, params: Params, rules: Rules) -> dict[str, Any]:
    """What build.json says."""
    items = picked.items
    log = paths.REVIEWED_QUESTIONS
    return {
        "name": name,
        "items": len(items),
        "images": len({item["image_id"] for item in items}),
        "verified": sum(item["verified"] for item in items),
        "open": sum(is_open(item) for item in items),
        "dimension": histogram(item["dimension"] for item in items),
        "label": histogram(item["label"] for item in items if item["label"]),
        "considered": picked.considered,
        "left_out": picked.left_out,
        "rules": asdict(rules),
        "profile": params.profile,
        "pools": {pool.name: pool.licence for pool in params.chosen.sample.pools},
        "decisions_sha256": hashlib.sha256(log.read_bytes() if log.is_file() else b"").hexdigest(),
        "on_trained_images": [item["item_id"] for item in items if item["seen_image"]],
        "questions": {
            item["item_id"]: {key: item[key] for key in ("question_id", "verified", "agree", "right", "tries")}
            for item in items
        },
    }


def _row(item: Row, image: Picture, hashes: Mapping[str, str], drawing: Drawing) -> Row:
    box: Box = item["box"]
    row = {key: item[key] for key in records.BENCHMARK.names if key in item}
    return row | {
        "image": image.load,
        "crop": lambda: make_crop(read_image(image.load()), box, drawing.cut),
        "boxed": lambda: make_boxed(read_image(image.load()), box, drawing.outline),
        "crop_made": True,
        "magnification": float(drawing.cut.upscale),
        "group": OWN,
        "phash": hashes[item["image_id"]],
        "status": OK,
        "reason": "",
    }


def _zoombench_row(item: Row, full: Picture, crop: Picture) -> Row:
    name = f"{item['item_id']}.jpg"
    return {
        "id": item["item_id"],
        "query": query_of(item),
        "response": item["label"] or item["answer"],
        "image": {"bytes": full.load(), "path": name},
        "crop_image": {"bytes": crop.load(), "path": f"crop-{name}"},
        "question_type": "MCQ" if item["options"] else "OQ",
        "dimension": item["dimension"],
        "bbox": item["box"],
    }


def _write_zoombench(path: Path, rows: Iterable[Row]) -> None:
    """Row groups of at most GROUP_BYTES of pictures, or one row: memory holds no more."""
    path.parent.mkdir(parents=True)
    with pq.ParquetWriter(path, ZOOMBENCH, compression="zstd", compression_level=LEVEL) as writer:
        group: list[Row] = []
        held = 0
        for row in rows:
            group.append(row)
            held += len(row["image"]["bytes"]) + len(row["crop_image"]["bytes"])
            if held > GROUP_BYTES or len(group) == ROW_GROUP:
                writer.write_table(pa.Table.from_pylist(group, ZOOMBENCH))
                group, held = [], 0
        if group:
            writer.write_table(pa.Table.from_pylist(group, ZOOMBENCH))


def _each(table: Listed, columns: list[str]) -> Iterable[Row]:
    for batch in table.batches(columns):
        yield from batch.to_pylist()
