"""One training run from train rows to a Hugging Face folder."""

from pathlib import Path
from typing import Any

from r2i.core.params import Train


def train_run(run: str, train: Train, style: str, table: Path, seed: int, log: Path, out: Path) -> dict[str, Any]:
    """Train the base on the rows of `table` (records.TRAIN) and save it to `out`, model and processor.

    `run`: `dapo` or `sft`. `out` and the curve in `log` appear only when the run is complete; one that was killed
    goes on from its last checkpoint. Returns a summary. Raises R2IError for an engine that is not available, a
    base that can't be loaded, or params that don't fit the rows.
    """
    if run == "dapo" and train.engine == "openrlhf":
        from r2i.core.curve import progress_printer
        from r2i.train.openrlhf.run import train_openrlhf

        summary = train_openrlhf(train, style, table, seed, log, out, progress_printer("train dapo"))
    else:
        from r2i.train.trl import train_trl

        summary = train_trl(run, train, style, table, seed, log, out)
    return {"run": run, "engine": train.engine if run == "dapo" else "trl", **summary}
