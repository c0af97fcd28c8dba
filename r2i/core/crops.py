"""The crop of a train row's region: the picture of a row that shows it, else cut out of the row's own picture."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from r2i.core.boxes import Box
from r2i.core.choices import plain_prompt, tell_box
from r2i.core.drawing import make_crop
from r2i.core.errors import ImageError
from r2i.core.images import read_image, read_size
from r2i.core.names import TrainView
from r2i.core.params import Cut

BY_TRUST: tuple[TrainView, ...] = ("crop", "full", "told", "boxed")
"""Views in the order in which a question's crop is taken from their rows; a drawn box may show in what is cut."""


def choose_rows(rows: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """By question, the row that its crop is taken from."""
    best: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        known = best.get(row["question_id"])
        if known is None or BY_TRUST.index(row["view"]) < BY_TRUST.index(known["view"]):
            best[row["question_id"]] = row
    return best


def crop_of(view: str, image: bytes, box: Sequence[int] | None, cut: Cut) -> bytes | None:
    """JPEG bytes; None where the box is not known, or can't be cut."""
    if view == "crop":
        return image
    if not box:
        return None
    try:
        return make_crop(read_image(image), Box(*box), cut)
    except ImageError:
        return None


def prompt_of_crop(row: Mapping[str, Any], style: str) -> str:
    """What a row asks, as its crop is asked: nothing is said of a box, which is one of the full image."""
    if row["view"] == "told" and row["box"]:
        said = tell_box("", row["box"], read_size(row["image"]), style)
        return str(row["prompt"].removesuffix(said))
    return plain_prompt(row["prompt"], row["view"], style)
