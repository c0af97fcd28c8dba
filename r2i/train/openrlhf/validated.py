"""What OpenRLHF's trainer leaves of its validations: accuracy by step, and the weights of the best model so far.

`step-N` is written before the checkpoint of step N, whole or not at all, and goes with it. A run that goes on from a
checkpoint goes on with its folder: what was measured later was of steps that are trained anew.
"""

import json
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from r2i.core.disk import new_folder
from r2i.train.held_out import best_of

MEASURED = "measured.json"  # in a folder of a step: accuracy by step, that of the base as step 0
BEST = "best"  # in a folder of a step: the best model's, where that is not the model of the last step


def folder_of(root: Path, step: int) -> Path:
    return root / f"step-{step}"


def steps_in(root: Path) -> list[int]:
    """Those with a folder, in order."""
    return sorted(int(path.name.removeprefix("step-")) for path in root.glob("step-*"))


def read_measured(root: Path, step: int) -> dict[int, float]:
    """Accuracy by step up to `step`; {} where nothing was measured."""
    path = folder_of(root, step) / MEASURED
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {int(number): float(accuracy) for number, accuracy in found.items()}


def is_best(measured: Mapping[int, float], step: int) -> bool:
    """Whether the model of `step` is better than that of each step before it; the base does not count."""
    return best_of((number, value) for number, value in sorted(measured.items()) if number)[0] == step


def write_measured(root: Path, before: int, step: int, measured: Mapping[int, float], weights: Path | None) -> None:
    """Write the folder of `step`. `weights`: of this step's model, moved there; None: the best model is that of the
    folder `before`, if it has one. Raises DiskError."""
    with new_folder(folder_of(root, step)) as part:
        (part / MEASURED).write_text(json.dumps({str(n): value for n, value in measured.items()}), encoding="utf-8")
        if weights:
            shutil.move(weights, part / BEST)
        elif (best := folder_of(root, before) / BEST).is_dir():
            shutil.copytree(best, part / BEST, copy_function=_link)


def keep_steps(root: Path, wanted: Collection[int]) -> None:
    """Remove the folders of all other steps."""
    for step in set(steps_in(root)) - set(wanted):
        shutil.rmtree(folder_of(root, step))


def _link(source: str, target: str) -> str:
    """A second name of the file; a copy where the disk has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
