"""What the report shows: metrics, training curves, counts of the tables, and a few rows chosen by a seeded hash."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r2i.core import paths
from r2i.core.catalogue import TABLES
from r2i.core.curve import read_curve
from r2i.core.errors import TableError
from r2i.core.names import ModelNames
from r2i.report.dropped import Dropped, pick_dropped
from r2i.report.galleries import pick_examples, pick_looks, pick_train_rows
from r2i.report.pick import Row, there
from r2i.report.replies import items_by_kind, read_replies, zooms_given
from r2i.report.spread import Spread, measure_spread
from r2i.report.study import STUDY

FUNNEL = {  # stage -> what one row of its table is, in the order of the pipeline
    "sample": "images",
    "crop": "regions",
    "question": "questions",
    "answer": "answers",
    "vote": "voted questions",
    "overlay": "training rows",
}
MEASURED = (*FUNNEL, "audit", "benchmark")  # metrics that are shown where they exist, beside those of the trainings
LATENCY = Path("bench/results/latency.json")
LOOKS = 6  # most items whose attention is drawn


@dataclass(frozen=True)
class Step:
    """One count of the funnel: rows by status, and by `status: reason`."""

    stage: str
    unit: str
    rows: int
    status: dict[str, int]
    reasons: dict[str, int]


@dataclass(frozen=True)
class Story:
    """All that the page needs; rows carry image bytes."""

    models: ModelNames
    """Those that `scores` are of; none where no model was measured."""
    scores: dict[str, Any]
    """Empty where no model was measured."""
    metrics: dict[str, dict[str, Any]]
    funnel: list[Step]
    curves: dict[str, list[dict[str, float]]]
    train: list[Row]
    examples: dict[str, list[Row]]
    totals: dict[str, int]
    looks: list[Row]
    dropped: Dropped
    spread: Spread
    missing: list[tuple[str, str]] = field(default_factory=list)  # folder of a table, stage that writes it
    chosen: dict[str, dict[str, int]] = field(default_factory=dict)  # model -> letters it replied, full view, greedy
    zoom_given: bool = False
    temperatures: tuple[float, ...] = ()  # at which sampled replies were drawn
    latency: dict[str, Any] = field(default_factory=dict)
    study: dict[str, Any] = field(default_factory=dict)  # claims by name, of any profile


def gather(
    seed: int, count: int, models: ModelNames, student: str = "", stages: Collection[str] | None = None
) -> Story:
    """Read metrics and tables of a finished run; `count` rows of each kind are chosen.

    `student`: the model that is trained; the latency bench is shown where it measured this one. `stages`: that the
    profile has; None: all. Raises TableError where `metrics/evaluate.json` or a table that it was made from is missing.
    All else is shown where it exists: what was left out (no benchmark, no model, no training) is not part of the story.
    """
    if not paths.metrics("evaluate").is_file():
        raise TableError(f"no {paths.metrics('evaluate')}", "run `dvc repro score`")
    scores = read_metrics("evaluate")
    models = models if scores else ModelNames({}, dict.fromkeys(models.runs, ""))
    replies = {model: read_replies(model, model in models.leading) for model in models}
    leading = [replies[model] for model in models.leading]
    examples, totals = pick_examples(seed, count, models.leading, items_by_kind(leading, models.trained))
    latency = read_json(LATENCY)
    return Story(
        models=models,
        scores=scores,
        metrics={name: read_metrics(name) for name in (*MEASURED, *(f"train-{run}" for run in models.runs))},
        funnel=read_funnel(),
        curves={run: steps for run in models.runs if (steps := read_curve(paths.TRAIN_LOGS / f"{run}.json"))},
        train=pick_train_rows(seed, count),
        examples=examples,
        totals=totals,
        looks=pick_looks(seed, min(count, LOOKS), models.leading),
        dropped=pick_dropped(seed),
        spread=measure_spread(),
        missing=[
            (str(listed.folder), listed.stage)
            for listed in TABLES
            if (stages is None or listed.stage in stages) and not there(listed)
        ],
        chosen={model: dict(found.letters) for model, found in replies.items()},
        zoom_given=zooms_given(leading),
        temperatures=tuple(sorted({at for found in replies.values() for at in found.temperatures})),
        latency=latency if latency.get("model") == student else {},
        study=read_json(STUDY),
    )


def read_funnel() -> list[Step]:
    """The steps from images to training rows, of the stages that have metrics."""
    steps = []
    for stage, unit in FUNNEL.items():
        found = read_metrics(stage)
        if stage == "overlay" and isinstance(found.get("questions"), dict):  # counted before its views
            steps.append(_step(stage, "questions", found["questions"]))
        if "status" in found:
            steps.append(_step(stage, unit, found))
    return steps


def _step(stage: str, unit: str, found: Mapping[str, Any]) -> Step:
    return Step(stage, unit, found["rows"], dict(found["status"]), dict(found["reason"]))


def read_metrics(stage: str) -> dict[str, Any]:
    """What `stage` says of itself; {} where it has said nothing, or was left out."""
    found = read_json(paths.metrics(stage))
    return {} if found.get("left_out") else found


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`; {} where there is none. Raises TableError where it is not JSON."""
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise TableError(f"{path} is not a JSON object ({error})", f"run `dvc repro {path.stem}`") from error
