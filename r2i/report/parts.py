"""What the zooming gap is made of, how it depends on the crops, and averages over benchmarks: tables of the result."""

from collections.abc import Mapping, Sequence
from typing import Any

from r2i.core.names import VIEWS, ModelNames
from r2i.report.charts import ci, percent, points

Cell = Mapping[str, Any]
Card = dict[str, Any]
TITLES: dict[str, str] = {view: found.title for view, found in VIEWS.items()}
POINTED = {"boxed": "box drawn", "told": "box in words"}


def gap_cards(scores: Cell, models: ModelNames) -> list[Card]:
    """Those that were measured."""
    cards = (_split(scores, models), _guessing(scores, models), _strata(scores, models), _recut(scores, models),
             *_macro(scores, models))  # fmt: skip
    return [card for card in cards if card["lines"]]


def _split(scores: Cell, models: ModelNames) -> Card:
    note = ("Not looked at: right in the full view once the region is pointed out. Not seen: right only in the crop. "
            "Together they are the gap; points.")  # fmt: skip
    lines = [
        (f"{title}, {POINTED[view]}", *(_difference(parts[name]) for name in ("not_looked_at", "not_seen", "gap")))
        for model, title, views in _of_models(scores.get("split"), models)
        for view, parts in views.items()
        if parts
    ]
    return _card("What the gap is made of", note, ["", "Not looked at", "Not seen", "Gap"], lines)


def _guessing(scores: Cell, models: ModelNames) -> Card:
    note = ("Points over what is right without the evidence: region painted over, or no picture at all. Used: of what "
            "the evidence is worth in the crop, the part that the full view gets.")  # fmt: skip
    lines = []
    for _, title, views in _of_models(scores.get("guessing"), models):
        for view, found in views.items():
            if found:
                used = found["used"] or {"share": None, "ci95": [None, None]}
                crop = _difference(found["crop"]) if found["crop"] else "–"
                share = _known(percent(used["share"], 0), ci(used["ci95"]))
                lines.append((f"{title}: {TITLES[view].lower()}", _difference(found["full"]), crop, share))
    return _card("What can be guessed", note, ["", "Full view", "Crop view", "Used"], lines)


def _strata(scores: Cell, models: ModelNames) -> Card:
    note = "The crops of this benchmark enlarge their regions unlike; a twofold crop shows more than a native one."
    head = ["Crops", "Items", *(f"{models.titles[model]}: gap, points" for model in models.leading)]
    strata = scores.get("by_magnification") or {}
    lines = [
        (name, f"{cells['gaps'][models.base]['n']:,}", *(_difference(cells["gaps"][model]) for model in models.leading))
        for name, cells in strata.items()
    ]
    return _card("The gap by magnification", note, head, lines)


def _recut(scores: Cell, models: ModelNames) -> Card:
    found = scores.get("recut") or {}
    lines = [(title, _difference(scores["gaps"][model]), _difference(found[model]))
             for model, title in models.titles.items() if model in found]  # fmt: skip
    note = "Points; with the crop view as it was asked, and with all crops cut from the box at one scale."
    return _card("The gap at one scale", note, ["", "As asked", "One scale"], lines)


def _macro(scores: Cell, models: ModelNames) -> list[Card]:
    """A card for each group of benchmarks."""
    cards = []
    for group, cells in (scores.get("macro") or {}).items():
        lines = []
        for model, title in models.titles.items():
            full, crop = (cells["views"][view].get(model) for view in ("full", "crop"))
            if full and full["value"] is not None:
                lines.append((title, *(_known(percent(one["value"]), ci(one["ci95"])) for one in (full, crop)),
                              _difference(cells["gaps"][model])))  # fmt: skip
        sources = ", ".join(cells["views"]["full"][models.base]["sources"]) if lines else ""
        title = "All benchmarks" if group == "all" else f"Benchmarks: {group}"
        note = f"Macro average, each benchmark counting once: {sources}."
        cards.append(_card(title, note, ["", "Full view", "Crop view", "Gap, points"], lines))
    return cards


def _of_models(found: Mapping[str, Cell] | None, models: ModelNames) -> list[tuple[str, str, Cell]]:
    return [(model, title, found[model]) for model, title in models.titles.items() if found and model in found]


def _difference(cell: Cell) -> str:
    return _known(points(cell["value"]), ci(cell["ci95"], signed=True))


def _known(value: str, spread: str) -> str:
    return value if value == "–" else f"{value} {spread}"


def _card(title: str, note: str, head: list[str], lines: Sequence[tuple[str, ...]]) -> Card:
    return {"title": title, "note": note, "head": head, "lines": lines}
