"""Write questions about every crop and check each of them against the full image."""

from pathlib import Path
from typing import Annotated

import typer

from r2i.core import paths
from r2i.core.left_out import leave_out
from r2i.core.metrics import write_metrics
from r2i.core.params import load_params
from r2i.core.stage import run_stage

PARAMS = ("seed", "question")


def main(file: Annotated[Path, typer.Option("--params")] = Path("params.yaml")) -> None:
    """Ask the teacher for questions about each crop; keep those that pass its four checks."""
    from r2i.core.shards import make_table
    from r2i.question.ask import QuestionWork

    loaded = load_params(file)
    if leave_out(loaded, "question"):
        return
    work = QuestionWork(loaded)
    counts = make_table(QuestionWork, file)
    write_metrics(paths.metrics("question"), {**counts, "calls": work.call_metrics(counts)})


if __name__ == "__main__":
    run_stage(main)
