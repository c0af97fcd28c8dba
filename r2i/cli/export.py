"""`r2i export`: folders to hand on, each with its card."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from r2i.core.names import OBJECTIVES
from r2i.core.stage import explained

app = typer.Typer(no_args_is_help=True, help="Folders to hand on, each with its card.")

New = Annotated[Path, typer.Argument(help="A new folder, or an earlier export.")]
DISTILLED = OBJECTIVES["dapo"].folder


@app.command("hf")
def export_hf(
    folder: New,
    what: Annotated[Literal["train", "benchmark"], typer.Option(help="Which table.")] = "train",
) -> None:
    """A folder that `datasets.load_dataset` opens, pictures shown, in the reference's columns and with its card."""
    from r2i.tools.cards.data import data_left_out
    from r2i.tools.exchange.hf import export_dataset

    with explained():
        done = export_dataset(folder, what)
        left_out = data_left_out()
    print(f"{done['rows']:,} rows in {folder}")
    for reason, count in done["left_out"].items():
        print(f"  left out: {count:,} {reason}")
    if left_out:
        print(f"its card: {left_out}", file=sys.stderr)


@app.command("model")
def export_model(folder: New, name: Annotated[str, typer.Option(help="Folder in models/.")] = DISTILLED) -> None:
    """A trained model's folder with its card."""
    from r2i.tools.cards.model import model_left_out
    from r2i.tools.exchange.hf import export_model

    with explained():
        export_model(folder, name)
        left_out = model_left_out(name)
    print(f"models/{name} and its card in {folder}")
    if left_out:
        print(f"its card: {left_out}", file=sys.stderr)
