"""`r2i estimate`: what a run will ask and take, before it is paid for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from r2i.core import paths
from r2i.core.stage import explained

if TYPE_CHECKING:
    from r2i.tools.cost import Line


def estimate(
    images: Annotated[
        int | None, typer.Option(min=1, help="How many images; params' sample.images unless told.")
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, help="How many rows `train` gets; guessed from the images unless told.")
    ] = None,
    params: Path = Path("params.yaml"),
) -> None:
    """Print the calls, tokens, cost, time and GPUs that the chosen profile will take, before it takes them."""
    from r2i.core.params import load_params
    from r2i.endpoint.ledger import CALL_LOG
    from r2i.tools.cost import estimate as estimate_calls
    from r2i.tools.cost import read_metrics
    from r2i.tools.replies.stats import read_call_log
    from r2i.train.estimate import estimate_training

    with explained():
        profile = load_params(params).chosen
        count = images or profile.sample.images
        history = read_call_log(paths.reply_store().parent / CALL_LOG)
        lines = estimate_calls(profile, count, read_metrics(), history)
        Console().print(lay_out(lines, count) if lines else "no model is asked to make rows")
        for line in estimate_training(profile.train, count, rows) if profile.has("train") else ():
            print(line)


def lay_out(lines: "list[Line]", images: int) -> Table:
    """One line for each stage and model, and the sums. A figure that nobody knows is a dash."""
    table = Table(title=f"{images:,} images", title_justify="left")
    for name in ("stage", "model"):
        table.add_column(name)
    for name in ("requests", "samples", "tokens in", "tokens out", "cost", "hours"):
        table.add_column(name, justify="right")
    table.add_column("from")
    for line in lines:
        counts = (line.requests, line.samples, line.tokens_in, line.tokens_out)
        cells = [*(f"{value:,.0f}" for value in counts), _money(line.cost), _hours(line.seconds)]
        table.add_row(line.stage, line.model, *cells, "last run" if line.sampled else "params")
    table.add_section()
    columns = list(zip(*((li.requests, li.samples, li.tokens_in, li.tokens_out) for li in lines), strict=True))
    known = [line.cost for line in lines if line.cost is not None]
    total = [f"{sum(column):,.0f}" for column in columns]
    table.add_row("all", "", *total, _money(sum(known) if known else None), "", "")
    return table


def _money(cost: float | None) -> str:
    return "-" if cost is None else f"{cost:,.2f}"


def _hours(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds / 3600:,.1f}"
