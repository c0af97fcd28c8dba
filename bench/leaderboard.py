"""Seconds on two cores until 80 % of mini's zooming gap is closed, what the labels took included: a line for each idea.

    python bench/leaderboard.py [IDEA ...]

Runs the ideas of studies/ideas.yaml (all unless told), each in a clone of its own: the stages from `question` on that
its profile has are timed, then its training, until a measurement on held-out questions reaches the aim; what measuring
takes is not counted. Puts them into bench/results/leaderboard.json, beside those that were measured before, and writes
docs/leaderboard.md. About 10 minutes an idea on two quiet cores; nothing else should run.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = [str(ROOT), str(ROOT / "tests"), *(path for path in sys.path if Path(path).resolve() != ROOT / "bench")]

from clone import clone, run  # noqa: E402 - needs the path

from bench.result import STAGES, merge_result, note_code  # noqa: E402
from r2i.core.params import CHAIN, load_params  # noqa: E402
from r2i.tools.study.claims import as_override  # noqa: E402

RESULT = ROOT / "bench" / "results" / "leaderboard.json"
PAGE = ROOT / "docs" / "leaderboard.md"
IDEAS = ROOT / "studies" / "ideas.yaml"
UNTIMED = ("sample", "crop")  # what any method has: images and regions
HEAD = """# The leaderboard

**Seconds on two cores until 80 % of mini's zooming gap is closed, what the labels took included.** An idea is a line of
`studies/ideas.yaml`: a run of `train`, a profile, overrides. `python bench/leaderboard.py IDEA` measures it and writes
this page; the best line is what the default should be. Lines are comparable where they are of one machine, with nothing
else running.

"""


def main(names: list[str]) -> None:
    told = yaml.safe_load(IDEAS.read_text(encoding="utf-8"))
    code = note_code(*STAGES, profiles=sorted({idea["profile"] for idea in told["ideas"].values()}))
    before = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
    found = {name: line for name, line in before.get("ideas", {}).items() if name in told["ideas"]}
    for name in names or told["ideas"]:
        with tempfile.TemporaryDirectory(prefix="r2i-idea-") as place:
            found[name] = measure(Path(place), told, told["ideas"][name])
        print(f"{name}: {found[name]}", flush=True)
        merge_result(RESULT, {"aim": told["closed"], "ideas": found}, code, name, found)
        PAGE.write_text(HEAD + table(found, told["ideas"]), encoding="utf-8")


def measure(folder: Path, told: dict[str, Any], idea: dict[str, Any]) -> dict[str, Any]:
    """One idea in a fresh clone, which has nothing to share with anybody."""
    from dvc.utils.hydra import apply_overrides

    clone(folder, idea["profile"])
    overrides = [
        f"++profiles.{idea['profile']}.{key}={as_override(value)}" for key, value in idea.get("set", {}).items()
    ]
    if overrides:
        apply_overrides(folder / "params.yaml", overrides)
    profile = load_params(folder / "params.yaml").chosen
    spent = {stage: timed(folder, f"stages/{stage}.py") for stage in CHAIN if profile.has(stage)}
    labels = sum(seconds for stage, seconds in spent.items() if stage not in UNTIMED)
    done = run(
        folder, sys.executable, "bench/leaderboard.py", "--train", json.dumps(told | {"idea": idea}), timeout=36000
    )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    trained = json.loads(done.stdout.splitlines()[-1])
    total = labels + trained["train_s"] if trained["reached"] else None
    return {
        "seconds": total and round(total, 1),
        "labels_s": round(labels, 1),
        "teacher_samples": samples(folder),
        **trained,
    }


def timed(folder: Path, script: str) -> float:
    """Seconds of a stage, its start included."""
    began = time.monotonic()
    done = run(folder, sys.executable, script, timeout=36000)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return time.monotonic() - began


def samples(folder: Path) -> int:
    """Replies that the labels took, of teachers and of the student's tries."""
    total = 0
    for stage in CHAIN:
        path = folder / "metrics" / f"{stage}.json"
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        total += sum(calls["samples"] for calls in (found.get("calls") or {}).values())
    return total


def table(found: dict[str, Any], ideas: dict[str, Any]) -> str:
    """Best first; what never reached the aim last, with the best that it reached."""
    lines = ["| idea | seconds | of them labels | teacher samples | steps | full view at the end | how |",
             "|---|---:|---:|---:|---:|---:|---|"]  # fmt: skip
    for name, one in sorted(found.items(), key=lambda pair: (pair[1]["seconds"] is None, pair[1]["seconds"] or 0)):
        idea = ideas[name]
        how = f"`train.{idea['run']}` of `{idea['profile']}`" + "".join(
            f", `{key}={value}`" for key, value in idea.get("set", {}).items()
        )
        seconds = "not reached" if one["seconds"] is None else f"{one['seconds']:.0f}"
        full = f"{100 * one['curve'][-1][2]:.1f} % (from {100 * one['base']['full']:.1f})"
        paid = f"{one['labels_s']:.0f} | {one['teacher_samples']:,}"
        lines.append(f"| {name} | {seconds} | {paid} | {one['curve'][-1][0]} | {full} | {how} |")
    return "\n".join(lines) + "\n"


def train(told: dict[str, Any]) -> None:
    """In a clone whose rows are made: train, measure on the way, stop at the aim; prints what came of it as JSON."""
    from transformers import TrainerCallback
    from transformers.trainer import DEFAULT_CALLBACKS

    from r2i.benchmark.rendered import render_items
    from r2i.core.paths import TRAIN
    from r2i.endpoint.local import load_local
    from r2i.evaluate.views import prompt_of
    from r2i.train.run import train_run
    from r2i.train.validate import Validation

    params, objective = load_params(), told["idea"]["run"]
    profile = params.chosen
    style = profile.train.prompts or profile.overlay.prompts
    items = render_items(told["items"], profile.drawing, params.seed)
    asked = {
        view: [item | {"image": item[column], "prompt": prompt_of(item, view, style)} for item in items]
        for view, column in (("full", "image"), ("crop", "crop"))
    }
    model, processor = load_local(profile.train.base, full_precision=True)
    measures = {view: Validation(rows, processor, 16, 256) for view, rows in asked.items()}
    base = {view: found.accuracy(model) for view, found in measures.items()}
    aim = base["full"] + told["closed"] * (base["crop"] - base["full"])
    curve: list[tuple[int, float, float]] = []  # steps, seconds of training, full view

    class Aim(TrainerCallback):
        """Stops the clock while it measures."""

        spent, last = 0.0, 0.0

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            Aim.last = time.monotonic()

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
            if state.global_step % told["every"] and state.global_step < state.max_steps:
                return
            Aim.spent += time.monotonic() - Aim.last
            curve.append((state.global_step, round(Aim.spent, 2), measures["full"].accuracy(model)))
            control.should_training_stop = control.should_training_stop or curve[-1][2] >= aim
            Aim.last = time.monotonic()

    DEFAULT_CALLBACKS.append(Aim)
    train_run(objective, profile.train, style, TRAIN, params.seed, Path("aim.json"), Path("aim"), profile.drawing.cut)
    reached = curve[-1][2] >= aim
    print(json.dumps({"reached": reached, "train_s": curve[-1][1], "base": base, "curve": curve}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--train"]:
        train(json.loads(sys.argv[2]))
    else:
        main(sys.argv[1:])
