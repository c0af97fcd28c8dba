"""What a report is about, in one line: what was measured of its models, or what rows it has."""

from collections.abc import Mapping
from typing import Any

from r2i.core.names import ModelNames
from r2i.report.charts import percent, points
from r2i.report.gather import Step, Story


def headline(story: Story) -> str:
    """The page's heading. It speaks of distillation where the model that is compared was trained on such rows."""
    models, scores = story.models, story.scores
    if models.base is None:
        return _of_data(story.funnel)
    if models.compared is None:
        return _of_one(scores, models.base, models.titles[models.base])
    if models.trained:
        rows_made = any(step.stage == "overlay" for step in story.funnel)
        return _of_training("Distillation" if rows_made else "Training", scores, models.base)
    return _of_two(scores, models, models.base, models.compared)


def _of_data(funnel: list[Step]) -> str:
    """`341 training rows from 700 images`."""
    counts = [f"{step.status.get('ok', 0):,} {step.unit}" for step in funnel]
    return " from ".join(dict.fromkeys([counts[-1], counts[0]])) if counts else "No rows, and no model measured"


def _of_one(scores: Mapping[str, Any], model: str, title: str) -> str:
    gap = scores["gaps"][model]
    if gap["value"] is None:
        return f"{title} answers {percent(scores['views']['full'][model]['accuracy'])} in the full view"
    if gap["ci95"][0] > 0:
        return f"{title} has a zooming gap of {points(gap['value']).removeprefix('+')} points"
    return f"No zooming gap is shown for {title}"


def _of_training(what: str, scores: Mapping[str, Any], base: str) -> str:
    gap = scores["gap"]
    if gap["closed_share"] is not None and gap["change"] < 0:
        return f"{what} closes {percent(gap['closed_share'], 0)} of the zooming gap"
    if gap[base] is None:
        return f"{what} changes the full view by {points(scores['full_gain']['value'])} points"
    return f"{what} does not close the zooming gap"


def _of_two(scores: Mapping[str, Any], models: ModelNames, base: str, compared: str) -> str:
    gap, titles = scores["gap"], models.titles
    if gap[base] is None:
        gain = points(scores["full_gain"]["value"])
        return f"{titles[compared]} beside {titles[base]}: {gain} points in the full view"
    before, after = (points(gap[model]).removeprefix("+") for model in (base, compared))
    return f"Zooming gap: {titles[base]} {before} points, {titles[compared]} {after}"


def way(funnel: list[Step]) -> str:
    """`From images to training rows`, as far as the run went."""
    units = [step.unit for step in funnel] or ["images", "training rows"]
    return f"From {units[0]} to {units[-1]}" if len(units) > 1 else units[0].capitalize()


def kind_titles(models: ModelNames) -> dict[str, str]:
    """Headings of the galleries of items, by kind, where the kind's own name does not say it."""
    if len(models.leading) < 2:
        return {}
    first, second = (models.titles[model] for model in models.leading)
    return {"second alone": f"Right with {second} alone", "first alone": f"Right with {first} alone"}
