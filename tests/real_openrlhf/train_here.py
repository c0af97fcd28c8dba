"""`python train_here.py FOLDER JSON`: r2i's whole run of engine openrlhf, with the real OpenRLHF, on a CPU.

JSON: `rows` of the train table, `options` that each keeps (of four: a reply that names another is one that no rule
reads), `gpus` to pretend, and changes of the params of `train` (TRAIN below).
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from made_run import make_teaching, write_teaching
from wide_heads import widen_heads

from r2i.core import paths
from r2i.core.curve import Line
from r2i.core.params import Train
from r2i.core.records import TRAIN as SCHEMA
from r2i.core.stage import explained
from r2i.core.tables import read_table, write_table
from r2i.train.openrlhf import launch
from r2i.train.openrlhf.run import train_openrlhf

MINI = Path(__file__).parents[2] / "models" / "mini"
PROBE = "--algo.advantage.is_correction_level token --algo.advantage.is_correction_mode clip".split()
"""With these OpenRLHF says how far vLLM's probabilities are from the trainer's: `vllm_kl` of the curve."""
TRAIN: dict[str, Any] = {
    "engine": "openrlhf",
    "base": "mini",
    "save_every": 2,
    "sft": {"lr": 1e-4, "steps": 1, "batch": 1},
    "dapo": {"lr": 2e-4, "rollout_prompts": 8, "train_prompts": 8, "max_prompt": 64, "max_response": 8},
    "cluster": {
        "gpus_per_node": 1,
        "enforce_eager": True,
        "memory_share": 0.1,
        "micro_train": 8,
        "micro_rollout": 8,
        "start_timeout_s": 900,
        "flags": PROBE,
    },
}


def prepare(rows: int, options: int) -> None:
    """A train table of `rows` rows and the student, with the heads that vLLM has kernels for, in this folder."""
    if not paths.TRAIN.is_dir():
        write_teaching(make_teaching(rows))
        made = read_table(paths.TRAIN, SCHEMA, "overlay")
        shutil.rmtree(paths.TRAIN)
        write_table(paths.TRAIN, [row | {"options": row["options"][:options]} for row in made[:rows]], SCHEMA)
    if not Path("mini").is_dir():
        widen_heads(MINI, Path("mini"))


def train(folder: Path, rows: int, options: int, gpus: int, changes: dict[str, Any]) -> dict[str, Any]:
    """Train in `folder`; the model is in `result`, the curve in `curve.json`."""
    os.chdir(folder)
    os.environ["DVC_ROOT"] = str(folder)
    prepare(rows, options)
    launch.gpus_there = lambda address: gpus  # Ray is told the same: see conftest.py
    sections = {name: {**TRAIN[name], **changes.pop(name, {})} for name in ("dapo", "cluster")}
    params = Train.model_validate({**TRAIN, **changes, **sections})
    return train_openrlhf(params, "mini", paths.TRAIN, 0, folder / "curve.json", folder / "result", print_line)


def print_line(step: int, steps: int, line: Line) -> None:
    print(f"step {step}/{steps} {dict(line)}", flush=True)


if __name__ == "__main__":
    told = json.loads(sys.argv[2])
    with explained():
        facts = [told.pop("rows"), told.pop("options", 4), told.pop("gpus")]
        summary = train(Path(sys.argv[1]).resolve(), *facts, told)
        Path("summary.json").write_text(json.dumps(summary, indent=2), encoding="utf-8")
