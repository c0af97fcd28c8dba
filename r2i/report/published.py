"""Figures that the reference published, for the benchmarks where they are known."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r2i.core.names import ModelNames

FIGURES = Path(__file__).parent / "templates" / "published.json"


def published_beside(
    metrics: Mapping[str, Mapping[str, Any]], scores: Mapping[str, Any], models: ModelNames
) -> list[dict[str, Any]]:
    """For each evaluated benchmark of a kind that has published figures: ours and theirs. [] where there is none."""
    sources = metrics["benchmark"].get("sources") or {}
    known = {entry["kind"]: entry for entry in json.loads(FIGURES.read_text(encoding="utf-8"))}
    cards = []
    for name, source in sorted(sources.items()):
        ours = (scores.get("by_source") or {}).get(name)
        if source.get("kind") in known and ours:
            cards.append({**known[source["kind"]], "name": name, "ours": _ours(ours, models)})
    return cards


def _ours(cells: Mapping[str, Any], models: ModelNames) -> dict[str, float | None]:
    """Accuracies of both models in the full view, of the base in the crop view, and the gaps: shares."""
    full = {model: (cells["full"].get(model) or {}).get("accuracy") for model in models.pair}
    crop = {model: (cells["crop"].get(model) or {}).get("accuracy") for model in models.pair}
    gap = {model: _minus(crop[model], full[model]) for model in full}
    base, compared = models.pair
    return {"before": full[base], "after": full[compared], "crop_before": crop[base],
            "gap_before": gap[base], "gap_after": gap[compared]}  # fmt: skip


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b
