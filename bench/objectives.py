"""What each objective reaches on the same rows, and what it takes: accuracy in each view, rollouts, seconds, labels.

`python bench/objectives.py` reads a finished run (`make repro`): metrics/evaluate.json, the curves, and the seconds of
the trainings that were followed in MLflow. Nothing is trained again. The figures stand under the name of the run's
base (train.base); those of other bases stay.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from bench.result import merge_result, note_code
from r2i.core import paths
from r2i.core.curve import read_curve
from r2i.core.errors import R2IError
from r2i.core.names import OBJECTIVES
from r2i.core.params import Dapo, Params, load_params
from r2i.core.records import OK, TRAIN
from r2i.core.tables import iter_rows
from r2i.core.tracking import CURVE_TAG, connect, find_experiment, tracking_uri

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "bench" / "results" / "objectives.json"
VIEWS = ("full", "crop", "boxed")


def main() -> None:
    params = load_params()
    runs = params.model_names.runs
    folders = [f"models/{OBJECTIVES[run].folder}" for run in runs]
    code = note_code("r2i.train.run", profiles=[params.profile], outs=folders)
    views = json.loads(paths.metrics("evaluate").read_text(encoding="utf-8"))["views"]
    found = {run: {**_accuracies(views, model), **_effort(params, run)} for run, model in runs.items() if model}
    names = params.model_names
    found["base"] = {**_accuracies(views, str(names.base)), "rollouts": 0, "train_s": 0, "labels": 0}
    base = Path(params.chosen.train.base).name
    before = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
    merge_result(RESULT, {base: found}, code, base, sorted({base, *before.get("measured", {})}))
    print(RESULT.read_text(encoding="utf-8"))


def _accuracies(views: dict[str, Any], model: str) -> dict[str, float | None]:
    return {view: views[view][model]["accuracy"] if view in views else None for view in VIEWS}


def _effort(params: Params, run: str) -> dict[str, Any]:
    """Rollouts that were made, seconds of all steps (None: the training was not followed), questions whose voted answer
    was learned from."""
    section, curve = getattr(params.chosen.train, run), paths.TRAIN_LOGS / f"{run}.json"
    steps = len(read_curve(curve))
    if not steps:
        raise R2IError(f"{curve} has no steps", f"`dvc repro train@{run}`")
    rollouts = 0
    if isinstance(section, Dapo):
        rollouts = steps * section.train_prompts * section.group_size
    elif run == "opd":
        rollouts = steps * section.batch * section.rollouts
    learns = run != "opd" or section.show_answer
    return {"rollouts": rollouts, "train_s": _seconds(curve), "labels": _questions() if learns else 0}


def _questions() -> int:
    rows = iter_rows(paths.TRAIN, TRAIN, "overlay", ["question_id", "status"])
    return len({row["question_id"] for row in rows if row["status"] == OK})


def _seconds(curve: Path) -> float | None:
    """From the first step's line to the last one's in the MLflow run that wrote this curve, and one step more."""
    uri = tracking_uri()
    client = connect(uri)
    digest = hashlib.sha256(curve.read_bytes()).hexdigest()
    runs = client.search_runs([find_experiment(client, uri)], f"tags.`{CURVE_TAG}` = '{digest}'", max_results=1)
    if not runs:
        return None
    times = sorted(point.timestamp for point in client.get_metric_history(runs[0].info.run_id, "loss"))
    return round((times[-1] - times[0]) / 1000 * len(times) / (len(times) - 1), 1) if len(times) > 1 else None


if __name__ == "__main__":
    main()
