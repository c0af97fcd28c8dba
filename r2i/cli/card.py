"""`r2i card`: what the data and a model are, as Markdown that the Hub reads."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from r2i.core.disk import new_file
from r2i.core.errors import R2IError
from r2i.core.names import OBJECTIVES
from r2i.core.stage import explained

app = typer.Typer(no_args_is_help=True, help="What the data and a model are: Markdown that the Hub reads.")

Out = Annotated[Path | None, typer.Option("--out", help="Write it there instead of printing it.")]
Name = Annotated[str, typer.Argument(help="Folder of the model in models/.")]
DISTILLED = OBJECTIVES["dapo"].folder


@app.command("data")
def data_card(out: Out = None) -> None:
    """The data card of the train rows here."""
    from r2i.tools.cards.data import data_card, data_left_out

    with explained():
        _give(data_card(), out)
        _warn(data_left_out())


@app.command("model")
def model_card(name: Name = DISTILLED, out: Out = None) -> None:
    """The card of a model that was trained here."""
    from r2i.tools.cards.model import model_card, model_left_out

    with explained():
        _give(model_card(name), out)
        _warn(model_left_out(name))


def _warn(line: str) -> None:
    if line:
        print(line, file=sys.stderr)


def _give(text: str, out: Path | None) -> None:
    if out is None:
        print(text, end="")
        return
    try:
        with new_file(out) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise R2IError(f"{out} can't be written: {error}", "name another file") from error
    print(out)
