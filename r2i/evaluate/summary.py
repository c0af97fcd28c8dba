"""What one model's evaluation came to: for metrics/evaluate-<model>.json."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from r2i.core.metrics import count_statuses
from r2i.core.records import FAILED, OK, REJECTED, is_unscored

Row = Mapping[str, Any]
COSTS = ("tokens_in", "tokens_out", "vision_forwards")


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """The funnel; accuracy of the greedy replies by view, and of the sampled ones; rules; cost; boxes of zoom.

    In every accuracy an unscored reply counts as wrong, and a failed call is no reply; their numbers stand beside it.
    Rows of items that have no such view (`rejected`) count nowhere.
    """
    greedy: dict[str, list[Row]] = defaultdict(list)
    sampled: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["status"] != REJECTED:
            (sampled if row["sample"] else greedy)[row["view"]].append(row)
    return {
        **count_statuses(rows),
        "view": {view: describe_view(found) for view, found in sorted(greedy.items())},
        "accuracy": {view: accuracy(found) for view, found in sorted(greedy.items())},
        "sampled_accuracy": {view: accuracy(found) for view, found in sorted(sampled.items())},
        "rule": dict(sorted(Counter(row["rule"] for row in rows if row["status"] == OK).items())),
        "unscored": sum(is_unscored(row) for row in rows),
        "zoom": count_boxes([*greedy["zoom"], *sampled["zoom"]]),
    }


def accuracy(rows: Sequence[Row]) -> float | None:
    """Share of the replies that is right; None where none came."""
    came = [row["correct"] is True for row in rows if row["status"] == OK]
    return sum(came) / len(came) if came else None


def describe_view(rows: Sequence[Row]) -> dict[str, Any]:
    """Of the greedy replies in one view: how many, their states, and what they cost together.

    A cost is null where an endpoint does not tell its tokens; calls that failed are left out of it.
    """
    came = [row for row in rows if row["status"] == OK]
    costs = {name: [row[name] for row in came] for name in COSTS}
    return {
        "asked": len(rows),
        "failed": sum(row["status"] == FAILED for row in rows),
        "unscored": sum(is_unscored(row) for row in rows),
        "rule": dict(sorted(Counter(row["rule"] for row in came).items())),
        **{name: sum(values) if values and None not in values else None for name, values in costs.items()},
    }


def count_boxes(rows: Iterable[Row]) -> dict[str, int] | None:
    """Replies in the zoom view, and to how many of them a region was shown; None without that view."""
    came = [row for row in rows if row["status"] == OK]
    found = sum(row["zoom_box"] is not None for row in came)
    return {"replies": len(came), "with_box": found, "without_box": len(came) - found} if came else None
