"""What people decided about the items, put into their rows before the table is written."""

from collections.abc import Sequence
from typing import Any

from r2i.core.boxes import Box, area, clip
from r2i.core.choices import LETTERS
from r2i.core.drawing import crop_fits, make_boxed, make_crop
from r2i.core.errors import ImageError
from r2i.core.images import read_image, read_size
from r2i.core.params import Drawing
from r2i.core.records import FAILED, OK, REJECTED
from r2i.core.tables import Row
from r2i.review.agreement import measure
from r2i.review.decisions import Decisions, Fix, form_of, was_of
from r2i.review.outcomes import Outcome, resolve
from r2i.review.strata import item_stratum


def review_items(
    rows: Sequence[Row], decisions: Decisions, drawing: Drawing
) -> tuple[list[Row], dict[str, Any] | None]:
    """The rows with rejected and disputed items as `rejected` and fixes put in; and what metrics say of it.

    Rows of records.BENCHMARK; a view's value may be a function that gives its bytes. Without decisions: the rows as
    they are, and None. Open rows, and rows that changed since, stay as they are.
    """
    if not decisions.all and not decisions.bad:
        return list(rows), None
    kept = {row["item_id"]: row for row in rows if row["status"] == OK}
    found = resolve(decisions, {name: was_of(row, options=True) for name, row in kept.items()}.get)
    population = {name: item_stratum(row) for name, row in kept.items()}
    known = found.of
    reviewed = [
        row | _applied(row, known[row["item_id"]], drawing) if row["status"] == OK and row["item_id"] in known else row
        for row in rows
    ]
    return reviewed, measure(found, {"items": population})


def _applied(row: Row, outcome: Outcome, drawing: Drawing) -> Row:
    """The columns that change."""
    if outcome.state in ("rejected", "disputed"):
        return _without_views(REJECTED, f"review_{outcome.state}")
    if outcome.state != "fixed":
        return {}
    changed = fixed_texts(row, outcome.fix)
    if changed is None:
        return _without_views(FAILED, "review_bad_fix")
    if row.get("prompt") and (outcome.fix.question or outcome.fix.options):
        changed["prompt"] = None  # the release's text says what was mended
    if outcome.fix.box:
        try:
            box = clip(Box(*outcome.fix.box), *read_size(_bytes_of(row["image"])))
        except (ImageError, OSError):
            return _without_views(FAILED, "unreadable")
        if not area(box) or not crop_fits(box, drawing.cut):
            return _without_views(FAILED, "review_bad_box")
        changed |= _views(row, box, drawing)
    return changed


def _without_views(status: str, reason: str) -> Row:
    views = dict.fromkeys(("image", "crop", "boxed", "crop_made", "magnification", "phash"))
    return {**views, "status": status, "reason": reason}


def fixed_texts(row: Row, fix: Fix) -> Row | None:
    """The columns of question, options, answer, label and dimension that a fix changes.

    None where the answer is none of the options: a fix that was written by hand.
    """
    changed: Row = {name: value for name, value in fix.changes.items() if name in ("question", "dimension")}
    options = list(fix.options or row["options"])
    answer = fix.answer if fix.answer is not None else row["answer"]
    if fix.answer is None and fix.options is None:
        return changed
    if not options:
        return changed | {"answer": answer}
    places = [place for place, text in enumerate(options) if form_of(text) == form_of(answer)]
    if len(places) != 1:
        return None
    return changed | {"options": options, "label": LETTERS[places[0]], "answer": options[places[0]]}


def _views(row: Row, box: Box, drawing: Drawing) -> Row:
    """The crop and the boxed view of another box, made when they are written."""
    return {
        "box": box,
        "crop": lambda: make_crop(read_image(_bytes_of(row["image"])), box, drawing.cut),
        "boxed": lambda: make_boxed(read_image(_bytes_of(row["image"])), box, drawing.outline),
        "crop_made": True,
        "magnification": float(drawing.cut.upscale),
    }


def _bytes_of(image: Any) -> bytes:
    return bytes(image() if callable(image) else image)
