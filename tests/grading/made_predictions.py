"""Rows of PREDICTIONS that the rules have graded."""

from typing import Any

from made_rows import prediction_row

from r2i.core.tables import Row
from r2i.grading.flexible import grade_flexibly

COLORS = ["red", "dark blue", "green"]


def prediction(item: str, reply: str, sample: int = 0, view: str = "full", **changed: Any) -> Row:
    """An ok row, graded by the rules: which color is it? B, dark blue."""
    about = {
        "item_id": item, "image_id": f"image-{item}", "cluster_id": f"image-{item}", "source": "made",
        "dimension": "color", "question": "what color is the coat?", "options": COLORS, "answer": "dark blue",
        "label": "B",
    }  # fmt: skip
    row = prediction_row(about, reply, view, sample, **changed)
    found = grade_flexibly(reply, row)
    return {**row, "predicted": found.predicted, "rule": found.rule, "correct": found.correct, **changed}


def open_question(item: str, reply: str, **changed: Any) -> Row:
    return prediction(item, reply, **({"options": [], "label": "", "answer": "wood"} | changed))
