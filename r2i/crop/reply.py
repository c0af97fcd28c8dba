"""What the teacher replies to `list`, read strictly: grounding JSON as Qwen-VL models write it."""

from typing import Any, NamedTuple

from r2i.core.boxes import Box
from r2i.core.parse import Parsed, ReplyError, make_form, read_json, strict_object

SCALES = {
    "thousandths": "four integers from 0 to 1000: thousandths of the image's width (x) and height (y)",
    "pixels": "four integers: pixels of this image, which is {width} wide (x) and {height} high (y)",
    "shares": "four numbers from 0 to 1: shares of the image's width (x) and height (y)",
}  # what each of params.Crop.coordinates is called in the prompt
EXAMPLES = {"thousandths": (412, 655, 447, 731), "pixels": (412, 655, 447, 731), "shares": (0.412, 0.655, 0.447, 0.731)}

OBJECTS_FORM = make_form(
    "objects",
    strict_object(
        objects={
            "type": "array",
            "items": strict_object(
                bbox_2d={"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
                label={"type": "string"},
            ),
        }
    ),
)


class Said(NamedTuple):
    """One object as the teacher wrote it. `box`: x1, y1, x2, y2, in the coordinates that it was asked for."""

    label: str
    box: tuple[float, float, float, float]


def parse_objects(text: str) -> Parsed[list[Said]]:
    """The objects of the last JSON list in `text`, bare or in an object; `[]`: there are none.

    Raises ReplyError where there is no such list, or where one of its items is no object with a box and a label.
    """
    items, repaired = read_json(text, "[", _is_object_list)
    if not items and '"bbox_2d"' in text:  # an inner [] of a list that can't be read
        raise ReplyError("unparsable")
    said = [Said(" ".join(item["label"].split()), tuple(item["bbox_2d"])) for item in items]
    return Parsed(said, repaired)


def place_box(said: Said, coordinates: str, width: int, height: int) -> tuple[Box | None, str]:
    """The box in whole pixels of an image of `width` x `height`, and what is wrong with it: one of the two.

    `coordinates`: params.Crop.coordinates. Faults: `out_of_image`, `reversed`, `degenerate` (no pixel wide or
    high). Nothing is clipped or swapped: a teacher that misses the image can't be trusted about where.
    """
    most = {"thousandths": (1000, 1000), "pixels": (width, height), "shares": (1, 1)}[coordinates]
    x1, y1, x2, y2 = said.box
    if not all(0 <= x <= most[i % 2] for i, x in enumerate(said.box)):  # not a number is in no range
        return None, "out_of_image"
    if x2 < x1 or y2 < y1:
        return None, "reversed"
    left, right = (round(x * width / most[0]) for x in (x1, x2))
    top, bottom = (round(y * height / most[1]) for y in (y1, y2))
    if left == right or top == bottom:
        return None, "degenerate"
    return Box(left, top, right, bottom), ""


def _is_object_list(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, dict) and isinstance(item.get("label"), str) and _is_box(item.get("bbox_2d")) for item in value
    )


def _is_box(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(isinstance(x, int | float) and not isinstance(x, bool) for x in value)
    )
