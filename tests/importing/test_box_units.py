"""Boxes are read in the unit that is certain, or fail."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmark.made_files import import_all, put_parquet
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from r2i.core.boxes import BoxUnit
from r2i.core.errors import ImageError, TableError
from r2i.core.records import TRAIN
from r2i.core.tables import read_table
from r2i.importing.boxes import join_boxes, read_box, read_boxes
from r2i.tools.exchange.importing import import_table

LARGE, WIDE, SMALL = (1600, 1200), (1200, 900), (400, 300)
SIDES = st.tuples(st.integers(0, 90), st.integers(0, 90), st.integers(2, 9), st.integers(2, 9))


def picture(size: tuple[int, int], number: int = 0) -> bytes:
    grid = np.random.default_rng(number).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(grid).resize(size).save(buffer, "JPEG")
    return buffer.getvalue()


PICTURES = {(size, number): picture(size, number) for size in (LARGE, WIDE, SMALL) for number in range(3)}


def items(tmp_path: Path, boxes: list[list[float]], size: tuple[int, int], **source: Any) -> list[dict[str, Any]]:
    rows = [
        {"image": PICTURES[size, n], "question": f"{n}?", "options": ["x", "y"], "answer": "x", "box": box}
        for n, box in enumerate(boxes)
    ]
    return import_all("table", put_parquet(tmp_path / "d.parquet", rows), **source)[0]


@pytest.mark.parametrize(
    ("boxes", "size", "source", "reason"),
    [
        ([[100, 200, 300, 400]], LARGE, {}, "box_unit_unclear"),
        ([[100, 200, 300, 400], [0, 0, 1000, 1000]], LARGE, {}, "box_unit_unclear"),
        ([[100, 200, 300, 400], [900, 200, 1100, 400]], LARGE, {}, ""),  # no thousandths
        ([[602, 113, 642, 168]], WIDE, {}, "box_unit_unclear"),  # one side alone is longer than 1000
        ([[602, 113, 642, 168], [900, 200, 1100, 400]], WIDE, {}, ""),
        ([[100, 200, 300, 400]], LARGE, {"box_unit": "pixels"}, ""),
        ([[100, 200, 300, 400]], LARGE, {"box_unit": "thousandths"}, ""),
        ([[100, 100, 300, 200]], SMALL, {}, ""),
        ([[0.1, 0.2, 0.3, 0.4]], LARGE, {}, "bad_box"),
        ([[0.1, 0.2, 0.3, 0.4]], SMALL, {"box_unit": "thousandths"}, "bad_box"),
        ([[0.1, 0.2, 0.3, 0.4]], SMALL, {"box_unit": "shares"}, ""),
        ([[100, 100, 300, 200]], SMALL, {"box_unit": "shares"}, "bad_box"),
        ([[100, 100, 404, 200]], SMALL, {}, ""),  # a hundredth of 400 px
        ([[100, 100, 500, 200]], SMALL, {}, "bad_box"),
        ([[100, 100, 9000, 9000]], SMALL, {}, "bad_box"),
        ([[-90, -90, 200, 200]], SMALL, {}, "bad_box"),
    ],
)
def test_a_benchmark_assumes_no_unit_and_clips_no_box_that_lies_far_outside(
    tmp_path: Path, boxes: list[list[float]], size: tuple[int, int], source: dict[str, Any], reason: str
) -> None:
    rows = items(tmp_path, boxes, size, **source)
    assert {row["reason"] for row in rows} == {reason}
    for row in rows:
        assert (row["box"] is None, row["crop"] is None, row["image"] is None) == (bool(reason),) * 3


def test_imported_rows_whose_boxes_allow_two_units_ask_for_one(tmp_path: Path) -> None:
    row = {"images": PICTURES[LARGE, 0], "problem": "What colour?", "answer": "red", "bbox": [100, 200, 300, 400]}
    source = put_parquet(tmp_path / "d.parquet", [row])
    with pytest.raises(TableError, match="--box-unit pixels or --box-unit thousandths"):
        import_table(source, tmp_path / "t", "paper", None)
    for unit, box in (("pixels", [100, 200, 300, 400]), ("thousandths", [160, 240, 480, 480])):
        import_table(source, tmp_path / unit, "paper", unit)  # type: ignore[arg-type]
        assert read_table(tmp_path / unit, TRAIN, "import")[0]["box"] == box
    put_parquet(source, [row, row | {"problem": "How many?", "bbox": [900, 200, 1100, 400]}])
    assert import_table(source, tmp_path / "t", "paper", None)["status"] == {"ok": 2}


UNITS = st.sampled_from(["pixels", "shares", "thousandths"])


@given(SIDES, UNITS, st.integers(1, 50), st.sampled_from([list, tuple, str]))
def test_what_is_written_is_read_back_and_scaling_a_picture_scales_its_box(
    place: tuple[int, int, int, int], unit: BoxUnit, factor: int, form: Any
) -> None:
    left, top, wide, high = place
    box = tuple(side * factor for side in (left, top, left + wide, top + high))
    full = {"pixels": 100 * factor, "shares": 1, "thousandths": 1000}[unit]
    written = [side * full / (100 * factor) for side in box]
    size = (100 * factor, 100 * factor)
    assert read_box(form(written), unit, *size) == box
    assert join_boxes(read_boxes(form(written)), "xyxy", unit, *size) == box
    as_xywh = [*written[:2], written[2] - written[0], written[3] - written[1]]
    if unit == "pixels":  # sums of shares round
        assert join_boxes(read_boxes(form(as_xywh)), "xywh", unit, *size) == box


@given(SIDES, st.integers(2, 40))
def test_shares_of_an_image_are_no_pixels_and_no_thousandths(place: tuple[int, int, int, int], factor: int) -> None:
    left, top, wide, high = place
    shares = [side / 100 for side in (left, top, left + wide, top + high)]
    for unit in ("pixels", "thousandths"):
        with pytest.raises(ImageError, match="bad_box"):
            read_box(shares, unit, 100 * factor, 100 * factor)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["zoombench", "reference"])
def test_boxes_of_a_published_benchmark_that_allow_two_units_ask_for_one(tmp_path: Path, kind: Any) -> None:
    row = {"image": PICTURES[LARGE, 0], "query": "What?\nA. x\nB. y", "response": "A", "bbox": [100, 200, 300, 400]}
    path = put_parquet(tmp_path / "d.parquet", [row])
    assert import_all(kind, path)[0][0]["reason"] == "box_unit_unclear"
    boxes = {unit: import_all(kind, path, box_unit=unit)[0][0]["box"] for unit in ("pixels", "thousandths")}
    assert boxes == {"pixels": (100, 200, 300, 400), "thousandths": (160, 240, 480, 480)}
