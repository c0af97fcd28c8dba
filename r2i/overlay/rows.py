"""Training rows of the kept questions, one for each view."""

from collections import Counter
from collections.abc import Mapping, Sequence

from r2i.core.choices import adapt_prompt, mcq_prompt, tell_box
from r2i.core.errors import R2IError
from r2i.core.ids import make_id, unit_of
from r2i.core.images import read_size
from r2i.core.metrics import count_statuses, histogram
from r2i.core.names import TRAIN_VIEWS, TrainView
from r2i.core.params import Overlay
from r2i.core.records import OK, REJECTED
from r2i.core.shards import Counts
from r2i.core.tables import Row
from r2i.endpoint.base import Picture
from r2i.overlay.item import HELD_OUT_DIMENSION, Item

NO_VIEW = "no_view"  # reason of a question that drew no view


def train_rows(
    items: Sequence[Item], crops: Mapping[str, Picture], images: Mapping[str, Picture], params: Overlay, seed: int
) -> list[Row]:
    """Rows of TRAIN. A question that was dropped, or that drew no view (`no_view`), has one row without image.

    A question gets the row of a view when its own number in [0, 1), a hash, is below the view's share. `image`
    is a function that reads the picture: `write_table` calls it.
    """
    rows = []
    for item in items:
        views = choose_views(item.question_id, params, seed) if item.status == OK else []
        if item.status == OK and not views:
            item.drop(REJECTED, NO_VIEW)
        shown: dict[TrainView, Picture | None] = {
            "boxed": item.boxed,
            "full": images[item.vote["image_id"]],
            "told": images[item.vote["image_id"]],
            "crop": item.crop or crops[item.vote["region_id"]],
        }
        rows += [_row(item, view, shown[view], params.prompts) for view in views] or [_row(item, "boxed", None, "")]
    return rows


def require_held_out(dimensions: Sequence[str], counts: Counts) -> None:
    """Raise R2IError where no question of one of `dimensions` was dropped: its name is another. `counts`: of all
    shards."""
    if strange := sorted(set(dimensions) - set(counts.get(HELD_OUT_DIMENSION, {}))):
        raise R2IError(
            f"overlay.held_out_dimensions: no question is about {', '.join(strange)}",
            "metrics/vote.json has the dimensions' names",
        )


def choose_views(question_id: str, params: Overlay, seed: int) -> list[TrainView]:
    """The views that this question is trained in."""
    return [view for view in TRAIN_VIEWS if unit_of(seed, "view", view, question_id) < params.views.get(view, 0.0)]


def _row(item: Item, view: TrainView, image: Picture | None, style: str) -> Row:
    prompt = ""
    if image is not None:
        prompt = adapt_prompt(mcq_prompt(item.vote["question"], item.options, style), view, style)
        if view == "told":
            prompt = tell_box(prompt, item.box, read_size(image.load()), style)
    same = ("question_id", "region_id", "image_id", "question", "dimension", "agree")
    return {name: item.vote[name] for name in same} | {
        "row_id": make_id(item.question_id, view),
        "view": view,
        "image": image.load if image else None,
        "box": item.box,
        "options": item.options,
        "answer": item.answer,
        "label": item.label,
        "prompt": prompt,
        "right": item.right,
        "tries": item.tries,
        "distractor_calls": item.distractor_calls,
        "try_calls": item.try_calls,
        "status": item.status,
        "reason": item.reason,
    }


def count_train_rows(rows: Sequence[Row], tries: int) -> Counts:
    """The metrics of the stage, of one shard or of all.

    The funnel of questions and of rows, rows by view, letters of the right options, right tries of the measured
    questions, rounds of asking for distractors; questions of held-out dimensions, where there are some.
    """
    questions = list({row["question_id"]: row for row in rows}.values())
    kept = [row for row in questions if row["status"] == OK]
    held_out = histogram(row["dimension"] for row in questions if row["reason"] == HELD_OUT_DIMENSION)
    return {
        **count_statuses(rows),
        "questions": count_statuses(questions),
        "rows_by_view": dict(Counter(row["view"] for row in rows if row["status"] == OK)),
        "kept_by_dimension": histogram(row["dimension"] for row in kept),
        "labels": histogram(row["label"] for row in kept),
        "right": histogram(row["right"] for row in questions if row["tries"] == tries),
        "distractor_rounds": histogram(len(row["distractor_calls"]) for row in questions),
        **({HELD_OUT_DIMENSION: held_out} if held_out else {}),
    }
