"""`r2i review`: people accept, fix or reject rows."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from r2i.core import paths
from r2i.core.stage import explained

if TYPE_CHECKING:
    from collections.abc import Callable

    from r2i.pages.review.desk import Desk
    from r2i.review.decisions import Frame

app = typer.Typer(name="review", no_args_is_help=True, help=__doc__)
Of = Literal["trained", "untrained", "voted"]
Count = Annotated[int, typer.Option(min=1, help="How many rows, chosen over the strata by their sizes' square roots.")]
PerStratum = Annotated[bool, typer.Option("--per-stratum", help="So many of each stratum instead.")]
Seed = Annotated[int, typer.Option(help="Which ones. Reviewers of one queue need the same seed and count.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")]
Host = Annotated[str, typer.Option(help="Address to listen on; others than this machine's need --expose.")]
Expose = Annotated[bool, typer.Option("--expose", help="Let other machines in: there are no passwords.")]
AllowHost = Annotated[list[str] | None, typer.Option("--allow-host", help="A name that browsers may call it by.")]
Reviewer = Annotated[str, typer.Option(help="Who reviews, where nobody says so on the page.")]
Params = Annotated[Path, typer.Option(help="For the pools of images.")]
PORT = 8711


@app.callback()
def _root() -> None:
    """People accept, fix or reject rows."""


@app.command()
def questions(
    count: Count = 200,
    seed: Seed = 0,
    per_stratum: PerStratum = False,
    of: Annotated[
        Of, typer.Option(help="Of what the vote kept: the train rows' questions, the others, or all.")
    ] = "trained",
    port: Port = PORT,
    host: Host = "127.0.0.1",
    expose: Expose = False,
    allow_host: AllowHost = None,
    reviewer: Reviewer = "",
    params: Params = Path("params.yaml"),
) -> None:
    """Review questions, answers and boxes before they become train rows; `dvc repro overlay` applies it."""
    with explained():
        _serve(lambda: _desk(of, count, seed, per_stratum, params, reviewer), port, host, expose, allow_host)


@app.command()
def items(
    count: Count = 200,
    seed: Seed = 0,
    per_stratum: PerStratum = False,
    port: Port = PORT,
    host: Host = "127.0.0.1",
    expose: Expose = False,
    allow_host: AllowHost = None,
    reviewer: Reviewer = "",
    params: Params = Path("params.yaml"),
) -> None:
    """Review the benchmark's items; `dvc repro benchmark` applies it."""
    with explained():
        _serve(lambda: _desk("items", count, seed, per_stratum, params, reviewer), port, host, expose, allow_host)


@app.command()
def status(
    of: Annotated[Literal["trained", "untrained", "voted", "items"], typer.Option(help="Of which review.")] = "trained",
    count: Count = 200,
    seed: Seed = 0,
    per_stratum: PerStratum = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    params: Params = Path("params.yaml"),
) -> None:
    """How far the review got, how far people agree, and what labels are worth that nobody looked at."""
    from r2i.core.metrics import rounded
    from r2i.pages.review.status import status_of

    with explained():
        found = status_of(_desk(of, count, seed, per_stratum, params, ""))
    if as_json:
        print(json.dumps(rounded(found), indent=2, sort_keys=True, ensure_ascii=False))
        return
    console = Console(highlight=False)
    console.print(status_table(found))
    for line in status_lines(found):
        console.print(Text(line))


@app.command()
def check(
    files: Annotated[list[Path] | None, typer.Argument(help="The two of this repository unless told.")] = None,
) -> None:
    """Read the files of decisions line by line; exit with 1 where a line is no decision."""
    from r2i.review.decisions import read_decisions

    bad = 0
    for path in files or [paths.REVIEWED_QUESTIONS, paths.REVIEWED_ITEMS]:
        found = read_decisions(path)
        print(f"{path}: {len(found.all):,} decisions, {len(found.standing()):,} stand")
        for line in found.bad:
            print(f"  {line}")
        if found.torn:
            print("  the last line is half a one: the next decision is written below it; delete it when you like")
        bad += len(found.bad)
    raise typer.Exit(1 if bad else 0)


def status_table(found: dict[str, Any]) -> Table:
    """Rows of the queue by stratum."""
    queue = found["queue"]
    table = Table(title=f"{queue['closed']:,} of {queue['rows']:,} rows are closed", title_justify="left")
    table.add_column("stratum")
    for name in ("rows", "begun", "closed"):
        table.add_column(name, justify="right")
    for name, counts in queue["strata"].items():
        table.add_row(Text(name), *(f"{counts[key]:,}" for key in ("rows", "begun", "closed")))
    return table


def status_lines(found: dict[str, Any]) -> list[str]:
    """What came out, a line each."""
    review = found["review"]
    states = ("accepted", "fixed", "rejected", "disputed", "open")
    lines = [f"{', '.join(f'{review[name]:,} {name}' for name in states)}; {review['stale']:,} stale decisions"]
    lines.append(f"accepted as they were: {_share(review['acceptance'])}")
    lines.append(f"labels that are right among the unreviewed: {_share(review['precision_unreviewed'])}")
    if review["alpha"]:
        lines.append(f"Krippendorff's alpha {_number(review['alpha'])}")
    lines += [f"Cohen's kappa of {pair}: {_number(one)}" for pair, one in review["kappa"].items()]
    lines += [f"{name}: {one['decisions']:,} decisions" for name, one in found["reviewers"].items()]
    return lines + [f"not a decision: {line}" for line in found["bad"]]


def _share(one: dict[str, Any] | None) -> str:
    if one is None:
        return "not known yet"
    low, high = one["ci95"]
    return f"{one['value']:.1%} ({low:.1%} to {high:.1%}), n = {one['n']:,}"


def _number(one: dict[str, Any]) -> str:
    return f"{'-' if one['value'] is None else format(one['value'], '.2f')} on {one['n']:,} rows"


def _desk(frame: "Frame", count: int, seed: int, per_stratum: bool, params: Path, reviewer: str) -> "Desk":
    from r2i.core.params import load_params
    from r2i.pages.review.desk import Desk
    from r2i.pages.review.rows import Items, Questions

    if frame == "items":
        return Desk(Items(), count, seed, per_stratum, reviewer)
    return Desk(Questions(frame, load_params(params)), count, seed, per_stratum, reviewer)


def _serve(desk: "Callable[[], Desk]", port: int, host: str, expose: bool, allow_host: list[str] | None) -> None:
    from r2i.pages.review.app import review_app
    from r2i.pages.web.serve import end_process, serve

    serve(lambda: review_app(desk(), allow_host or ()), host, port, expose=expose)
    end_process()
