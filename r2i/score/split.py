"""What the zooming gap is made of: what was not looked at, what was not seen, what can be guessed.

All differences are paired by item, of one model's greedy replies. For a model with accuracy F in the full view, C in
the crop view, P in the full view with the region pointed out (`boxed`: drawn, `told`: in words), and R where the region
is painted over (`removed`) or no picture is shown (`blind`):

    gap = C - F = (P - F) + (C - P)
    not looked at = P - F      right once the model is told where to look
    not seen      = C - P      right only once the region is enlarged
    used share    = (F - R) / (C - R)    of what the evidence is worth, the part that the full view gets
"""

from typing import Any

import numpy as np

from r2i.core.ids import seed_of
from r2i.score.bootstrap import bootstrap_means, interval
from r2i.score.compare import by_group, describe, paired, zooming_gap
from r2i.score.scores import Cell, Scores

POINTING = ("boxed", "told")
GUESSING = ("removed", "blind")


def split_gap(scores: Scores) -> dict[str, Any]:
    """The parts of `metrics/evaluate.json` about what the gap is made of; a view that was not asked has none.

    `split.<model>.<boxed|told>`: both parts and the gap, on the items answered in all three views. `guessing.<model>.
    <removed|blind>`: what the full and the crop view gain over a guess, and the `used` share. `recut.<model>`: the gap
    with crops of one scale. `by_magnification`: accuracies and gaps of the strata, where there are several.
    """
    found: dict[str, Any] = {
        "split": {model: {view: parts_of(scores, model, view) for view in POINTING if view in scores.views}
                  for model in scores.models},
        "guessing": {model: {view: evidence_of(scores, model, view) for view in GUESSING if view in scores.views}
                     for model in scores.models},
    }  # fmt: skip
    if "recut" in scores.views:
        found["recut"] = {model: zooming_gap(scores, model, crop="recut") for model in scores.models}
    strata = by_group(scores, "magnification") if "magnification" in scores.items[0] else {}
    measured = {name: cells for name, cells in strata.items() if cells["gaps"][scores.base]["n"]}
    if len(measured) > 1:
        found["by_magnification"] = measured
    return {name: cells for name, cells in found.items() if any(cells.values())}


def parts_of(scores: Scores, model: str, pointed: str) -> dict[str, Any] | None:
    """Null where no item was answered in all three views."""
    cells: list[Cell] = [(model, "full"), (model, pointed), (model, "crop")]
    whole = scores.have(cells)
    if not whole.any():
        return None
    full, there, crop = cells
    pairs = {"not_looked_at": (full, there), "not_seen": (there, crop), "gap": (full, crop)}
    return {
        name: describe(paired(scores, before, after, whole, seed_of(scores.seed, "score", "split", pointed)))
        for name, (before, after) in pairs.items()
    }


def evidence_of(scores: Scores, model: str, without: str) -> dict[str, Any] | None:
    """Null where no item was answered in the view. Without a crop view `crop` and `used` are null."""
    guess, full, crop = (model, without), (model, "full"), (model, "crop")
    if not scores.have([guess, full]).any():
        return None
    seed = seed_of(scores.seed, "score", "guessing", without)
    both = scores.have([guess, full, crop])
    return {
        "full": describe(paired(scores, guess, full, None, seed)),
        "crop": describe(paired(scores, guess, crop, both, seed)) if both.any() else None,
        "used": _used(scores, [guess, full, crop], seed) if both.any() else None,
    }


def _used(scores: Scores, cells: list[Cell], seed: int) -> dict[str, Any]:
    """`share`: null where the crop gains nothing over the guess; its interval too where that is so in a tenth of the
    draws."""
    values, clusters = scores.columns(cells)
    drawn = bootstrap_means(values, clusters, scores.draws, seed)
    share = _share(values.mean(axis=0)[None, :])[0]
    shares = _share(drawn)
    known = np.isfinite(share) and np.isfinite(shares).mean() > 0.9
    return {
        "share": float(share) if np.isfinite(share) else None,
        "ci95": list(interval(shares)) if known else [None, None],
        "n": len(values),
    }


def _share(means: np.ndarray) -> np.ndarray:
    """Of (draws, 3): guess, full, crop. NaN where the crop is no better than the guess."""
    guess, full, crop = means.T
    worth = np.where(crop > guess, crop - guess, np.nan)
    return np.asarray((full - guess) / worth)
