"""Attention coverage, base beside the model compared with it: does distillation make the model look at the evidence?"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from r2i.core.ids import seed_of
from r2i.core.records import OK
from r2i.score.bootstrap import bootstrap_means, interval
from r2i.score.clustered import clustered_mean, zero_p

Row = Mapping[str, Any]


def compare_coverage(rows: Mapping[str, Iterable[Row]], draws: int, seed: int) -> dict[str, Any] | None:
    """Mean share of image attention inside the box, of the two models of `rows`, the base first, paired by item.

    `focus_*`: mean of coverage / the box's share of the image tokens; 1: a look that doesn't care where
    the box is. An item's layers are averaged. Null where one of them was not measured, or no item was
    measured in both.
    """
    if len(rows) != 2:
        return None
    base, compared = rows
    before, after = _by_item(rows[base]), _by_item(rows[compared])
    both = sorted(before.keys() & after.keys())
    if not both:
        return None
    values = np.array([[before[item][0], after[item][0]] for item in both])  # (items, 2)
    shares = np.array([before[item][1] for item in both])
    clusters = [before[item][2] for item in both]
    drawn = bootstrap_means(values, clusters, draws, seed_of(seed, "score", "coverage"))
    mean = clustered_mean(values[:, 1] - values[:, 0], clusters)
    focus = (values / shares[:, None]).mean(axis=0)
    return {
        base: float(values[:, 0].mean()),
        compared: float(values[:, 1].mean()),
        "change": mean.value,
        "ci95": list(interval(drawn[:, 1] - drawn[:, 0])),
        "p_clustered": zero_p(mean),
        f"focus_{base}": float(focus[0]),
        f"focus_{compared}": float(focus[1]),
        "n": len(both),
    }


def _by_item(rows: Iterable[Row]) -> dict[str, tuple[float, float, str]]:
    """Coverage and box share (means over layers) and cluster of each item that was measured."""
    layers: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["status"] == OK and row["box_share"]:  # a box that no image token meets can't be looked at
            layers[row["item_id"]].append(row)
    return {
        item: (
            float(np.mean([row["coverage"] for row in found])),
            float(np.mean([row["box_share"] for row in found])),
            found[0]["cluster_id"],
        )
        for item, found in layers.items()
    }
