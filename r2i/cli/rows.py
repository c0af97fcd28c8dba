"""`r2i rows`: train rows from elsewhere, and ours for other trainers."""

from pathlib import Path
from typing import Annotated, Any

import typer

from r2i.core import paths
from r2i.core.boxes import BoxUnit
from r2i.core.stage import explained
from r2i.tools.exchange import Form

app = typer.Typer(name="rows", no_args_is_help=True, help=__doc__)


@app.command("import")
def import_rows(
    source: Annotated[Path, typer.Argument(help="Parquet, JSON lines, a folder of them, or a saved dataset.")],
    folder: Annotated[Path, typer.Argument(help="Where the table goes.")],
    style: Annotated[str, typer.Option(help="Whose instruction to add where a problem asks for no answer span.")] = (
        "paper"
    ),
    box_unit: Annotated[
        BoxUnit | None,
        typer.Option(help="Of bbox; pixels unless told, where the numbers allow nothing else."),
    ] = None,
    licence: Annotated[str, typer.Option(help="What may be done with the rows, for about.json.")] = "",
    write: Annotated[bool, typer.Option("--write", help="Put them into the chosen profile's train.")] = False,
    params: Path = Path("params.yaml"),
) -> None:
    """Write a dataset in the reference's columns as a table of train rows, and say what to put into params.yaml."""
    from r2i.core.params import load_params
    from r2i.importing.digest import pin_rows
    from r2i.tools.exchange.importing import import_table

    with explained():
        profile = load_params(params).profile if write else ""
        about = import_table(source, folder, style, box_unit, licence)
        if write:
            pin_rows(params, profile, folder, about["sha256"])
    print(counts_text(about))
    where = f"{'written to' if write else 'in'} {params}, section train{f' of {profile}' if write else ''}"
    print(f"{where}:\n  rows:\n    path: {folder}\n    sha256: {about['sha256']}")


@app.command("export")
def export_rows(
    folder: Annotated[Path, typer.Argument(help="Where the Parquet files go.")],
    form: Annotated[Form, typer.Option("--format", help="Whose columns.")] = "reference",
    source: Annotated[Path, typer.Option("--from", help="The table of train rows.")] = paths.TRAIN,
    params: Path = Path("params.yaml"),
) -> None:
    """Write the train rows that are ok as Parquet for other trainers, and say what starts the one that distils."""
    from r2i.core.params import Cut, load_params
    from r2i.tools.exchange.distill import command
    from r2i.tools.exchange.export import export_table

    with explained():
        cut, style = Cut(), "paper"
        if params.is_file():
            profile = load_params(params).chosen
            cut, style = profile.drawing.cut, profile.row_style or style
        done = export_table(source, folder, form, cut, style)
    print(f"{done['rows']:,} rows in {folder}")
    for reason, count in done["left_out"].items():
        print(f"  left out: {count:,} {reason}")
    if start := command(form, folder):
        print(f"start, in that trainer's environment:\n  {start}")


def counts_text(about: dict[str, Any]) -> str:
    """Rows by status, then by reason."""
    lines = [f"{count:,} {status}" for status, count in sorted(about["status"].items())]
    for reason, count in sorted(about["reason"].items()):
        lines.append(f"  {count:,} {reason} (first: {about['first'][reason][0]})")
    return "\n".join(lines)
