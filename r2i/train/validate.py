"""Accuracy on held-out train rows while a model trains in process, and the checkpoint that did best on them.

Rows of one image are all trained on or all held out. Answers are greedy and graded strictly. Each checkpoint holds the
weights of the best one so far (links: no copy), so that a resumed run ends as an undisturbed one.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from r2i.core.params import Sampling
from r2i.core.tables import Row
from r2i.endpoint.base import Request
from r2i.endpoint.local import LocalModel
from r2i.grading.strict import grade_strictly
from r2i.train.held_out import KEY, best_of, choose_checkpoint, validation_facts
from r2i.train.rollout import answering

BEST = "best"  # folder in a checkpoint; without it the checkpoint itself is the best so far
FILES = ("model*", "config.json", "generation_config.json")


class Validation(TrainerCallback):
    """Adds `val_accuracy` to the log of each step that ends with a checkpoint; stands before CurveLog.

    The base's own accuracy stands in the trainer's log as that of step 0. `batch`: rows that are answered at once;
    `max_tokens`: of an answer. Without `rows` it does nothing.
    """

    def __init__(self, rows: list[Row], processor: Any, max_tokens: int, batch: int) -> None:
        self.rows, self.processor, self.batch = rows, processor, batch
        self.sampling = Sampling(max_tokens=max_tokens)
        self.measured: float | None = None

    def accuracy(self, model: Any) -> float:
        """Share of right answers; one that fails (cut by the length limit, empty) is wrong."""
        asked = [Request(row["prompt"], (row["image"],), self.sampling, seed=0) for row in self.rows]
        with answering(model):
            replies = LocalModel("policy", self.batch, (model, self.processor)).complete(asked)
        verdicts = [
            grade_strictly(reply.text, row["label"], row["options"])
            for row, (reply,) in zip(self.rows, replies, strict=True)
        ]
        return sum(verdict.correct is True for verdict in verdicts) / len(self.rows)

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if self.rows and state.global_step == 0:
            state.log_history.append({"step": 0, KEY: self.accuracy(model)})

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.measured = self.accuracy(model) if self.rows and control.should_save else None

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if self.measured is not None and logs is not None:
            logs[KEY] = state.log_history[-1][KEY] = self.measured
            self.measured = None

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        steps = [step for step, _ in measurements(state.log_history)]
        if self.rows and best_of(measurements(state.log_history))[0] < state.global_step:
            link_best(_checkpoint(args, steps[-2]), _checkpoint(args, state.global_step))


def _checkpoint(args: Any, step: int) -> Path:
    return Path(args.output_dir) / f"checkpoint-{step}"


def measurements(history: Iterable[Mapping[str, Any]]) -> list[tuple[int, float]]:
    """Step and accuracy of each checkpoint in the trainer's log; the base's are none of them."""
    return [(line["step"], line[KEY]) for line in history if KEY in line and line["step"]]


def best_weights(checkpoint: Path) -> Path:
    """The folder with the weights of the best model up to `checkpoint`."""
    return checkpoint / BEST if (checkpoint / BEST).is_dir() else checkpoint


def link_best(before: Path, checkpoint: Path) -> None:
    """Take over the best model of the checkpoint `before`."""
    folder = checkpoint / BEST
    folder.mkdir(exist_ok=True)
    for file in sorted(path for pattern in FILES for path in best_weights(before).glob(pattern)):
        (folder / file.name).unlink(missing_ok=True)
        os.link(file, folder / file.name)


def load_weights(model: Any, folder: Path) -> None:
    """Put the weights that Transformers saved in `folder` into `model`."""
    saved = type(model).from_pretrained(folder, dtype=torch.float32)
    model.load_state_dict(saved.state_dict())


def choose_model(trainer: Any, rows: list[Row], choose: str) -> dict[str, Any]:
    """Leave the model of the last or of the best checkpoint in `trainer`; what was chosen by what, for metrics.

    {} without held-out `rows`.
    """
    if not rows:
        return {}
    history = trainer.state.log_history
    measured = measurements(history)
    last, (step, _) = measured[-1][0], choose_checkpoint(measured, choose)
    if step != last:
        load_weights(trainer.model, best_weights(_checkpoint(trainer.args, last)))
    base = next((line[KEY] for line in history if line["step"] == 0 and KEY in line), None)
    return validation_facts(len(rows), len({row["image_id"] for row in rows}), base, measured, choose)
