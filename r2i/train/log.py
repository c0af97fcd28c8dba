"""What both TRL trainers share: their quiet defaults, and the training curve."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from r2i.core.curve import Line, Say, write_curve


def trl_defaults(seed: int, save_steps: int, keep: int) -> dict[str, Any]:
    """Constant rate, clipped gradients, no reporters; float32 on a CPU. A checkpoint every `save_steps` steps."""
    return {
        "lr_scheduler_type": "constant",
        "max_grad_norm": 1.0,
        "seed": seed,
        "data_seed": seed,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": torch.cuda.is_available(),
        "gradient_checkpointing": False,
        "save_strategy": "steps",
        "save_steps": save_steps,
        "save_total_limit": keep,
        "report_to": [],
        "logging_steps": 1,
        "disable_tqdm": True,
    }


class CurveLog(TrainerCallback):
    """One line a step: numbers only, no time, so that the same run writes the same bytes.

    `keys` maps the trainer's names to those of r2i.core.curve. `say` is told of each line. A run that goes on
    from a checkpoint takes the lines up to there from the trainer's own log.
    """

    def __init__(self, path: Path, keys: Mapping[str, str], say: Say) -> None:
        self.path, self.keys, self.say = path, keys, say
        self.lines: list[Line] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.lines = [line for logs in state.log_history if (line := self._line(logs["step"], logs))]

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if line := self._line(state.global_step, logs or {}):
            self.lines.append(line)
            self.say(state.global_step, state.max_steps, line)

    def _line(self, step: int, logs: Mapping[str, float]) -> Line | None:
        line = {ours: round(float(logs[theirs]), 6) for theirs, ours in self.keys.items() if theirs in logs}
        if "train_runtime" in logs or not line:  # the closing summary holds times
            return None
        return {"step": step, **line}

    def write(self) -> None:
        write_curve(self.path, self.lines)
