"""Boxes: xyxy, integer pixels of the full image, right and bottom exclusive."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

BoxUnit = Literal["pixels", "shares", "thousandths"]
"""In which a model or a file gives a box: pixels, shares of width and height (0 to 1), or 0 to 1000."""
BoxRule = Literal["exact", "rounded", "annotated"]
"""How far a box may leave its image: not at all; by a pixel, as rounded numbers do; by a pixel or a hundredth of the
image's side, as people's annotations do. What does is cut."""
_SLACK = {"exact": (0.0, 0.0), "rounded": (1.0, 0.0), "annotated": (1.0, 0.01)}  # pixels, share of the side


class Box(NamedTuple):
    """Of a region, from the finder to the pixels. Tables take it as it is; `Box(*row["box"])` is one read back."""

    left: int
    top: int
    right: int
    bottom: int

    def __str__(self) -> str:
        """As a plain tuple: ids and names of pictures are hashes of this text."""
        return str(tuple(self))


def area(box: Box) -> int:
    """Square pixels; 0 for a box that is empty or inside out."""
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def clip(box: Box, width: int, height: int) -> Box:
    """The part of `box` that lies on an image of `width` x `height` pixels."""
    left, right = (min(max(x, 0), width) for x in (box[0], box[2]))
    top, bottom = (min(max(y, 0), height) for y in (box[1], box[3]))
    return Box(left, top, right, bottom)


def place_box(
    sides: Sequence[float],
    unit: BoxUnit,
    width: int,
    height: int,
    rule: BoxRule = "exact",
    shown: tuple[int, int] | None = None,
) -> tuple[Box | None, str]:
    """The box of `sides` (xyxy, in `unit`) on an image of `width` x `height` pixels, and its fault: one of the two.

    `shown`: width and height at which the image was looked at, where pixels are of these; None: its own.

    Faults: `out_of_image` (further than `rule` allows, or not a number), `other_unit` (none above 1, where pixels
    or thousandths were asked for: shares, as far as anybody can tell), `reversed`, `degenerate` (no pixel wide
    or high). Sides are rounded to whole pixels; none are swapped.
    """
    scale = {"pixels": shown or (width, height), "shares": (1, 1), "thousandths": (1000, 1000)}[unit]
    pixels = []
    for side, full, size in zip(sides, scale * 2, (width, height) * 2, strict=True):
        slack = max(_SLACK[rule][0] * full / size, _SLACK[rule][1] * full)
        if not -slack <= side <= full + slack:
            return None, "out_of_image"
        pixels.append(round(side * size / full))
    if sides[2] < sides[0] or sides[3] < sides[1]:
        return None, "reversed"
    if unit != "shares" and 0 < max(sides) < 2:
        return None, "other_unit"
    box = clip(Box(*pixels), width, height)
    return (box, "") if area(box) else (None, "degenerate")


def iou(a: Box, b: Box) -> float:
    """Intersection over union, 0 to 1."""
    shared = area(Box(max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    union = area(a) + area(b) - shared
    return shared / union if union else 0.0


def share_inside(inner: Box, outer: Box) -> float:
    """The share of `inner` that lies in `outer`, 0 to 1; 0 of a box without area."""
    wide = min(inner.right, outer.right) - max(inner.left, outer.left)
    high = min(inner.bottom, outer.bottom) - max(inner.top, outer.top)
    return wide * high / area(inner) if wide > 0 and high > 0 and area(inner) else 0.0


def area_share(box: Box, width: int, height: int) -> float:
    """Share of the image that `box` covers, 0 to 1."""
    return area(box) / (width * height)


def expand(box: Box, share: float, width: int, height: int) -> Box:
    """Grow `box` by `share` of its own size on every side, then clip it to the image."""
    dx = round((box[2] - box[0]) * share)
    dy = round((box[3] - box[1]) * share)
    return clip(Box(box[0] - dx, box[1] - dy, box[2] + dx, box[3] + dy), width, height)


def square(box: Box, width: int, height: int) -> Box:
    """The smallest square around `box`, moved (not cut) to lie on the image where it fits."""
    side = min(max(box[2] - box[0], box[3] - box[1]), width, height)
    left = (box[0] + box[2] - side) // 2
    top = (box[1] + box[3] - side) // 2
    left = min(max(left, 0), width - side)
    top = min(max(top, 0), height - side)
    return Box(left, top, left + side, top + side)
