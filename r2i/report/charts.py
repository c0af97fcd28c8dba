"""Accuracies as text and as places on an axis. HTML places them by percentages, so that text keeps its size on a
phone; nothing here depends on fonts, time or a random id, so the bytes repeat."""

from collections.abc import Mapping, Sequence
from typing import Any

from r2i.core.names import VIEWS, ModelNames, ViewName

DIMENSIONS = 40  # that are shown
COSTS = ("vision_forwards", "tokens_in", "tokens_out")


def percent(value: float | None, digits: int = 1) -> str:
    """0.834 -> `83.4 %`."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def points(value: float | None, digits: int = 1) -> str:
    """A difference of shares, signed: 0.318 -> `+31.8`."""
    if value is None:
        return "–"
    text = f"{100 * value:+.{digits}f}"
    return (f"{0:.{digits}f}" if float(text) == 0 else text).replace("-", "−")


def ci(pair: Sequence[float | None], signed: bool = False) -> str:
    """A 95 % interval of shares, in percent: `[31.0, 36.5]`."""
    low, high = pair
    if low is None or high is None:
        return "[–]"
    return f"[{points(low)}, {points(high)}]" if signed else f"[{100 * low:.1f}, {100 * high:.1f}]"


def spot(cell: Mapping[str, Any] | None, role: str, view: str) -> dict[str, Any] | None:
    """One accuracy on an axis of 0 to 100 %: where it lies and how far its interval reaches."""
    if not cell or cell["accuracy"] is None:
        return None
    low, high = cell["ci95"]
    return {
        "role": role,
        "view": view,
        "at": round(100 * cell["accuracy"], 2),
        "low": round(100 * low, 2),
        "high": round(100 * high, 2),
    }


def measured_views(scores: Mapping[str, Any], models: ModelNames) -> list[ViewName]:
    """The views in which the headline's models were measured: without a box there is no crop to look at."""
    return [view for view in VIEWS if all(_accuracy(scores, view, model) is not None for model in models.pair)]


def _accuracy(scores: Mapping[str, Any], view: str, model: str) -> float | None:
    found: float | None = ((scores["views"].get(view) or {}).get(model) or {}).get("accuracy")
    return found


def gap_rows(scores: Mapping[str, Any], models: ModelNames) -> list[dict[str, Any]]:
    """A row for each model: its full and crop view, and the bar between them that is the gap."""
    views = scores["views"]
    rows = []
    for model, title in models.titles.items():
        role = models.role(model)
        full, crop = spot(views["full"].get(model), role, "full"), spot(views["crop"].get(model), role, "crop")
        if full and crop:
            boxed = spot(views.get("boxed", {}).get(model), role, "boxed")
            rows.append(
                {"role": role, "name": title, "full": full, "crop": crop, "boxed": boxed,
                 "zoom": spot(views.get("zoom", {}).get(model), role, "zoom"),
                 "left": min(full["at"], crop["at"]), "width": round(abs(crop["at"] - full["at"]), 2),
                 "gap": views["crop"][model]["accuracy"] - views["full"][model]["accuracy"]}
            )  # fmt: skip
    return rows


def dimension_rows(scores: Mapping[str, Any], models: ModelNames) -> list[dict[str, Any]]:
    """A row for each dimension: the full view before and after, and the crop view as the aim.

    Of very many, those with most items.
    """
    rows = []
    base, compared = models.pair
    found = scores["by_dimension"]
    common = sorted(found, key=lambda name: (-found[name]["full"][base]["n"], name))[:DIMENSIONS]
    for name, views in ((name, found[name]) for name in common):
        before = spot(views["full"][base], "base", "full")
        after = spot(views["full"][compared], "compared", "full")
        if before and after:
            aim = spot(views["crop"][compared], "compared", "crop")
            rows.append(
                {"name": name, "before": before, "after": after, "aim": aim, "n": views["full"][base]["n"],
                 "cells": _cells(views, models),
                 "left": min(before["at"], after["at"]), "width": round(abs(after["at"] - before["at"]), 2),
                 "gain": views["full"][compared]["accuracy"] - views["full"][base]["accuracy"]}
            )  # fmt: skip
    return sorted(rows, key=lambda row: (-row["gain"], row["name"]))


def source_rows(scores: Mapping[str, Any], models: ModelNames) -> list[dict[str, Any]]:
    """A row for each benchmark, where there are several: items, and (accuracy, interval) of full and crop view."""
    sources = scores.get("by_source") or {}
    if len(sources) < 2:
        return []
    return [
        {"name": name, "n": (cells["full"].get(models.base) or {}).get("n", 0),
         "cells": _cells(cells, models)}
        for name, cells in sorted(sources.items())
    ]  # fmt: skip


def _cells(views: Mapping[str, Any], models: ModelNames) -> list[Any]:
    return [views[view].get(model) for view in ("full", "crop") for model in models.pair]


def cost_rows(scores: Mapping[str, Any], models: ModelNames) -> list[dict[str, Any]]:
    """What a reply in the full and in the zoom view costs each model: (number, times the full view's) of COSTS.

    Empty where there is no zoom.
    """
    table = scores.get("cost") or {}
    ratios = table.get("zoom_over_full") or {}
    return [
        {"role": models.role(model), "name": title, "view": view, "accuracy": scores["views"][view][model]["accuracy"],
         "costs": [(_count(table[view][model][name]), _times(ratios[model][name], view)) for name in COSTS]}
        for model, title in models.titles.items() if model in ratios for view in ("full", "zoom")
    ]  # fmt: skip


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if value == round(value) or value >= 100 else f"{value:,.1f}"


def _times(ratio: float | None, view: str) -> str:
    return "" if ratio is None or view == "full" else f"× {ratio:.1f}"
