"""Rows of PREDICTIONS for the scorer's tests."""

from typing import Any

from r2i.core.ids import make_id
from r2i.core.provenance import NO_CALL
from r2i.core.tables import Row
from r2i.grading import score_reply

COLORS = ["red", "dark blue", "green"]


def prediction(item: str, reply: str, sample: int = 0, view: str = "full", **changed: Any) -> Row:
    """An ok row, scored by the rules: which color is it? B, dark blue."""
    row = {
        "prediction_id": make_id(item, view, sample), "item_id": item, "image_id": f"image-{item}",
        "cluster_id": f"image-{item}", "source": "made", "dimension": "color", "view": view, "sample": sample,
        "question": "what color is the coat?", "options": COLORS, "answer": "dark blue", "label": "B", "reply": reply,
        "first_reply": "", "zoom_box": None, "verdict": None, **NO_CALL, "tokens_in": 9, "tokens_out": 3,
        "vision_forwards": 1, "status": "ok", "reason": "", **changed,
    }  # fmt: skip
    found = score_reply(reply, row)
    return {**row, "predicted": found.predicted, "rule": found.rule, "correct": found.correct, **changed}


def open_question(item: str, reply: str, **changed: Any) -> Row:
    return prediction(item, reply, **({"options": [], "label": "", "answer": "wood"} | changed))
