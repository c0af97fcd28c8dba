"""A cell that holds boxes -> boxes in pixels."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from r2i.core.boxes import Box, BoxUnit, place_box
from r2i.core.errors import ImageError
from r2i.importing.records import read_list, read_text

Quad = tuple[float, float, float, float]
BoxForm = Literal["xyxy", "xywh"]
NO_BOX: Quad = (0.0, 0.0, 0.0, 0.0)  # of a cell that holds something, but no box: fails as bad_box


def read_boxes(cell: Any) -> list[Quad]:
    """A box, a list of boxes, or the text of either -> four numbers each; [] where there is none."""
    if read_text(cell) in ("", "[]", "()"):
        return []
    values = read_list(cell)
    quads = values if values and all(isinstance(value, list | tuple) for value in values) else [values]
    return [_read_quad(value) for value in quads]


def _read_quad(value: Iterable[Any]) -> Quad:
    try:
        left, top, right, bottom = (float(side) for side in value)
    except (TypeError, ValueError, OverflowError):
        return NO_BOX
    quad = (left, top, right, bottom)
    return quad if all(math.isfinite(side) for side in quad) else NO_BOX


def read_box(cell: Any, unit: BoxUnit, width: int, height: int) -> Box | None:
    """The one box in `cell` (xyxy), which may leave the image by a rounding; None where there is none.

    Raises ImageError: `bad_box` (not four numbers, several boxes, inside out, of no pixel), `box_outside`.
    """
    quads = read_boxes(cell)
    if not quads:
        return None
    box, fault = place_box(quads[0], unit, width, height, "rounded")
    if fault == "out_of_image":
        raise ImageError("box_outside")
    if box is None or len(quads) > 1:
        raise ImageError("bad_box")
    return box


def join_boxes(quads: Sequence[Quad], form: BoxForm, unit: BoxUnit, width: int, height: int) -> Box | None:
    """The smallest box that holds all of `quads`, which may leave the image by a little; None where there is none.

    Raises ImageError `bad_box` where one is empty, inside out, outside of the image, or of another unit.
    """
    boxes = [place_box(_to_xyxy(quad, form), unit, width, height, "annotated")[0] for quad in quads]
    placed = [box for box in boxes if box]
    if len(placed) < len(boxes):
        raise ImageError("bad_box")
    if not placed:
        return None
    lefts, tops, rights, bottoms = zip(*placed, strict=True)
    return Box(min(lefts), min(tops), max(rights), max(bottoms))


def is_unit_unclear(placed: Iterable[tuple[Sequence[float], tuple[int, int]]]) -> bool:
    """Whether boxes that were read as pixels because nobody named a unit may be thousandths as well.

    `placed`: of all boxes of a dataset, the sides in pixels, and width and height of the image. On images of at most
    1000 pixels a side thousandths would leave the image sooner or later; on those with a longer side they need not, and
    pixels do not stay below 1000 there either, unless there are few.
    """
    found = list(placed)
    return bool(found) and all(max(size) > 1000 and max(sides) <= 1000 for sides, size in found)


def _to_xyxy(quad: Quad, form: BoxForm) -> Quad:
    left, top, right, bottom = quad
    return quad if form == "xyxy" else (left, top, left + right, top + bottom)
