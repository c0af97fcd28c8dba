"""A kept question on its way to training rows."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from r2i.core.boxes import Box
from r2i.core.errors import TableError
from r2i.core.ids import unit_of
from r2i.core.records import OK, REJECTED
from r2i.core.tables import Row
from r2i.endpoint.base import Picture
from r2i.overlay.reply import plain_option

HELD_OUT_IMAGE = "held_out_image"  # reason of a question about an image that is kept for a benchmark
HELD_OUT_DIMENSION = "held_out_dimension"  # reason of a question of a dimension that is not trained on


@dataclass
class Item:
    """Filled step by step: distractors, options, the boxed image, the student's tries.

    `crop`: what `box` shows, where a reviewer moved it. `right` of
    `tries`: graded student replies. `distractor_calls`, `try_calls`: columns of r2i.core.provenance.CALL, call by
    call; `repaired`: replies whose JSON had to be mended. An item that is no longer ok is left alone by the
    steps that follow.
    """

    vote: Row
    box: Box
    answer: str
    distractors: list[str] = field(default_factory=list)
    rounds: int = 0
    options: list[str] = field(default_factory=list)
    label: str = ""
    boxed: Picture | None = None
    crop: Picture | None = None
    right: int = 0
    tries: int = 0
    distractor_calls: list[Row] = field(default_factory=list)
    try_calls: list[Row] = field(default_factory=list)
    repaired: int = 0
    status: str = OK
    reason: str = ""

    @property
    def question_id(self) -> str:
        return str(self.vote["question_id"])

    def drop(self, status: str, reason: str) -> None:
        """Take the item out, with a reason; its picture is no longer needed."""
        self.status, self.reason, self.boxed = status, reason, None


def make_items(votes: Sequence[Row], boxes: Mapping[str, Box]) -> list[Item]:
    """One item for each of `votes` (rows of VOTES that are ok). `boxes`: by region_id."""
    items = []
    for vote in votes:
        if vote["region_id"] not in boxes:
            raise TableError(f"no region {vote['region_id']} for a kept vote", "run `dvc repro crop` and what follows")
        items.append(Item(vote, boxes[vote["region_id"]], plain_option(vote["answer"])))
    return items


def still_ok(items: Iterable[Item]) -> list[Item]:
    return [item for item in items if item.status == OK]


def hold_out_images(items: Iterable[Item], share: float, seed: int) -> None:
    """Keep the questions of a share of the images, chosen by a hash, out of the training."""
    for item in still_ok(items):
        if unit_of(seed, "held out", item.vote["image_id"]) < share:
            item.drop(REJECTED, HELD_OUT_IMAGE)


def hold_out_dimensions(items: Iterable[Item], dimensions: Collection[str]) -> None:
    """Drop the questions of `dimensions`, before anything is asked about them."""
    for item in still_ok(items):
        if item.vote["dimension"] in dimensions:
            item.drop(REJECTED, HELD_OUT_DIMENSION)
