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
            card = known[source["kind"]]
            cards.append(
                {**card, "name": name, "ours": _ours(ours, models), "differs": _differences(card, scores, source)}
            )
    return cards


def _differences(card: Mapping[str, Any], scores: Mapping[str, Any], source: Mapping[str, Any]) -> list[str]:
    """Where ours was made in another way than the published figures: they then stand there for the eye alone.

    `edited`, a protocol that was changed since it was read, is another one. `source`: what metrics/benchmark.json says
    of the items, which must be the published ones, all of them.
    """
    protocol, judge = scores.get("protocol") or {}, scores.get("judge") or "none"
    ours = {"protocol": protocol.get("kind", "unknown"), "judge": judge.rpartition("/")[2]}
    found = [f"{what}: {card[what]} there, {said} here" for what, said in ours.items() if said != card[what]]
    read, scored = (source.get("found") or {}).get("rows", 0), (source.get("status") or {}).get("ok", 0)
    if not source.get("complete") or {read, scored} != {card["items"]}:
        found.append(f"items: {card['items']} there, {scored} of {read} rows here")
    way = "our rules, then a judge by our prompt" if scores.get("judge") else "our rules alone"
    return [*found, f"judged by: {card['judging']} there, {way} here"]


def _ours(cells: Mapping[str, Any], models: ModelNames) -> dict[str, float | None]:
    """The base in the full and in the crop view, the model compared with it in the full view, the gaps: shares."""
    before, after = ({view: _share(cells[view].get(model)) for view in ("full", "crop")} for model in
                     (models.base, models.compared))  # fmt: skip
    return {"before": before["full"], "after": after["full"], "crop_before": before["crop"],
            "gap_before": _minus(before["crop"], before["full"]),
            "gap_after": _minus(after["crop"], after["full"])}  # fmt: skip


def _share(cell: Mapping[str, Any] | None) -> float | None:
    return None if cell is None else cell.get("accuracy")


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b
