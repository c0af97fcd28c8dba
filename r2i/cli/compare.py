"""`r2i compare`: evaluated revisions side by side, with paired tests."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from r2i.core.names import VIEWS
from r2i.core.stage import explained

Revisions = Annotated[
    list[str],
    typer.Argument(
        metavar="A B [C ...]",
        help="Git revisions, names of DVC experiments, or `workspace`; each is tested against A. "
        "`REVISION:MODEL` takes another model's predictions than --model, `REVISION:MODEL@VIEW` another view.",
    ),
]


def compare(
    revisions: Revisions,
    model: Annotated[str | None, typer.Option(help="Whose predictions; see above.")] = None,
    view: Annotated[str, typer.Option(help=f"One of {', '.join(VIEWS)}.")] = "full",
    md: Annotated[bool, typer.Option("--md", help="Print Markdown.")] = False,
    html: Annotated[Path | None, typer.Option(help="Also write one HTML page, which needs no other file.")] = None,
    draws: Annotated[int, typer.Option(min=100, help="Draws of the bootstrap.")] = 2000,
) -> None:
    """Compare evaluated revisions on the items that all of them measured, paired by item.

    One model under two protocols, two judges or two ways to cut a crop is two revisions (`dvc exp run -S ...`); what
    was not done alike is said.

    Where no model is named, params' second model is taken, or their only one; of a revision that has no predictions of
    it, the one that it has.
    """
    from r2i.core.params import load_params
    from r2i.tools.compare.load import CompareError, load_revision
    from r2i.tools.compare.measure import compare_revisions
    from r2i.tools.compare.page import write_page
    from r2i.tools.compare.table import markdown, terminal_tables

    with explained():
        if len(revisions) < 2:
            raise CompareError("one revision is nothing to compare", "name at least two")
        prefer = None if model else load_params().model_names.headline
        loaded = [load_revision(name, model, view, prefer=prefer) for name in revisions]
        found = compare_revisions(loaded, view, draws)
        if md:
            print(markdown(found), end="")
        else:
            console = Console()
            for table in terminal_tables(found):
                console.print(table)
            for note in found.notes:
                console.print(f"note: {note}", soft_wrap=True, highlight=False, markup=False)
        if html:
            write_page(html, found)
            Console(stderr=True).print(f"written: {html}", soft_wrap=True, highlight=False, markup=False)
