"""Vote on the teachers' answers; keep what they agree on."""

from pathlib import Path
from typing import Annotated

import typer

from r2i.core import paths
from r2i.core.left_out import leave_out
from r2i.core.metrics import write_metrics
from r2i.core.params import load_params
from r2i.core.stage import run_stage

PARAMS = ("seed", "vote")


def main(file: Annotated[Path, typer.Option("--params")] = Path("params.yaml")) -> None:
    """Group equivalent answers of all teachers; keep a question when enough samples agree."""
    from r2i.core.shards import make_table
    from r2i.vote.collect import VoteWork, summarise

    params = load_params(file)
    if leave_out(params, "vote"):
        return
    work = VoteWork(params)
    counts = make_table(VoteWork, file)
    metrics = summarise(counts, params.chosen.vote.min_agreement)
    write_metrics(paths.metrics("vote"), {**metrics, "calls": work.call_metrics(counts)})


if __name__ == "__main__":
    run_stage(main)
