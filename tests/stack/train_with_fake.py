"""`python train_with_fake.py FOLDER`: r2i's whole run of engine openrlhf, with the stand-in in OpenRLHF's place."""

import os
import sys
from pathlib import Path
from typing import Any

from r2i.core.curve import Line
from r2i.core.params import Train
from r2i.core.stage import explained
from r2i.train.openrlhf import launch
from r2i.train.openrlhf.run import train_openrlhf

HERE = Path(__file__).parent
TRAIN: dict[str, Any] = {
    "engine": "openrlhf",
    "base": str(HERE.parents[1] / "models" / "mini"),
    "dapo": {"lr": 1e-4, "max_steps": 4, "rollout_prompts": 4, "train_prompts": 4, "max_prompt": 64, "max_response": 8},
    "sft": {"lr": 1e-4, "steps": 1, "batch": 1},
    "save_every": 2,
    "cluster": {"gpus_per_node": 1, "start_timeout_s": 60},
}


def train(folder: Path, sink: Any = None, **cluster: Any) -> dict[str, Any]:
    """Train on the rows in `folder`, which is also the current directory."""
    params = Train.model_validate({**TRAIN, "cluster": {**TRAIN["cluster"], **cluster}})
    launch.TRAINER = "fake_trainer"
    launch.gpus_there = lambda address: 1
    known = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = f"{HERE}{os.pathsep}{known}"
    table, log, out = Path("data/overlay/train"), Path("data/train/dapo.json"), folder / "models" / "distilled"
    try:
        return train_openrlhf(params, "mini", table, 0, log, out, sink or print_line)
    finally:
        os.environ["PYTHONPATH"] = known


def print_line(step: int, steps: int, line: Line) -> None:
    print(f"step {step}/{steps} {line}", flush=True)


if __name__ == "__main__":
    with explained():
        train(Path(sys.argv[1]))
