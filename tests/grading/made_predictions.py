"""Rows of PREDICTIONS that the rules have scored."""

from typing import Any

from made_rows import prediction_row

from r2i.core.tables import Row
from r2i.grading import score_reply

COLORS = ["red", "dark blue", "green"]


def prediction(item: str, reply: str, sample: int = 0, view: str = "full", **changed: Any) -> Row:
    """An ok row, scored by the rules: which color is it? B, dark blue."""
    about = {
        "item_id": item, "image_id": f"image-{item}", "cluster_id": f"image-{item}", "source": "made",
        "dimension": "color", "question": "what color is the coat?", "options": COLORS, "answer": "dark blue",
        "label": "B",
    }  # fmt: skip
    row = prediction_row(about, reply, view, sample, **changed)
    found = score_reply(reply, row)
    return {**row, "predicted": found.predicted, "rule": found.rule, "correct": found.correct, **changed}


def open_question(item: str, reply: str, **changed: Any) -> Row:
    return prediction(item, reply, **({"options": [], "label": "", "answer": "wood"} | changed))
