"""What people decided about the questions, put into the items before anything is asked."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from r2i.core.boxes import Box, area, clip
from r2i.core.catalogue import REGIONS, TRAIN, VOTES
from r2i.core.choices import shuffle_options
from r2i.core.drawing import make_crop
from r2i.core.errors import ImageError
from r2i.core.images import read_image, read_size
from r2i.core.params import Cut
from r2i.core.records import FAILED, OK, REJECTED
from r2i.core.tables import ok_rows, read_table
from r2i.endpoint.base import Picture
from r2i.overlay.item import Item, make_items, still_ok
from r2i.overlay.reply import plain_option
from r2i.review.agreement import measure
from r2i.review.decisions import Decisions, Frame, Was, form_of, was_of
from r2i.review.outcomes import Outcome, Outcomes, resolve
from r2i.review.strata import question_strata


def review_items(
    items: Sequence[Item], decisions: Decisions, images: Mapping[str, Picture], cut: Cut
) -> Outcomes | None:
    """Drop what was rejected or is disputed, put fixes in; returns the outcomes, None where nobody decided anything.

    Open rows, and rows that changed since, stay as they are. `images`: by image_id; `cut`: of moved regions' crops.
    """
    if not decisions.all and not decisions.bad:
        return None
    found = resolve(decisions, {item.question_id: _was(item) for item in items}.get)
    for item in items:
        if outcome := found.of.get(item.question_id):
            _apply(item, outcome, images[item.vote["image_id"]], cut)
    return found


def reserve(items: Sequence[Item], found: Outcomes | None) -> None:
    """Keep what was reviewed as untrained out of the training: a benchmark may have been built from it.

    After the student's tries, which `r2i benchmark build` reads.
    """
    for item in still_ok(items):
        if found and item.question_id in found.of and found.of[item.question_id].frame == "untrained":
            item.drop(REJECTED, "review_reserved")


def review_metrics(decisions: Decisions) -> dict[str, Any]:
    """`{"review": ...}` of the tables of votes and train rows as they are; {} without decisions."""
    if not decisions.all and not decisions.bad:
        return {}
    votes = ok_rows(read_table(VOTES.folder, VOTES.schema, VOTES.stage), VOTES.folder, VOTES.stage)
    regions = read_table(REGIONS.folder, REGIONS.schema, REGIONS.stage, ["region_id", "box"])
    items = make_items(votes, {row["region_id"]: Box(*row["box"]) for row in regions if row["box"]})
    found = resolve(decisions, {item.question_id: _was(item) for item in items}.get)
    strata = question_strata(votes)
    rows = read_table(TRAIN.folder, TRAIN.schema, TRAIN.stage, ["row_id", "question_id", "status"])
    # had nobody rejected it, a reviewed row that was drawn from the train rows would be one of them
    trained = {row["question_id"] for row in rows if row["status"] == OK}
    trained |= {name for name, outcome in found.of.items() if outcome.frame == "trained"}
    populations: dict[Frame, dict[str, str]] = {
        "trained": {name: stratum for name, stratum in strata.items() if name in trained},
        "untrained": {name: stratum for name, stratum in strata.items() if name not in trained},
        "voted": dict(strata),
    }
    return {"review": measure(found, populations)}


def _was(item: Item) -> Was:
    return was_of({**item.vote, "box": item.box})


def _apply(item: Item, outcome: Outcome, image: Picture, cut: Cut) -> None:
    if outcome.state in ("rejected", "disputed"):
        item.drop(REJECTED, f"review_{outcome.state}")
    if outcome.state != "fixed":
        return
    fix = outcome.fix
    item.vote = item.vote | {name: text for name, text in fix.changes.items() if name in ("question", "dimension")}
    item.answer = plain_option(fix.answer) if fix.answer is not None else item.answer
    if fix.options:
        wrong = [plain_option(text) for text in fix.options if form_of(text) != form_of(item.answer)]
        item.distractors = wrong
        item.options, item.label = shuffle_options(item.answer, wrong, item.question_id)
    if fix.box:
        _move(item, Box(*fix.box), image, cut)


def _move(item: Item, box: Box, image: Picture, cut: Cut) -> None:
    """Another box: clipped to the image, and its crop cut anew."""
    try:
        moved = clip(box, *read_size(image.load()))
    except (ImageError, OSError):
        item.drop(FAILED, "unreadable")
        return
    if not area(moved):
        item.drop(FAILED, "review_bad_box")
        return
    item.box, item.crop = moved, Picture(partial(_cut, image, moved, cut))


def _cut(image: Picture, box: Box, cut: Cut) -> bytes:
    """Raises ImageError."""
    return make_crop(read_image(image.load()), box, cut)
