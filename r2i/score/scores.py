"""Greedy replies as numbers: models and views laid beside the benchmark's items."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from r2i.core.errors import TableError
from r2i.core.names import VIEWS
from r2i.core.records import OK, REJECTED
from r2i.score.bootstrap import Floats

Row = Mapping[str, Any]
Cell = tuple[str, str]  # model, view


@dataclass(frozen=True)
class Scores:
    """Greedy replies as numbers, items in order of their id, models as they were named: the base first.

    `right[model, view]`: (items,) 1.0 right; 0.0 wrong or unscored; NaN where no reply came: the call failed, or the
    item has no such view (no box, so no crop).
    """

    items: list[Row]
    right: dict[Cell, Floats]
    draws: int
    seed: int

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(model for model, _ in self.right))

    @property
    def base(self) -> str:
        return self.models[0]

    @property
    def leading(self) -> list[str]:
        """The base and the model that headlines compare with it, where there is one."""
        return self.models[:2]

    @property
    def compared(self) -> str | None:
        """The model that headlines compare with the base; None where the base is alone."""
        return self.models[1] if len(self.models) > 1 else None

    @property
    def views(self) -> list[str]:
        found = {view for _, view in self.right}
        return [view for view in VIEWS if view in found]

    def columns(self, cells: Sequence[Cell], keep: NDArray[np.bool_] | None = None) -> tuple[Floats, list[str]]:
        """The items answered in all `cells` (and in `keep`): values (items, cells), and each item's cluster."""
        whole = self.have(cells)
        if any(cell not in self.right for cell in cells):
            return np.empty((0, len(cells))), []
        values = np.stack([self.right[cell] for cell in cells], axis=1)
        if keep is not None:
            whole &= keep
        return values[whole], [item["cluster_id"] for item, kept in zip(self.items, whole, strict=True) if kept]

    def have(self, cells: Sequence[Cell]) -> NDArray[np.bool_]:
        """Which items were answered in all `cells`: (items,)."""
        if any(cell not in self.right for cell in cells):
            return np.zeros(len(self.items), dtype=bool)
        return np.asarray(~np.isnan(np.stack([self.right[cell] for cell in cells], axis=1)).any(axis=1))

    def where(self, column: str, value: str) -> NDArray[np.bool_]:
        """Which items have `value` in `column`."""
        return np.array([item[column] == value for item in self.items])

    def values_of(self, column: str) -> list[str]:
        return sorted({item[column] for item in self.items})


def collect_scores(items: Iterable[Row], predictions: Mapping[str, Iterable[Row]], draws: int, seed: int) -> Scores:
    """Lay the greedy predictions of each model (one at least, the base first) beside the benchmark's items that are ok.

    A reply that could not be scored counts as wrong; a call that failed is no reply; a rejected row says that the item
    has no such view. Raises TableError where the full view lacks an item or has no reply at all, where another view
    covers other items for one model than for the next, or where a row's item is not of the benchmark.
    """
    ordered = sorted((item for item in items if item["status"] == OK), key=lambda item: item["item_id"])
    if not ordered:
        raise TableError("the benchmark has no ok item", "look at metrics/benchmark.json")
    place = {item["item_id"]: i for i, item in enumerate(ordered)}
    right: dict[Cell, Floats] = {}
    asked: dict[Cell, NDArray[np.bool_]] = {}
    for model, rows in predictions.items():
        for row in rows:
            if row["sample"] != 0 or row["status"] == REJECTED:
                continue
            if row["item_id"] not in place:
                raise TableError(
                    f"the predictions of {model} name item {row['item_id']}, which is no ok item of the benchmark",
                    f"run `dvc repro evaluate@{model}`",
                )
            cell, at = (model, row["view"]), place[row["item_id"]]
            asked.setdefault(cell, np.zeros(len(ordered), dtype=bool))[at] = True
            found = right.setdefault(cell, np.full(len(ordered), np.nan))
            if row["status"] == OK:
                found[at] = float(row["correct"] is True)
    _check_complete(list(predictions), asked, len(ordered))
    for model in predictions:
        if np.isnan(right[model, "full"]).all():
            raise TableError(
                f"no call about {model} in the full view was answered",
                f"see metrics/evaluate-{model}.json for the reasons, mend the server, then evaluate again",
            )
    return Scores(ordered, right, draws, seed)


def _check_complete(models: list[str], asked: dict[Cell, NDArray[np.bool_]], items: int) -> None:
    """Every model was asked about the same items in the same views, and about all items in the full view."""
    for model in models:
        remedy = f"run `dvc repro evaluate@{model}`"
        if (model, "full") not in asked:
            raise TableError(f"the predictions of {model} have no full view", f"keep it in evaluate.views and {remedy}")
        if (found := int(asked[model, "full"].sum())) != items:
            raise TableError(f"the predictions of {model} cover {found} of {items} items in the full view", remedy)
        for view in sorted({view for _, view in asked}):
            if (model, view) not in asked:
                raise TableError(f"the predictions of {model} have no {view} view, others have", remedy)
            if (asked[model, view] != asked[models[0], view]).any():
                raise TableError(f"the predictions of {model} cover other items in the {view} view than others", remedy)
