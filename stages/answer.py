"""Let every teacher answer each question several times, on the crop."""

from pathlib import Path
from typing import Annotated

import typer

from r2i.core import paths
from r2i.core.left_out import leave_out
from r2i.core.metrics import write_metrics
from r2i.core.params import load_params
from r2i.core.stage import run_stage

PARAMS = ("seed", "answer")


def main(file: Annotated[Path, typer.Option("--params")] = Path("params.yaml")) -> None:
    """Ask each teacher each question as often as params say; keep every sample as a row."""
    from r2i.answer.ask import AnswerWork
    from r2i.core.shards import make_table

    loaded = load_params(file)
    if leave_out(loaded, "answer"):
        return
    work = AnswerWork(loaded)
    counts = make_table(AnswerWork, file)
    write_metrics(paths.metrics("answer"), {**counts, "calls": work.call_metrics(counts)})


if __name__ == "__main__":
    run_stage(main)
