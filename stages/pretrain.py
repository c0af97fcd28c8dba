"""pretrain: make the mini checkpoint from nothing. Frozen in dvc.yaml; `make pretrain` runs it."""

from pathlib import Path
from typing import Annotated

import typer

from r2i.core import paths
from r2i.core.stage import run_stage

PARAMS = ()


def main(
    scratch: Annotated[Path, typer.Option(help="Where finished phases are kept; a rerun goes on after them.")] = Path(
        ".r2i/pretrain"
    ),
) -> None:
    """Run the recipe of docs/mini.md; about an hour on 2 cores."""
    from r2i.mini.checkpoint import save_checkpoint
    from r2i.mini.recipe import run_recipe

    save_checkpoint(run_recipe(scratch), paths.MODELS / "mini")


if __name__ == "__main__":
    run_stage(main)
