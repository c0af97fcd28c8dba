"""The few numbers that say how a run went, under the names that runs are compared by."""

from collections.abc import Mapping

SHOWN = 20  # changed params
HEADLINE = {  # name in MLflow -> where metrics/evaluate.json has it; shares of 1
    "full.base": "views.full.base.accuracy",
    "full.distilled": "views.full.distilled.accuracy",
    "full.sft": "views.full.sft.accuracy",
    "crop.base": "views.crop.base.accuracy",
    "crop.distilled": "views.crop.distilled.accuracy",
    "boxed.distilled": "views.boxed.distilled.accuracy",
    "gap.base": "gap.base",
    "gap.distilled": "gap.distilled",
    "full_gain": "full_gain.value",
    "full_gain.p": "full_gain.p_mcnemar",
}


def headline(scores: Mapping[str, float], overlay: Mapping[str, float]) -> dict[str, float]:
    """The numbers of HEADLINE that there are, from the flat `scores`, and how many train rows were kept."""
    found = {name: scores[path] for name, path in HEADLINE.items() if path in scores}
    return {**found, **({"train_rows": overlay["status.ok"]} if "status.ok" in overlay else {})}


def describe(found: Mapping[str, float], changed: Mapping[str, str]) -> str:
    """What was changed and how it went, for MLflow's description of the run, in Markdown."""
    lines = [f"`{name}` {change}" for name, change in changed.items()]
    said = ["Changed: " + ", ".join(lines[:SHOWN]) + (", ..." if len(lines) > SHOWN else "")] if lines else []
    parts = [
        f"{what} {_percent(found[f'{view}.base'])} → {_percent(found[f'{view}.distilled'])} {unit}"
        for view, what, unit in (
            ("full", "full view", "%"),
            ("crop", "crop view", "%"),
            ("gap", "zooming gap", "points"),
        )
        if f"{view}.base" in found and f"{view}.distilled" in found
    ]
    result = [f"Base → distilled: {', '.join(parts)}"] if parts else []
    return "\n\n".join([*said, *result])


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"
