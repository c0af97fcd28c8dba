"""What the teacher replies to `list`, read strictly: grounding JSON as Qwen-VL models write it."""

from typing import Any, NamedTuple

from r2i.core.boxes import BoxUnit
from r2i.core.parse import Parsed, ReplyError, is_box, make_form, read_json, strict_object

UNIT_TEXTS: dict[BoxUnit, str] = {
    "thousandths": "four integers from 0 to 1000: thousandths of the image's width (x) and height (y)",
    "pixels": "four integers: pixels of this image, which is {width} wide (x) and {height} high (y)",
    "shares": "four numbers from 0 to 1: shares of the image's width (x) and height (y)",
}  # what a unit is called in the prompt
EXAMPLES: dict[BoxUnit, tuple[float, ...]] = {
    "thousandths": (412, 655, 447, 731),
    "pixels": (412, 655, 447, 731),
    "shares": (0.412, 0.655, 0.447, 0.731),
}

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


class ListedObject(NamedTuple):
    """One object as the teacher wrote it. `box`: x1, y1, x2, y2, in the unit that it was asked for."""

    label: str
    box: tuple[float, float, float, float]


def parse_objects(text: str) -> Parsed[list[ListedObject]]:
    """The objects of the last JSON list in `text`, bare or in an object; `[]`: there are none.

    Raises ReplyError where there is no such list, or where one of its items is no object with a box and a label.
    """
    items, repaired = read_json(text, "[", _is_object_list)
    if not items and '"bbox_2d"' in text:  # an inner [] of a list that can't be read
        raise ReplyError("unparsable")
    listed = [ListedObject(" ".join(item["label"].split()), tuple(item["bbox_2d"])) for item in items]
    return Parsed(listed, repaired)


def _is_object_list(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, dict) and isinstance(item.get("label"), str) and is_box(item.get("bbox_2d")) for item in value
    )
