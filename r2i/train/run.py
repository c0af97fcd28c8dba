"""One training run, from train rows to a Hugging Face folder: which trainer an objective has."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2i.core.errors import R2IError
from r2i.core.params import Train

if TYPE_CHECKING:
    from r2i.train.trl import Trainer


def choose_trainer(objective: str) -> "Trainer":
    """The TRL trainer of an objective (a section of `train` in params). Raises R2IError where there is none."""
    if objective == "dapo":
        from r2i.train.trl_dapo import train_dapo

        return train_dapo
    if objective == "sft":
        from r2i.train.trl_sft import train_sft

        return train_sft
    raise R2IError(f"there is no training objective {objective!r}", "use dapo or sft")


def train_run(objective: str, train: Train, style: str, table: Path, seed: int, log: Path, out: Path) -> dict[str, Any]:
    """Train the base on the rows of `table` (records.TRAIN) and save it to `out`, model and processor.

    `objective`: `dapo`, which both engines have, or `sft`, which runs through TRL. `style`: of the prompts. `out` and
    the curve in `log` appear only when the run is complete; a killed run resumes from its last checkpoint. Returns a
    summary. Raises R2IError for an objective or engine that is not available, a base that can't be loaded, or params
    that don't fit the rows.
    """
    if objective == "dapo" and train.engine == "openrlhf":
        from r2i.core.curve import progress_printer
        from r2i.train.openrlhf.run import train_openrlhf

        engine = "openrlhf"
        summary = train_openrlhf(train, style, table, seed, log, out, progress_printer("train dapo"))
    else:
        from r2i.train.trl import train_trl

        engine = "trl"
        summary = train_trl(objective, choose_trainer(objective), train, style, table, seed, log, out)
    return {"run": objective, "engine": engine, **summary}
