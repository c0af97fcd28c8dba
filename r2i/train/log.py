"""What both TRL trainers share: their quiet defaults, and the training curve as JSON lines."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

Say = Callable[[int, int, dict[str, float]], None]


def trl_defaults(seed: int) -> dict[str, Any]:
    """Constant rate, clipped gradients, no checkpoints, no reporters; float32 on a CPU."""
    return {
        "lr_scheduler_type": "constant",
        "max_grad_norm": 1.0,
        "seed": seed,
        "data_seed": seed,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": torch.cuda.is_available(),
        "gradient_checkpointing": False,
        "save_strategy": "no",
        "report_to": [],
        "logging_steps": 1,
        "disable_tqdm": True,
    }


class JsonLog(TrainerCallback):
    """One line a step: numbers only, no time, so that the same run writes the same bytes.

    `keys` maps the trainer's names to ours. `say(step, steps, line)` is told of each line.
    """

    def __init__(self, path: Path, keys: Mapping[str, str], say: Say) -> None:
        self.path, self.keys, self.say = path, keys, say
        self.lines: list[dict[str, float]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        logs = logs or {}
        line = {ours: round(float(logs[theirs]), 6) for theirs, ours in self.keys.items() if theirs in logs}
        if "train_runtime" in logs or not line:  # the closing summary holds times
            return
        self.lines.append({"step": state.global_step, **line})
        self.say(state.global_step, state.max_steps, line)

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("".join(json.dumps(line) + "\n" for line in self.lines), encoding="utf-8")
