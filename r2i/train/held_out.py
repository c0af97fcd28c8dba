"""Rows that are held out of training, and the checkpoint that does best on them: the same for both engines."""

from collections.abc import Iterable, Sequence
from typing import Any

from r2i.core.errors import R2IError
from r2i.core.ids import unit_of
from r2i.core.tables import Row

KEY = "val_accuracy"
"""Of the curve: share of right greedy answers to held-out rows, graded strictly."""


def split_rows(rows: Iterable[Row], share: float, seed: int, least: int) -> tuple[list[Row], list[Row]]:
    """Rows to train on, and rows of `share` of the images, by a hash of the image's id.

    Raises R2IError where none are held out of a share, or fewer than `least` are left to train on.
    """
    trained: list[Row] = []
    held: list[Row] = []
    for row in rows:
        (held if unit_of(seed, "validation", row["image_id"]) < share else trained).append(row)
    if share and (not held or len(trained) < least):
        raise R2IError(
            f"train.validation {share} holds {len(held)} rows out and leaves {len(trained)}; a batch is {least}",
            "change train.validation, or make more rows",
        )
    return trained, held


def best_of(measured: Iterable[tuple[int, float]]) -> tuple[int, float]:
    """Step and accuracy of the best checkpoint; of equal ones the first."""
    return max(measured, key=lambda found: found[1])


def choose_checkpoint(measured: Sequence[tuple[int, float]], choose: str) -> tuple[int, float]:
    """Step and accuracy of the `last` or of the `best` checkpoint. `measured`: by step, without the base."""
    return best_of(measured) if choose == "best" else measured[-1]


def validation_facts(
    rows: int, images: int, base: float | None, measured: Sequence[tuple[int, float]], choose: str
) -> dict[str, Any]:
    """What was chosen by what, for metrics. `rows`, `images`: held out; `base`: its accuracy, where it was measured."""
    step, value = choose_checkpoint(measured, choose)
    chosen = {"by": choose, "step": step, KEY: value}
    facts = {"rows": rows, "images": images, "base": base, "last": measured[-1][1], "chosen": chosen}
    return {"validation": facts}
