"""The few numbers that say how a run went, under the names that runs are compared by."""

from collections.abc import Mapping

from r2i.core.names import ModelNames

SHOWN = 20  # changed params


def headline(scores: Mapping[str, float], overlay: Mapping[str, float], models: ModelNames) -> dict[str, float]:
    """The headline's numbers that there are in the flat `scores`, shares of 1, and how many train rows were kept."""
    places = {f"full.{model}": f"views.full.{model}.accuracy" for model in models}
    places |= {f"crop.{model}": f"views.crop.{model}.accuracy" for model in models.leading}
    places |= {f"boxed.{model}": f"views.boxed.{model}.accuracy" for model in models.leading[-1:]}
    places |= {f"gap.{model}": f"gap.{model}" for model in models.leading}
    places |= {"full_gain": "full_gain.value", "full_gain.p": "full_gain.p_mcnemar"}
    found = {name: scores[path] for name, path in places.items() if path in scores}
    return {**found, **({"train_rows": overlay["status.ok"]} if "status.ok" in overlay else {})}


def describe(found: Mapping[str, float], changed: Mapping[str, str], models: ModelNames) -> str:
    """What was changed and how it went, for MLflow's description of the run, in Markdown."""
    lines = [f"`{name}` {change}" for name, change in changed.items()]
    said = ["Changed: " + ", ".join(lines[:SHOWN]) + (", ..." if len(lines) > SHOWN else "")] if lines else []
    shown = models.leading
    parts = [
        f"{what} {' → '.join(_percent(found[f'{view}.{model}']) for model in shown)} {unit}"
        for view, what, unit in (
            ("full", "full view", "%"),
            ("crop", "crop view", "%"),
            ("gap", "zooming gap", "points"),
        )
        if shown and all(f"{view}.{model}" in found for model in shown)
    ]
    result = [f"{' → '.join(models.titles[model] for model in shown)}: {', '.join(parts)}"] if parts else []
    return "\n\n".join([*said, *result])


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"
