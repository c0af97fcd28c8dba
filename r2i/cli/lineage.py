"""Where everything came from, and whether it is what it says: lineage, verify, cards, exports with their cards."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from r2i.core.disk import new_file
from r2i.core.errors import R2IError
from r2i.core.names import OBJECTIVES
from r2i.core.stage import explained

app = typer.Typer()
card = typer.Typer(no_args_is_help=True, help="What the data and a model are: Markdown that the Hub reads.")
export = typer.Typer(no_args_is_help=True, help="Folders to hand on, each with its card.")
app.add_typer(card, name="card")
app.add_typer(export, name="export")
Out = Annotated[Path | None, typer.Option("--out", help="Write it there instead of printing it.")]
Name = Annotated[str, typer.Argument(help="Folder of the model in models/.")]
DISTILLED = OBJECTIVES["dapo"].folder
New = Annotated[Path, typer.Argument(help="A new folder, or an earlier export.")]


@app.command()
def lineage(
    name: Annotated[str, typer.Argument(metavar="ID", help="Of a train row, question, answer, region, image or item.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Walk a row back: image, region, every model call with its prompt and reply, votes, code revision."""
    from r2i.tools.lineage.text import story_text
    from r2i.tools.lineage.walk import trace

    with explained():
        story = trace(name)
    print(json.dumps(story, indent=2, sort_keys=True, default=str) if as_json else story_text(story))


@app.command()
def verify(
    cache: Annotated[bool, typer.Option("--cache", help="Hash the objects of DVC's cache too.")] = False,
) -> None:
    """Hash all that dvc.lock, the *.dvc files, the archive and the store name, and check the tables' ids and counts."""
    from r2i.tools.verify.run import verify_all
    from r2i.tools.verify.text import finding_text, summary_text

    with explained():
        verdict = verify_all(cache)
        for finding in verdict.findings:
            print(finding_text(finding))
        if verdict.faults:
            raise R2IError(summary_text(verdict), verdict.remedy)
        print(summary_text(verdict))


@card.command("data")
def data_card(out: Out = None) -> None:
    """The data card of the train rows here."""
    from r2i.tools.cards.data import data_card

    with explained():
        _give(data_card(), out)


@card.command("model")
def model_card(name: Name = DISTILLED, out: Out = None) -> None:
    """The card of a model that was trained here."""
    from r2i.tools.cards.model import model_card

    with explained():
        _give(model_card(name), out)


@export.command("hf")
def export_hf(
    folder: New,
    what: Annotated[Literal["train", "benchmark"], typer.Option(help="Which table.")] = "train",
) -> None:
    """A folder that `datasets.load_dataset` opens, pictures shown, in the reference's columns and with its card."""
    from r2i.tools.exchange.hf import export_dataset

    with explained():
        done = export_dataset(folder, what)
    print(f"{done['rows']:,} rows in {folder}")
    for reason, count in done["left_out"].items():
        print(f"  left out: {count:,} {reason}")


@export.command("model")
def export_model(folder: New, name: Annotated[str, typer.Option(help="Folder in models/.")] = DISTILLED) -> None:
    """A trained model's folder with its card."""
    from r2i.tools.exchange.hf import export_model

    with explained():
        export_model(folder, name)
    print(f"models/{name} and its card in {folder}")


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
