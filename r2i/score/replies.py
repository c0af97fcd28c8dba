"""What is said of the replies themselves: how they were scored, what they cost, pass@k."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from r2i.core.records import FAILED, OK, is_unscored
from r2i.score.proportion import pass_at_k

Row = Mapping[str, Any]
COSTS = ("tokens_in", "tokens_out", "vision_forwards")


def describe_replies(predictions: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """The part of `metrics/evaluate.json` that is about replies, by model."""
    return {
        "failed": {model: count_failed(rows) for model, rows in predictions.items()},
        "unscored": {model: count_unscored(rows) for model, rows in predictions.items()},
        "rules": {model: rule_shares(rows) for model, rows in predictions.items()},
        "pass_at_k": {model: pass_curve(rows) for model, rows in predictions.items()},
        "sampled": {model: repeat_spread(rows) for model, rows in predictions.items()},
        "cost": cost(predictions),
    }


def count_failed(rows: Iterable[Row]) -> dict[str, int]:
    """Greedy calls that failed, by view; 0 is written too."""
    return _count(rows, lambda row: row["status"] == FAILED)


def count_unscored(rows: Iterable[Row]) -> dict[str, int]:
    """Greedy replies that came and that no rule and no judge could read, by view; 0 is written too."""
    return _count(rows, is_unscored)


def _count(rows: Iterable[Row], wanted: Callable[[Row], bool]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        if row["sample"] == 0:
            counts[row["view"]] = counts.get(row["view"], 0) + wanted(row)
    return counts


def rule_shares(rows: Iterable[Row]) -> dict[str, float]:
    """Share of all replies that came, greedy and sampled, that each rule decided; `none`: unscored."""
    counts = Counter(row["rule"] for row in rows if row["status"] == OK)
    return {rule: count / counts.total() for rule, count in sorted(counts.items())}


def pass_curve(rows: Iterable[Row], view: str = "full") -> dict[str, Any]:
    """pass@k of sampled replies in `view` for k = 1, 2, 4, ... up to the number of samples; {} without any.

    A call that failed is no try: items with a try missing are left out (`n` says how many stay). A
    reply that could not be scored is a wrong one.
    """
    tries: dict[str, list[bool]] = defaultdict(list)
    most = 0
    for row in rows:
        if row["sample"] and row["view"] == view:
            most = max(most, row["sample"])
            if row["status"] == OK:
                tries[row["item_id"]].append(row["correct"] is True)
    whole = [replies for replies in tries.values() if len(replies) == most]
    if not whole:
        return {}
    sizes = sorted({2**i for i in range(most.bit_length())} | {most})
    curve = {str(k): sum(pass_at_k(sum(t), most, k) for t in whole) / len(whole) for k in sizes}
    return {**curve, "n": len(whole)}


def repeat_spread(rows: Iterable[Row]) -> dict[str, Any]:
    """By view: mean accuracy over the sampled repeats, and its standard deviation from repeat to repeat.

    As in the headline, an unscored reply is wrong and a failed call is none. `sd` is null with a single repeat.
    """
    found: dict[str, dict[int, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["sample"] and row["status"] == OK:
            found[row["view"]][row["sample"]].append(row["correct"] is True)
    table = {}
    for view, repeats in sorted(found.items()):
        means = [float(np.mean(right)) for right in repeats.values()]
        spread = float(np.std(means, ddof=1)) if len(means) > 1 else None
        table[view] = {"accuracy": float(np.mean(means)), "sd": spread, "repeats": len(means)}
    return table


def cost(predictions: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """Mean tokens and vision forwards of a greedy reply, by view and model, and zoom's over the full view's.

    The ratio is of means over the items that came in both views. A count that an endpoint doesn't tell
    is null. Calls that failed cost nothing that is known.
    """
    table: dict[str, Any] = {}
    ratios: dict[str, Any] = {}
    for model, rows in predictions.items():
        views: dict[str, dict[str, Row]] = defaultdict(dict)
        for row in rows:
            if row["sample"] == 0 and row["status"] == OK:
                views[row["view"]][row["item_id"]] = row
        for view, items in views.items():
            table.setdefault(view, {})[model] = _mean_cost(items.values())
        if "zoom" in views:
            both = sorted(views["full"].keys() & views["zoom"].keys())
            zoom, full = (_mean_cost(views[view][item] for item in both) for view in ("zoom", "full"))
            ratios[model] = {name: _ratio(zoom[name], full[name]) for name in COSTS}
    return {**table, "zoom_over_full": ratios or None}


def _mean_cost(rows: Iterable[Row]) -> dict[str, float | None]:
    known = list(rows)
    means: dict[str, float | None] = {}
    for name in COSTS:
        values = [row[name] for row in known if row[name] is not None]
        means[name] = sum(values) / len(values) if values else None
    return means


def _ratio(top: float | None, bottom: float | None) -> float | None:
    return top / bottom if top is not None and bottom else None
