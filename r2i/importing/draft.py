"""What an importer makes of a record: an item before its picture is read."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from r2i.core.boxes import Box, area, clip
from r2i.importing.options import list_of, text_of

Quad = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Draft:
    """One item as published.

    `image`, `crop`, `boxed`: cells of r2i.importing.pictures, paths relative to `folder`. `boxes`: the region is
    what holds them all. `label`: its letter where that is certain, else it is found by `answer`. `shuffle`: the
    published order gives the answer away. `given`: columns of records.BENCHMARK that are taken as they are.
    """

    image: Any
    folder: Path
    question: str
    answer: str
    options: list[str] = field(default_factory=list)
    label: str = ""
    dimension: str = ""
    boxes: list[Quad] = field(default_factory=list)
    box_form: Literal["xyxy", "xywh"] = "xyxy"
    box_unit: Literal["pixels", "unit", "thousand"] = "pixels"
    crop: Any = None
    boxed: Any = None
    shuffle: bool = False
    fault: str = ""
    given: Mapping[str, Any] = field(default_factory=dict)


NO_BOX: Quad = (0.0, 0.0, 0.0, 0.0)  # of a cell that holds something, but no box: the item fails as bad_box


def boxes_of(cell: Any) -> list[Quad]:
    """A box, a list of boxes, or the text of either -> four numbers each; [] where there is none."""
    if cell is None or cell != cell or text_of(cell) in ("", "[]"):
        return []
    values = list_of(cell)
    quads = values if values and all(isinstance(value, list | tuple) for value in values) else [values]
    return [_quad(value) for value in quads]


def _quad(value: Iterable[Any]) -> Quad:
    try:
        left, top, right, bottom = (float(side) for side in value)
    except (TypeError, ValueError):
        return NO_BOX
    quad = (left, top, right, bottom)
    return quad if all(math.isfinite(side) for side in quad) else NO_BOX


def region_of(draft: Draft, width: int, height: int) -> Box | None:
    """The region of an item on its image of `width` x `height` pixels: xyxy, pixels, clipped; None: there is none.

    Raises ValueError for a box that is empty, inside out, or beside the image.
    """
    if not draft.boxes:
        return None
    boxes = [_pixels(quad, draft, width, height) for quad in draft.boxes]
    if not all(area(box) for box in boxes):
        raise ValueError("bad box")
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return Box(min(lefts), min(tops), max(rights), max(bottoms))


def _pixels(quad: Quad, draft: Draft, width: int, height: int) -> Box:
    scale = {"pixels": (1.0, 1.0), "unit": (width, height), "thousand": (width / 1000, height / 1000)}[draft.box_unit]
    left, top, right, bottom = quad
    if draft.box_form == "xywh":
        right, bottom = left + right, top + bottom
    sides = (left * scale[0], top * scale[1], right * scale[0], bottom * scale[1])
    return clip(Box(round(sides[0]), round(sides[1]), round(sides[2]), round(sides[3])), width, height)
