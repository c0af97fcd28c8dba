"""What the accuracies rest on, and what the audit found, as small tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from r2i.core.names import VIEWS, ModelNames
from r2i.report import charts
from r2i.report.text import words


def audit_groups(found: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Audit metrics by their first key: (title, lines of name, value, cases).

    A share comes as `{"value":, "n":}` and is one line.
    """
    groups = []
    for key, value in found.items():
        many = isinstance(value, Mapping) and "value" not in value
        if lines := list(_audit_lines(value if many else {key: value})):
            groups.append((words(key), lines))
    return groups


def audit_cards(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The audit as cards; [] where there is no truth to compare with. Without a benchmark nothing is contaminated."""
    if not found.get("available", True):
        return []
    unsaid = {
        "available",
        *(() if (found.get("contamination") or {}).get("benchmark_images", 1) else ("contamination",)),
    }
    return [
        {"title": title.capitalize(), "note": "", "head": [],
         "lines": [(name, value, f"of {cases}" if cases else "") for name, value, cases in lines]}
        for title, lines in audit_groups({key: value for key, value in found.items() if key not in unsaid})
    ]  # fmt: skip


def _audit_lines(found: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str, str]]:
    for key, value in found.items():
        name = f"{before} · {words(key)}" if before else words(key)
        if isinstance(value, Mapping) and set(value) == {"value", "n"}:
            yield name, charts.percent(value["value"]), f"{value['n']:,}"
        elif isinstance(value, Mapping):
            yield from _audit_lines(value, name)
        elif isinstance(value, float):
            yield name, charts.percent(value) if 0 <= value <= 1 else f"{value:.3g}", ""
        else:
            yield name, "–" if value is None else f"{value:,}" if type(value) is int else str(value), ""


def check_cards(scores: Mapping[str, Any], models: ModelNames) -> list[dict[str, Any]]:
    """What the accuracies rest on, as small tables: {title, note, head, lines}. Parts that are missing are left out."""
    found = [_power_card(scores, models), _contamination_card(scores.get("contamination"))]
    for key, title, note in (
        ("unscored", "Replies that nothing could decide on", "Greedy; they count as wrong."),
        ("failed", "Calls that failed, of the model or its judge", "Greedy; they are in no accuracy and in no pair."),
    ):
        found.append(_count_card(title, note, scores.get(key), models))
    return [card for card in (*found, _rules_card(scores.get("rules"), models)) if card]


def _power_card(scores: Mapping[str, Any], models: ModelNames) -> dict[str, Any] | None:
    cell = scores.get("power")
    if not cell:
        return None
    smallest = cell["smallest_difference"]  # null: the two differ too rarely to show any
    lines = [
        ("smallest difference", f"{charts.points(smallest).removeprefix('+')} points" if smallest else "none"),
        ("measured gain", f"{charts.points(scores['full_gain']['value'])} points"),
        ("answers that differ", charts.percent(cell["discordance"])),
        ("items", f"{cell['n']:,}"),
        ("independent clusters", f"{cell['clusters']:,}"),
    ]
    before, after = (models.titles[model] for model in models.leading)
    note = f"Full view, {before} against {after}, with 80 % power at two-sided 5 %."
    return {"title": "What so many items can show", "note": note, "head": [], "lines": lines}


def _contamination_card(cell: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not cell:
        return None
    lines = [
        ("the same file", f"{cell['same_bytes']:,}"),
        ("the same pixels", f"{cell['same_pixels']:,}"),
        (f"nearly the same (≤ {cell['bits']} of 64 bits)", f"{cell['near']:,}"),
        ("in all", f"{charts.percent(cell['share'])} of {cell['checked']:,}"),
    ]
    note = f"Items whose image is among the {cell['images']:,} images of the training rows."
    return {"title": "Contamination", "note": note, "head": [], "lines": lines}


def _count_card(
    title: str, note: str, counts: Mapping[str, Mapping[str, int]] | None, models: ModelNames
) -> dict[str, Any] | None:
    """Views in which some model has some; one line where none has."""
    if not counts:
        return None
    views = [view for view in VIEWS if any(found.get(view) for found in counts.values())]
    none = {"title": title, "note": note, "head": [], "lines": [("none, in any view", "0")]}
    return _model_card(title, note, counts, views, "{:,}".format, models) if views else none


def _rules_card(shares: Mapping[str, Mapping[str, float]] | None, models: ModelNames) -> dict[str, Any] | None:
    """Rules from the one that decides most of the base's replies to the one that decides fewest."""
    rules = {rule for found in (shares or {}).values() for rule in found}
    first = (shares or {}).get(models.base or "", {})
    order = sorted(rules, key=lambda rule: (rule == "none", -first.get(rule, 0), rule))
    note = "Share of the replies that each rule decided; none: nothing could read them."
    filled = {model: {rule: found.get(rule, 0.0) for rule in order} for model, found in (shares or {}).items()}
    return _model_card("What read the replies", note, filled, order, charts.percent, models)


def _model_card(
    title: str,
    note: str,
    table: Mapping[str, Mapping[str, Any]] | None,
    order: Sequence[str],
    show: Any,
    names: ModelNames,
) -> dict[str, Any] | None:
    """A line for each key of `order` that a model has, a column for each model."""
    models = [model for model in names if (table or {}).get(model)]
    if not table or not models:
        return None
    keys = [key for key in order if any(key in table[model] for model in models)]
    lines = [(words(key), *(show(table[m][key]) if key in table[m] else "–" for m in models)) for key in keys]
    return {"title": title, "note": note, "head": ["", *(names.titles[m] for m in models)], "lines": lines}
