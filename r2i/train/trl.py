"""Training in this process through TRL: what its trainers share, from train rows to a Hugging Face folder."""

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate.utils import AutocastKwargs
from transformers import AutoConfig, PrinterCallback, TrainerCallback, TrainingArguments

from r2i.core.curve import CurveSink, Line, combine_sinks, progress_printer, write_curve
from r2i.core.disk import new_folder
from r2i.core.params import Cut, Train
from r2i.core.records import TRAIN
from r2i.core.tables import Row, ok_rows, read_table
from r2i.endpoint.local import load_local
from r2i.train.fit import batch_of, fitting_rows, pixels_within
from r2i.train.held_out import split_rows
from r2i.train.live import live_run
from r2i.train.resume import run_fingerprint, workspace
from r2i.train.watch import Watcher, warnings


@dataclass(frozen=True)
class TrlRun:
    """What a trainer needs beside the model, its processor and the rows.

    `held`: rows that are held out for validation. `style`: of the prompts. `log`: the file of the curve; `sink` takes
    each line while training. `checkpoints`: the folder to save them to, and to resume from where it holds one.
    `cut`: of a region's crop.
    """

    train: Train
    held: list[Row]
    style: str
    seed: int
    log: Path
    checkpoints: Path
    sink: CurveSink
    cut: Cut


Trainer = Callable[[Any, Any, list[Row], TrlRun], dict[str, Any]]
"""Trains a model in place, given its processor and rows (records.TRAIN, ok only); returns a summary for metrics."""


def train_trl(
    objective: str, trainer: Trainer, train: Train, style: str, table: Path, seed: int, log: Path, out: Path, cut: Cut
) -> dict[str, Any]:
    """See r2i.train.run.train_run. `trainer`: of the objective.

    Weights are trained in float32, on a GPU with products in bf16: a step of AdamW at 1e-6 is less than half of the
    distance between neighbouring bf16 numbers and would be lost. They are saved as the base stores its own.
    """
    rows = ok_rows(read_table(table, TRAIN, "overlay"), table, "overlay")
    torch.set_num_threads(train.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    model, processor = load_local(train.base, full_precision=True)
    fingerprint = run_fingerprint(objective, trainer.__module__, train, style, rows, seed, cut)
    checkpoints = workspace(fingerprint)
    limits = train.limits(objective)
    section = objective if getattr(train, objective) is limits else "dapo"
    with live_run(f"train@{objective}", train.model_dump(mode="json"), fingerprint) as live:
        watcher = Watcher(limits.watch, live.warn, section=section)
        sink = combine_sinks(progress_printer(f"train {objective}"), live, watcher)
        with pixels_within(processor, limits):
            rows, left_out = fitting_rows(rows, processor, limits, section)
            rows, held = split_rows(rows, train.validation, seed, batch_of(limits))
            summary = trainer(model, processor, rows, TrlRun(train, held, style, seed, log, checkpoints, sink, cut))
        save_model(in_dtype(model, stored_dtype(train.base)), processor, out)
        live.tag_curve(log)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return {**summary, **left_out, "warnings": [str(w) for w in warnings(watcher.lines, limits.watch, section)]}


def trl_defaults(train: Train, seed: int, save_steps: int) -> dict[str, Any]:
    """Of all trainers: constant learning rate, clipped gradients, no reporters; float32 weights, on a GPU with
    products in bf16.

    A checkpoint every `save_steps` optimizer steps, the newest `train.keep` of which stay.
    """
    gpu = torch.cuda.is_available()
    return {
        "lr_scheduler_type": "constant",
        "max_grad_norm": 1.0,
        "seed": seed,
        "data_seed": seed,
        "use_cpu": not gpu,
        "bf16": gpu,
        "gradient_checkpointing": gpu if train.gradient_checkpointing is None else train.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "save_strategy": "steps",
        "save_steps": save_steps,
        "save_total_limit": train.keep,
        "report_to": [],
        "logging_steps": 1,
        "disable_tqdm": True,
    }


Arguments = TypeVar("Arguments", bound=TrainingArguments)


def on_one_gpu(arguments: Arguments) -> Arguments:
    """The arguments, for the first GPU alone. Where several are visible, Transformers would copy the model to each
    (DataParallel), which TRL refuses, and steps would be of as many batches."""
    if arguments.n_gpu > 1:
        said = "trains on the first; CUDA_VISIBLE_DEVICES chooses another"
        print(f"{arguments.n_gpu} GPUs are visible: a training in process {said}", file=sys.stderr, flush=True)
        arguments._n_gpu = 1  # as Transformers itself does where a model's layers are on several
    return arguments


def start(trainer: Any, checkpoint: str | None) -> None:
    """Train, from `checkpoint` where there is one; nothing is printed.

    On a GPU the bf16 copy of a weight is made where it is used and not kept until the pass ends: no more work, for a
    pass uses each weight once, and 2 bytes a parameter less at the fullest moment.
    """
    trainer.accelerator.autocast_handler = AutocastKwargs(cache_enabled=False)
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=checkpoint)


class CurveLog(TrainerCallback):
    """One line a step: numbers only, no time, so that the same run writes the same bytes.

    `keys` maps the trainer's names to those of r2i.core.curve. `sink` takes each line. A resumed run takes the lines up
    to its checkpoint from the trainer's own log.
    """

    def __init__(self, path: Path, keys: Mapping[str, str], sink: CurveSink) -> None:
        self.path, self.keys, self.sink = path, keys, sink
        self.lines: list[Line] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.lines = [line for logs in state.log_history if (line := self._line(logs["step"], logs))]

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if line := self._line(state.global_step, logs or {}):
            self.lines.append(line)
            self.sink(state.global_step, state.max_steps, line)

    def _line(self, step: int, logs: Mapping[str, float]) -> Line | None:
        line = {ours: round(float(logs[theirs]), 6) for theirs, ours in self.keys.items() if theirs in logs}
        if "train_runtime" in logs or not line or not step:  # the closing summary holds times; step 0 is the base
            return None
        return {"step": step, **line}

    def write(self) -> None:
        write_curve(self.path, self.lines)


def stored_dtype(base: str) -> torch.dtype:
    """What the weights of the base are stored in, as its config says; float32 where it says nothing."""
    config = AutoConfig.from_pretrained(base)
    found = config.dtype or config.get_text_config().dtype or torch.float32
    return getattr(torch, found) if isinstance(found, str) else found


def in_dtype(model: Any, dtype: torch.dtype) -> Any:
    """`model` with weights of `dtype`, which all parts of its config say, too."""
    for part in model.config.sub_configs:
        getattr(model.config, part).dtype = dtype
    return model.to(dtype)


def save_model(model: Any, processor: Any, out: Path) -> None:
    """Write a Hugging Face folder: one that exists is complete. Raises DiskError."""
    with new_folder(out) as part:
        model.save_pretrained(part)
        processor.save_pretrained(part)
        remove_loading_facts(part / "tokenizer_config.json")


def remove_loading_facts(config: Path) -> None:
    """Remove how the tokenizer was loaded, which Transformers records and which differs with HF_HUB_OFFLINE."""
    values = json.loads(config.read_text(encoding="utf-8"))
    kept = {name: value for name, value in values.items() if name not in ("is_local", "local_files_only")}
    config.write_text(json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
