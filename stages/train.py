"""train: teach the student the voted questions by DAPO, or by SFT as the control."""

from pathlib import Path
from typing import Annotated

import typer

from r2i import paths
from r2i.metrics import write_metrics
from r2i.params import load_params
from r2i.records import OK, TRAIN
from r2i.stage import run_stage
from r2i.tables import read_table


def main(
    run: Annotated[str, typer.Option(help="dapo or sft")] = "dapo",
    params: Path = Path("params.yaml"),
) -> None:
    """Train the base on the kept rows; save the student as one Hugging Face folder."""
    settings = load_params(params)
    profile = settings.chosen
    rows = [row for row in read_table(paths.TRAIN, TRAIN, "overlay") if row["status"] == OK]
    from r2i.train.run import train_run

    out = paths.MODELS / {"dapo": "distilled", "sft": "sft"}[run]
    log = paths.TRAIN_LOGS / f"{run}.jsonl"
    summary = train_run(run, profile.train, profile.overlay.prompts, rows, settings.seed, log, out)
    write_metrics(paths.metrics(f"train-{run}"), summary)


if __name__ == "__main__":
    run_stage(main)
