"""Every model against the base, view against view: what `metrics/evaluate.json` says of greedy replies."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from r2i.core.choices import is_open
from r2i.core.ids import seed_of
from r2i.core.names import VIEWS
from r2i.score.bootstrap import accuracy_interval, bootstrap_means, interval
from r2i.score.clustered import clustered_mean, difference_interval, flat_interval, share_interval, zero_p
from r2i.score.correction import benjamini_hochberg, holm
from r2i.score.paired import Difference, difference
from r2i.score.scores import Cell, Scores

NOTHING = {"ci95": [None, None], "se": None, "ci95_clustered": [None, None], "n": 0}
GAP = np.array([-1.0, 1.0, 1.0, -1.0])  # of crop and full before, crop and full after: the gap's change


def compare(scores: Scores) -> dict[str, Any]:
    """Everything that is said of greedy replies, in the layout of `metrics/evaluate.json`.

    Each model's views and zooming gap stand by themselves. Comparisons on top (the change of the gap, gains, power)
    are of the model that headlines compare with the base, and are not there where there is one model alone; each
    further model has a section of its name. The crop view stands there even where no item has one: its accuracy, and
    the gap, are null.
    """
    views = [view for view in VIEWS if view in {"full", "crop", *scores.views}]
    gaps = {model: zooming_gap(scores, model) for model in scores.models}
    result: dict[str, Any] = {
        "views": {view: {m: accuracy(scores, (m, view)) for m in scores.models} for view in views},
        "gaps": gaps,
        "gap": {model: found["value"] for model, found in gaps.items()},
        "by_dimension": by_group(scores, "dimension"),
        "by_source": by_group(scores, "source"),
        "chance": float(np.mean([0.0 if is_open(item) else 1 / len(item["options"]) for item in scores.items])),
        "items": len(scores.items),
        "images": len({item["image_id"] for item in scores.items}),
        "clusters": len({item["cluster_id"] for item in scores.items}),
    }
    if scores.compared is not None:
        result |= {
            "gap": gap(scores, scores.compared),
            "full_gain": gain(scores, scores.compared, "full"),
            "crop_change": gain(scores, scores.compared, "crop"),
            "corrected": {column: corrected(scores, scores.compared, column) for column in ("dimension", "source")},
            "power": power(scores, scores.compared),
        }
    for model in scores.models[2:]:
        result[model] = {"full_gain": gain(scores, model, "full"), "gap": gap(scores, model)}
    return result


def accuracy(scores: Scores, cell: Cell, column: str = "", value: str = "") -> dict[str, Any]:
    """Accuracy of one model in one view, over the items with `value` in `column` where one is named.

    Two clustered 95 % intervals: `ci95` of the bootstrap, `ci95_clustered` of the sandwich `se`.
    """
    values, clusters = scores.columns([cell], scores.where(column, value) if column else None)
    if not len(values):
        return {"accuracy": None, **NOTHING}
    mean = clustered_mean(values[:, 0], clusters)
    seed = seed_of(scores.seed, "score", value)
    return {
        "accuracy": mean.value,
        "ci95": list(accuracy_interval(values[:, 0], clusters, scores.draws, seed)),
        "se": mean.se,
        "ci95_clustered": list(share_interval(mean)),
        "n": mean.n,
    }


def gap(scores: Scores, model: str) -> dict[str, Any]:
    """The zooming gap (crop minus full accuracy) of base and `model`, on the items that have both views.

    `change` is negative where the gap got smaller; `closed_share` is the part of the base's gap
    that is gone, null where the base has none.
    """
    base = scores.base
    cells = [(base, "crop"), (base, "full"), (model, "crop"), (model, "full")]
    values, clusters = scores.columns(cells)  # (items, 4)
    if not len(values):
        return {base: None, model: None, "change": None, "closed_share": None, "p_clustered": None, **NOTHING}
    crop0, full0, crop1, full1 = values.mean(axis=0).tolist()
    before, after = crop0 - full0, crop1 - full1
    drawn = bootstrap_means(values, clusters, scores.draws, seed_of(scores.seed, "score", "gap"))
    mean = clustered_mean(values @ GAP, clusters)
    return {
        base: before,
        model: after,
        "change": after - before,
        "ci95": list(interval(drawn @ GAP) if mean.spreads else flat_interval(mean)),
        "se": mean.se,
        "ci95_clustered": list(difference_interval(mean)),
        "p_clustered": zero_p(mean),
        "closed_share": (before - after) / before if before > 0 else None,
        "n": len(values),
    }


def zooming_gap(scores: Scores, model: str, column: str = "", value: str = "", crop: str = "crop") -> dict[str, Any]:
    """Crop minus full view of one model, paired by item: on the items that have both views, and `value` in `column`.

    `pairs`: `fixed` are right in the crop alone, `broken` in the full view alone. `crop`: the view that stands for it.
    """
    keep = scores.where(column, value) if column else None
    return describe(paired(scores, (model, "full"), (model, crop), keep, seed_of(scores.seed, "score", "gap", value)))


def gain(scores: Scores, model: str, view: str) -> dict[str, Any]:
    """`model` minus base in `view`, paired by item, with what was fixed and broken."""
    seed = seed_of(scores.seed, "score", "gain", view)
    return describe(paired(scores, (scores.base, view), (model, view), None, seed))


def describe(found: Difference | None) -> dict[str, Any]:
    """A paired difference as metrics; null where there was no item."""
    if not found:
        pairs = dict.fromkeys(("fixed", "broken", "both_right", "both_wrong"), 0)
        return {"value": None, "p_mcnemar": None, "p_clustered": None, "pairs": pairs, **NOTHING}
    return {
        "value": found.mean.value,
        "ci95": list(found.ci95),
        "se": found.mean.se,
        "ci95_clustered": list(found.ci95_clustered),
        "p_mcnemar": found.pairs.p_mcnemar,
        "p_clustered": found.p_clustered,
        "n": found.mean.n,
        "pairs": vars(found.pairs),
    }


def paired(scores: Scores, before: Cell, after: Cell, keep: NDArray[np.bool_] | None, seed: int) -> Difference | None:
    """One model and view beside another, on the items of `keep` answered in both; None where there is no such item."""
    values, clusters = scores.columns([before, after], keep)
    if not len(values):
        return None
    return difference(values[:, 0], values[:, 1], clusters, scores.draws, seed)


def by_group(scores: Scores, column: str) -> dict[str, Any]:
    """Of the headline's models, for each dimension or source: accuracy in the full and the crop view, and the gap."""
    return {
        name: {
            **{
                view: {model: accuracy(scores, (model, view), column, name) for model in scores.leading}
                for view in ("full", "crop")
            },
            "gaps": {model: zooming_gap(scores, model, column, name) for model in scores.leading},
        }
        for name in scores.values_of(column)
    }


def corrected(scores: Scores, model: str, column: str, view: str = "full") -> dict[str, Any]:
    """The gain of `model` in each dimension (or source), its p-values corrected for there being so many.

    Holm and Benjamini-Hochberg, of the exact McNemar test and of the clustered one.
    """
    found = {}
    for name in scores.values_of(column):
        seed = seed_of(scores.seed, "score", name)
        if pair := paired(scores, (scores.base, view), (model, view), scores.where(column, name), seed):
            found[name] = pair
    tests = {
        "p_mcnemar": [pair.pairs.p_mcnemar for pair in found.values()],
        "p_clustered": [pair.p_clustered for pair in found.values()],
    }
    table: dict[str, Any] = {
        name: {"gain": pair.mean.value, "ci95": list(pair.ci95), "n": pair.mean.n} for name, pair in found.items()
    }
    for test, raw in tests.items():
        for name, p, by_holm, by_bh in zip(found, raw, holm(raw), benjamini_hochberg(raw), strict=True):
            table[name][test] = {"raw": p, "holm": by_holm, "bh": by_bh}
    return table


def power(scores: Scores, model: str, view: str = "full") -> dict[str, Any]:
    """The smallest gain over base that these items show with 80 % power at two-sided 5 %.

    Null where the two never differ, or differ so rarely that no gain could be shown, or where no item has both replies.
    """
    found = paired(scores, (scores.base, view), (model, view), None, seed_of(scores.seed, "score", "gain", view))
    if found is None:
        return {"smallest_difference": None, "n": 0, "clusters": 0, "discordance": None}
    return {
        "smallest_difference": found.smallest,
        "n": found.mean.n,
        "clusters": found.mean.clusters,
        "discordance": found.pairs.discordance,
    }
