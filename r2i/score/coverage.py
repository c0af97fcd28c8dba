"""Attention coverage: does a model look at the evidence, and the one compared with it more than the base?"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from r2i.core.ids import seed_of
from r2i.core.records import OK
from r2i.score.bootstrap import bootstrap_means, interval
from r2i.score.clustered import clustered_mean, zero_p

Row = Mapping[str, Any]


def compare_coverage(rows: Mapping[str, Sequence[Row]], draws: int, seed: int) -> dict[str, Any] | None:
    """Mean share of image attention inside the box, of the models of `rows` that were measured: two at most.

    Of two, the base first, on the items that were measured in both, with the `change`, paired by item; of one alone,
    its share. `focus_*`: mean of coverage / the box's share of the image tokens; 1: a look that doesn't care where the
    box is. An item's chosen layers are averaged. `inclusive`: the mean as the reference counts. `curve`: of each model,
    coverage and focus layer by layer (`layer_curve`). Null where none was measured, or no item in both.
    """
    measured = {model: found for model, looks in rows.items() if (found := _by_item(looks))}
    items = sorted(set.intersection(*(set(found) for found in measured.values()))) if measured else []
    if not items:
        return None
    first = next(iter(measured.values()))
    values = np.array([[found[item][0] for found in measured.values()] for item in items])  # (items, models)
    shares = np.array([[found[item][1] for found in measured.values()] for item in items])  # of its own tokens
    clusters = [first[item][2] for item in items]
    drawn = bootstrap_means(values, clusters, draws, seed_of(seed, "score", "coverage"))
    focus = (values / shares).mean(axis=0)
    result: dict[str, Any] = {"n": len(items)}
    for at, model in enumerate(measured):
        result[model] = float(values[:, at].mean())
        result[f"focus_{model}"] = float(focus[at])
    curves = {model: curve for model in measured if (curve := layer_curve(rows[model], items, draws, seed))}
    result |= {"curve": curves, "inclusive": {model: _mean(rows[model], items, "inclusive") for model in measured}}
    if len(measured) == 1:
        return {**result, "ci95": list(interval(drawn[:, 0]))}
    mean = clustered_mean(values[:, 1] - values[:, 0], clusters)
    changes = interval(drawn[:, 1] - drawn[:, 0])
    return {**result, "change": mean.value, "ci95": list(changes), "p_clustered": zero_p(mean)}


def layer_curve(rows: Iterable[Row], items: Sequence[str], draws: int, seed: int) -> dict[str, Any] | None:
    """Of each layer from the first: mean `coverage` over the items with its `ci95`, and mean `focus`.

    Null values of a layer's are left out of its means; None where an older table has no curve, or layers differ in
    number.
    """
    found = {row["item_id"]: row for row in rows if row["status"] == OK and row.get("curve") and row["box_share"]}
    known = [found[item] for item in items if item in found]
    if not known or len({len(row["curve"]) for row in known}) > 1:
        return None
    values = np.array([[np.nan if one is None else one for one in row["curve"]] for row in known])  # (items, layers)
    shares = np.array([row["box_share"] for row in known])
    drawn = bootstrap_means(values, [row["cluster_id"] for row in known], draws, seed_of(seed, "score", "coverage"))
    seen = ~np.isnan(values).all(axis=0)
    curve = [float(np.nanmean(values[:, at])) if ok else None for at, ok in enumerate(seen)]
    focus = [float(np.nanmean(values[:, at] / shares)) if ok else None for at, ok in enumerate(seen)]
    spread = [list(interval(drawn[:, at])) if ok else [None, None] for at, ok in enumerate(seen)]
    return {"coverage": curve, "focus": focus, "ci95": spread, "n": len(known)}


def _mean(rows: Iterable[Row], items: Sequence[str], column: str) -> float | None:
    wanted = set(items)
    found = [row[column] for row in rows if row["item_id"] in wanted and row.get(column) is not None]
    return float(np.mean(found)) if found else None


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
