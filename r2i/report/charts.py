"""Accuracies as text and as places on an axis. HTML places them by percentages, so that text keeps its size on a
phone; nothing here depends on fonts, time or a random id, so the bytes repeat."""

from collections.abc import Mapping, Sequence
from typing import Any

from r2i.core.names import VIEWS, ModelNames, ViewName

DIMENSIONS = 40  # that are shown
APART: tuple[ViewName, ...] = ("recut", "removed", "blind")
"""Views that say what the gap is made of: they have tables of their own and no tile."""
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
    found = scores.get("views") or {}
    return [view for view in VIEWS if view in found and all(_known(found[view].get(m)) for m in models.leading)]


def tiles(scores: Mapping[str, Any], models: ModelNames, titles: Mapping[str, str]) -> list[tuple[str, list[str], str]]:
    """The headline's numbers: (what, a value for each of its models, intervals); the views, then the gap."""
    found = []
    for view in measured_views(scores, models):
        if view in APART:
            continue
        cells = [scores["views"][view][model] for model in models.leading]
        values = [percent(cell["accuracy"]) for cell in cells]
        found.append((titles[view], values, " → ".join(ci(cell["ci95"]) for cell in cells)))
    gap = scores.get("gap") or {}
    values = [points(gap[model]).removeprefix("+") for model in models.leading if gap.get(model) is not None]
    if values and models.compared:
        found.append(("Zooming gap, points", values, f"change {points(gap['change'])} {ci(gap['ci95'], True)}"))
    elif values:
        found.append(("Zooming gap, points", values, ci(scores["gaps"][models.base]["ci95"], True)))
    return found


def gap_rows(scores: Mapping[str, Any], models: ModelNames) -> list[dict[str, Any]]:
    """A row for each model: its full and crop view, and the bar between them that is the gap."""
    views = scores.get("views") or {}
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
    """A row for each dimension: `spots` on the axis, a bar between them, and what it comes to.

    Of two models the full view of each, with the crop view as the `aim`; of one its crop and its full view. Of very
    many dimensions, those with most items.
    """
    found = scores.get("by_dimension") or {}
    common = sorted(found, key=lambda name: (-_items(found[name], models), name))[:DIMENSIONS]
    rows = [row for name in common if (row := _dimension_row(name, found[name], scores, models))]
    return sorted(rows, key=lambda row: (-(row["change"] or 0), row["name"]))


def _dimension_row(
    name: str, views: Mapping[str, Any], scores: Mapping[str, Any], models: ModelNames
) -> dict[str, Any] | None:
    """None where there is nothing to draw. `change`: the gain, or the gap of one model; None where it has no crop."""
    last = models.leading[-1]
    aim = spot(views["crop"].get(last), models.role(last), "crop")
    spots = [spot(views["full"].get(model), models.role(model), "full") for model in models.leading]
    known = [one for one in spots if one]
    if len(known) < len(spots):
        return None
    if len(models) == 1:
        change = views["gaps"][last]["value"]
        known, aim = [*([aim] if aim else []), *known], None
    else:
        first, second = (views["full"][model]["accuracy"] for model in models.leading)
        change = second - first
    ends = [one["at"] for one in known]
    return {
        "name": name, "n": _items(views, models), "spots": known, "aim": aim, "left": min(ends),
        "width": round(max(ends) - min(ends), 2), "change": change, "cells": _cells(views, scores, models),
    }  # fmt: skip


def _items(views: Mapping[str, Any], models: ModelNames) -> int:
    return int((views["full"].get(models.base) or {}).get("n", 0))


def source_rows(scores: Mapping[str, Any], models: ModelNames) -> list[dict[str, Any]]:
    """A row for each benchmark, where there are several: its items, and `cells` under `group_heads`."""
    sources = scores.get("by_source") or {}
    if len(sources) < 2:
        return []
    return [
        {"name": name, "n": _items(views, models), "cells": _cells(views, scores, models)}
        for name, views in sorted(sources.items())
    ]


def group_heads(scores: Mapping[str, Any], models: ModelNames) -> list[str]:
    """What stands in `cells`: each of the headline's models in full and crop view; of one alone, its gap too."""
    views = _gap_views(scores, models)
    if len(models) == 1:
        return [*(VIEWS[view].title for view in views), *(["Gap, points"] if len(views) == 2 else [])]
    return [f"{models.titles[model]}, {view}" for view in views for model in models.leading]


def _cells(views: Mapping[str, Any], scores: Mapping[str, Any], models: ModelNames) -> list[tuple[str, str]]:
    """(value, 95 % interval) of each."""
    known = _gap_views(scores, models)
    cells = [views[view].get(model) for view in known for model in models.leading]
    said = [(percent(cell["accuracy"]), ci(cell["ci95"])) if _known(cell) else ("–", "") for cell in cells]
    if len(models) > 1 or len(known) < 2:
        return said
    gap = views["gaps"][models.base]
    return [*said, (points(gap["value"]), ci(gap["ci95"], True)) if gap["n"] else ("–", "")]


def _known(cell: Mapping[str, Any] | None) -> bool:
    return cell is not None and cell.get("accuracy") is not None


def _gap_views(scores: Mapping[str, Any], models: ModelNames) -> list[ViewName]:
    return [view for view in measured_views(scores, models) if view in ("full", "crop")]


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
