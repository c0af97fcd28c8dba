"""One training run, from train rows to a Hugging Face folder: which trainer an objective has."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2i.core.errors import R2IError
from r2i.core.names import ObjectiveName
from r2i.core.params import Cut, Train

if TYPE_CHECKING:
    from r2i.train.trl import Trainer

TRAINERS: dict[ObjectiveName, str] = {
    "dapo": "r2i.train.trl_dapo",
    "sft": "r2i.train.trl_sft",
    "opd": "r2i.train.trl_opd",
    "dapo_attention": "r2i.train.trl_attention",
}
"""By objective (a section of `train` in params), the module whose function `train` is its Trainer."""


def choose_trainer(objective: str) -> "Trainer":
    """The trainer of an objective, in process. Raises R2IError where there is none."""
    module = {str(name): module for name, module in TRAINERS.items()}.get(objective)
    if module is None:
        raise R2IError(f"there is no training objective {objective!r}", f"use one of {', '.join(TRAINERS)}")
    trainer: Trainer = import_module(module).train
    return trainer


def train_run(
    objective: str, train: Train, style: str, table: Path, seed: int, log: Path, out: Path, cut: Cut | None = None
) -> dict[str, Any]:
    """Train the base on the rows of `table` (records.TRAIN) and save it to `out`, model and processor.

    `objective`: one of TRAINERS; both engines have `dapo`, all others run in process. `style`: of the prompts. `cut`:
    of a region's crop, for objectives that show one; None: Cut(). `out` and the curve in `log` appear only when the run
    is complete; a killed run resumes from its last checkpoint. Returns a summary. Raises R2IError for an objective or
    engine that is not available, a base that can't be loaded, or params that don't fit the rows.
    """
    if objective == "dapo" and train.engine == "openrlhf":
        from r2i.core.curve import progress_printer
        from r2i.train.openrlhf.run import train_openrlhf

        engine = "openrlhf"
        summary = train_openrlhf(train, style, table, seed, log, out, progress_printer("train dapo"))
    else:
        from r2i.train.trl import train_trl

        engine = "trl"
        trainer = choose_trainer(objective)
        summary = train_trl(objective, trainer, train, style, table, seed, log, out, cut or Cut())
    return {"run": objective, "engine": engine, **summary}
