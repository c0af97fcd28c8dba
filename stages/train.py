"""train: teach the student the rows that were made, by one of the objectives."""

from pathlib import Path
from typing import Annotated

import typer

from r2i.core import paths
from r2i.core.left_out import leave_out
from r2i.core.metrics import write_metrics
from r2i.core.names import OBJECTIVES, ObjectiveName
from r2i.core.params import load_params
from r2i.core.stage import run_stage

PARAMS = (
    "seed",
    "train.engine",
    "train.base",
    "train.rows",
    "train.prompts",
    "train.threads",
    "train.validation",
    "train.choose",
    "train.save_every",
    "train.{run}",
    "train.dapo.max_prompt",  # bounds of the control, too
    "train.dapo.max_response",
    "train.dapo.min_pixels",
    "train.dapo.max_pixels",
    "overlay.prompts",
    "drawing.cut",
)


def main(
    run: Annotated[ObjectiveName, typer.Option(help="Its objective.")] = "dapo",
    params: Path = Path("params.yaml"),
) -> None:
    """Train the base on the kept rows; save the student as one Hugging Face folder."""
    settings = load_params(params)
    if leave_out(settings, f"train@{run}"):
        return
    profile = settings.chosen
    from r2i.importing.digest import train_table
    from r2i.train.run import train_run

    out = paths.MODELS / OBJECTIVES[run].folder
    log = paths.TRAIN_LOGS / f"{run}.json"
    prompts = profile.train.prompts or profile.overlay.prompts
    table = train_table(profile.train.rows)
    summary = train_run(run, profile.train, prompts, table, settings.seed, log, out, profile.drawing.cut)
    write_metrics(paths.metrics(f"train-{run}"), summary)


if __name__ == "__main__":
    run_stage(main)
