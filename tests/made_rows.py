"""Rows of the tables for tests, from their schemas."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from PIL import Image

from r2i.core.ids import make_id
from r2i.core.images import jpeg_bytes
from r2i.core.provenance import NO_CALL
from r2i.core.records import BENCHMARK, IMAGES, PREDICTIONS, QUESTIONS, REGIONS, VOTES
from r2i.core.tables import Row

OWN = {"status", "reason", *NO_CALL}  # what a row says of itself alone

WIDTH, HEIGHT = 200, 100  # of the benchmark's items, pixels


def make_row(schema: pa.Schema, *sources: Row, **columns: Any) -> Row:
    """An ok row of `schema`.

    A column has the value in `columns`, else that of the last of `sources` that has it, else none; of a call that
    nobody made it is empty. A column that the schema lacks is an error.
    """
    if unknown := columns.keys() - set(schema.names):
        raise TypeError(f"no column of this table: {sorted(unknown)}")
    row: Row = {name: NO_CALL.get(name) for name in schema.names} | {"status": "ok", "reason": ""}
    for source in sources:
        row |= {name: source[name] for name in schema.names if name in source and name not in OWN}
    return row | columns


def picture(shade: int, side: int = 64) -> bytes:
    return jpeg_bytes(Image.new("RGB", (side, side), (shade, shade, shade)))


def image_row(number: int, **columns: Any) -> Row:
    return make_row(
        IMAGES, image_id=f"image-{number}", source=f"pool/{number}.jpg", format="JPEG", mode="RGB", width=64, height=64,
        phash="0" * 16, image=picture(100 + number), **columns,
    )  # fmt: skip


def region_row(number: int, **columns: Any) -> Row:
    """A region of image `image-<number>`; its crop is a picture of its own shade."""
    return make_row(
        REGIONS, region_id=f"region-{number}", image_id=f"image-{number}", box=[8, 8, 24, 24], score=0.9,
        area_share=0.0625, crop=picture(10 + number, 32), **columns,
    )  # fmt: skip


def question_row(number: int, question: str = "what digit is on the red square?", **columns: Any) -> Row:
    return make_row(
        QUESTIONS, question_id=make_id(f"region-{number}", question), region_id=f"region-{number}",
        image_id=f"image-{number}", question=question, dimension="ocr", checks=[True] * 4, repaired=False,
        model="fake", **columns,
    )  # fmt: skip


def vote_row(number: int, answer: str = "5", **columns: Any) -> Row:
    groups = [{"answer": answer, "count": 8}]
    return make_row(VOTES, question_row(number), answer=answer, agree=8, valid=8, asked=8, groups=groups, **columns)


def _fill(shade: tuple[int, int, int], size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    return jpeg_bytes(Image.new("RGB", size, shade))


FULL, CROP, BOXED = _fill((90, 90, 90)), _fill((10, 10, 10), (40, 40)), _fill((200, 90, 90))


def item_row(number: int = 0, **columns: Any) -> Row:
    """A benchmark item; the right option is `C`; two items share an image."""
    return make_row(BENCHMARK, **{
        "item_id": f"i{number:04d}", "image_id": f"m{number // 2}", "cluster_id": f"m{number // 2}", "source": "made",
        "image": FULL, "crop": CROP, "boxed": BOXED, "box": [20, 20, 60, 60], "crop_made": True,
        "question": f"what digit is on sign {number}?", "options": ["1", "2", "3", "4"], "answer": "3", "label": "C",
        "dimension": "ocr", **columns,
    })  # fmt: skip


def prediction_row(item: Row, reply: str, view: str = "full", sample: int = 0, **columns: Any) -> Row:
    """What a model replied about `item` in one view; not scored."""
    return make_row(PREDICTIONS, item, **{
        "prediction_id": make_id(item["item_id"], view, sample), "view": view, "sample": sample, "reply": reply,
        "first_reply": "", "tokens_in": 9, "tokens_out": 3, "vision_forwards": 1, **columns,
    })  # fmt: skip


def by_reason(rows: Sequence[Row]) -> dict[str, int]:
    """`{"rejected: tie": 2, "ok: ": 1}`."""
    counts: dict[str, int] = {}
    for row in rows:
        name = f"{row['status']}: {row['reason']}"
        counts[name] = counts.get(name, 0) + 1
    return counts
