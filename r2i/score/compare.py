"""Base against distilled, view against view: what `metrics/evaluate.json` says."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from r2i.errors import TableError
from r2i.ids import seed_of
from r2i.records import OK
from r2i.score.statistics import (
    Floats,
    accuracy_interval,
    bootstrap_means,
    interval,
    mcnemar_p,
    pass_at_k,
)

Row = Mapping[str, Any]
VIEWS = ("full", "crop", "boxed")
Cell = tuple[str, str]  # model, view


@dataclass(frozen=True)
class Scores:
    """Greedy replies as numbers, items in order of their id.

    `right[model, view]`: (items,) 1.0 right, 0.0 wrong, NaN not graded (the call failed).
    """

    items: list[Row]
    right: dict[Cell, Floats]
    draws: int
    seed: int

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(model for model, _ in self.right))

    @property
    def views(self) -> list[str]:
        found = {view for _, view in self.right}
        return [view for view in VIEWS if view in found]


def collect_scores(items: Iterable[Row], predictions: Mapping[str, Iterable[Row]], draws: int, seed: int) -> Scores:
    """Lay the greedy predictions of each model beside the benchmark's items that are ok.

    Raises TableError where a model has no full or no crop view, or no reply at all for an item
    (the table is of another benchmark).
    """
    ordered = sorted((item for item in items if item["status"] == OK), key=lambda item: item["item_id"])
    if not ordered:
        raise TableError("the benchmark has no ok item", "look at metrics/benchmark.json")
    place = {item["item_id"]: i for i, item in enumerate(ordered)}
    right: dict[Cell, Floats] = {}
    for model, rows in predictions.items():
        asked = set()
        for row in rows:
            if row["sample"] != 0:
                continue
            if row["item_id"] not in place:
                raise TableError(
                    f"the predictions of {model} name item {row['item_id']}, which is no ok item of the benchmark",
                    f"run `dvc repro evaluate@{model}`",
                )
            cell = right.setdefault((model, row["view"]), np.full(len(ordered), np.nan))
            asked.add((row["item_id"], row["view"]))
            if row["status"] == OK:
                cell[place[row["item_id"]]] = float(row["correct"])
        _check_complete(model, [v for m, v in right if m == model], len(asked), len(ordered))
    return Scores(ordered, right, draws, seed)


def _check_complete(model: str, views: list[str], asked: int, items: int) -> None:
    remedy = f"keep full and crop in evaluate.views and run `dvc repro evaluate@{model}`"
    for view in ("full", "crop"):
        if view not in views:
            raise TableError(f"the predictions of {model} have no {view} view", remedy)
    if asked != len(views) * items:
        raise TableError(f"the predictions of {model} cover {asked} of {len(views) * items} items and views", remedy)


def compare(scores: Scores) -> dict[str, Any]:
    """Everything that is said of greedy replies, in the layout of `metrics/evaluate.json`."""
    result: dict[str, Any] = {
        "views": {view: {m: accuracy(scores, (m, view)) for m in scores.models} for view in scores.views},
        "gap": gap(scores, "distilled"),
        "full_gain": gain(scores, "distilled", "full"),
        "crop_change": gain(scores, "distilled", "crop"),
        "by_dimension": by_dimension(scores),
        "chance": float(np.mean([1 / len(i["options"]) if i["options"] else 0.0 for i in scores.items])),
        "items": len(scores.items),
        "images": len({item["image_id"] for item in scores.items}),
        "unscored": {
            model: {view: int(np.isnan(scores.right[model, view]).sum()) for view in scores.views}
            for model in scores.models
        },
    }
    if "sft" in scores.models:
        result["sft"] = {"full_gain": gain(scores, "sft", "full"), "gap": gap(scores, "sft")}
    return result


def accuracy(scores: Scores, cell: Cell, dimension: str | None = None) -> dict[str, Any]:
    """Accuracy of one model in one view over the graded items, with its clustered interval."""
    values = scores.right[cell]
    keep = ~np.isnan(values)
    if dimension is not None:
        keep &= np.array([item["dimension"] == dimension for item in scores.items])
    if not keep.any():
        return {"accuracy": None, "ci95": [None, None], "n": 0}
    seed = seed_of(scores.seed, "score", dimension or "")
    low, high = accuracy_interval(values[keep], _clusters(scores, keep), scores.draws, seed)
    return {"accuracy": float(values[keep].mean()), "ci95": [low, high], "n": int(keep.sum())}


def gap(scores: Scores, model: str) -> dict[str, Any]:
    """The zooming gap (crop minus full accuracy) of base and `model`, on items graded in all four cells.

    `change` is negative where the gap got smaller; `closed_share` is the part of the base's gap
    that is gone, null where the base has none.
    """
    cells = [("base", "crop"), ("base", "full"), (model, "crop"), (model, "full")]
    values = np.stack([scores.right[cell] for cell in cells], axis=1)  # (items, 4)
    keep = np.asarray(~np.isnan(values).any(axis=1))
    if not keep.any():
        return {"base": None, model: None, "change": None, "ci95": [None, None], "closed_share": None, "n": 0}
    crop0, full0, crop1, full1 = values[keep].mean(axis=0).tolist()
    before, after = crop0 - full0, crop1 - full1
    drawn = bootstrap_means(values[keep], _clusters(scores, keep), scores.draws, seed_of(scores.seed, "score", "gap"))
    change = drawn @ np.array([-1.0, 1.0, 1.0, -1.0])  # (draws,)
    return {
        "base": before,
        model: after,
        "change": after - before,
        "ci95": list(interval(change)),
        "closed_share": (before - after) / before if before > 0 else None,
        "n": int(keep.sum()),
    }


def gain(scores: Scores, model: str, view: str) -> dict[str, Any]:
    """`model` minus base in `view`, on the items graded for both, with what was fixed and broken."""
    values = np.stack([scores.right["base", view], scores.right[model, view]], axis=1)  # (items, 2)
    keep = np.asarray(~np.isnan(values).any(axis=1))
    before, after = values[keep].astype(bool).T
    fixed, broken = int((~before & after).sum()), int((before & ~after).sum())
    pairs = {
        "fixed": fixed,
        "broken": broken,
        "both_right": int((before & after).sum()),
        "both_wrong": int((~before & ~after).sum()),
    }
    if not keep.any():
        return {"value": None, "ci95": [None, None], "p_mcnemar": None, "n": 0, "pairs": pairs}
    seed = seed_of(scores.seed, "score", "gain", view)
    drawn = bootstrap_means(values[keep], _clusters(scores, keep), scores.draws, seed)
    return {
        "value": float(after.mean() - before.mean()),
        "ci95": list(interval(drawn[:, 1] - drawn[:, 0])),
        "p_mcnemar": mcnemar_p(fixed, broken),
        "n": int(keep.sum()),
        "pairs": pairs,
    }


def by_dimension(scores: Scores) -> dict[str, Any]:
    """Accuracy of base and distilled in the full and the crop view, for each dimension."""
    names = sorted({item["dimension"] for item in scores.items})
    return {
        name: {
            view: {model: accuracy(scores, (model, view), name) for model in ("base", "distilled")}
            for view in ("full", "crop")
        }
        for name in names
    }


def pass_curve(rows: Iterable[Row]) -> dict[str, Any]:
    """pass@k of sampled replies for k = 1, 2, 4, ... up to the number of samples; {} without any.

    A call that failed is no try: items with a try missing are left out (`n` says how many stay).
    """
    tries: dict[tuple[str, str], list[bool]] = defaultdict(list)
    most = 0
    for row in rows:
        most = max(most, row["sample"])
        if row["sample"] and row["status"] == OK:
            tries[row["item_id"], row["view"]].append(row["correct"])
    whole = [replies for replies in tries.values() if len(replies) == most]
    if not whole:
        return {}
    sizes = sorted({2**i for i in range(most.bit_length())} | {most})
    curve = {str(k): sum(pass_at_k(sum(t), most, k) for t in whole) / len(whole) for k in sizes}
    return {**curve, "n": len(whole)}


def _clusters(scores: Scores, keep: NDArray[np.bool_]) -> list[str]:
    return [item["image_id"] for item, kept in zip(scores.items, keep, strict=True) if kept]
