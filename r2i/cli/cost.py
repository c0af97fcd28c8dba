"""`r2i estimate`: what a run will ask and take, before it is paid for."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from r2i.core import paths
from r2i.core.errors import R2IError
from r2i.core.stage import explained

if TYPE_CHECKING:
    from r2i.core.params import Params, Profile
    from r2i.tools.cost import Funnel, Line, Metrics, Scale


def estimate(
    images: Annotated[
        int | None, typer.Option(min=1, help="How many images; params' sample.images unless told.")
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, help="How many train rows there are to be: says how many images they take.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0, help="What calls may cost, in the currency of prices: says what it buys.")
    ] = None,
    params: Path = Path("params.yaml"),
) -> None:
    """Print the calls, tokens, cost, time and GPUs that the chosen profile will take, before it takes them."""
    from r2i.core.params import load_params
    from r2i.endpoint.ledger import CALL_LOG
    from r2i.tools.cost import estimate as estimate_calls
    from r2i.tools.cost import read_funnel, read_metrics
    from r2i.tools.replies.stats import read_call_log
    from r2i.train.openrlhf.cost import ROWS_PER_IMAGE

    console = Console(soft_wrap=True, highlight=False, markup=False)
    with explained():
        loaded = load_params(params)
        metrics = read_metrics(loaded)
        funnel = read_funnel(metrics, ROWS_PER_IMAGE)
        scale = choose_scale(loaded, images, rows, budget, funnel, metrics)
        lines = estimate_calls(loaded, scale, metrics, read_call_log(paths.reply_store().parent / CALL_LOG))
        Console().print(lay_out(lines, scale))
        for text in _notes(loaded, scale, budget, funnel):
            console.print(text)
        for text in _training(loaded, scale, funnel, rows):
            console.print(text)


def choose_scale(
    params: "Params", images: int | None, rows: int | None, budget: float | None, funnel: "Funnel", metrics: "Metrics"
) -> "Scale":
    """Raises R2IError where options contradict each other or the profile."""
    from r2i.tools.cost import Scale, images_for, images_within

    profile, items = params.chosen, count_items(params.chosen, metrics)
    if not profile.has("overlay"):
        if budget is not None or (rows and not profile.has("train")):
            raise R2IError("the chosen profile makes no rows", "leave --rows and --budget out, or add its sections")
        known = rows or (_count_rows(profile) if profile.has("train") else 0)
        return Scale(images or (profile.sample.images if profile.has("sample") else 0), known, items)
    if budget is not None and (images or rows):
        raise R2IError("--budget says how many images and rows it buys", "leave --images and --rows out")
    if budget is not None:
        images = images_within(params, budget, funnel, items, metrics)
    elif rows and not images:
        images = images_for(rows, funnel)
    count = images or profile.sample.images
    return Scale(count, rows or count * funnel.rows_per_image, items)


def _count_rows(profile: "Profile") -> int:
    """Of `train.rows`: those that are trained on."""
    from r2i.core.records import OK, TRAIN
    from r2i.core.tables import read_table

    if profile.train.rows is None:
        return 0
    table = paths.here_or_main(Path(profile.train.rows.path))
    if not table.is_dir():
        raise R2IError(f"no train rows in {table}", "say how many there will be (--rows), or `r2i rows import` them")
    return sum(row["status"] == OK for row in read_table(table, TRAIN, "overlay", columns=["status"]))


def count_items(profile: "Profile", metrics: "Metrics") -> int:
    """Items of the benchmark: of the last run, else of params, else as many as were published; 0: not known."""
    from r2i.benchmark.importers import IMPORTERS

    if done := metrics.get("benchmark", {}).get("status", {}).get("ok"):
        return int(done)
    count = 0
    for source in profile.benchmark.sources if profile.has("benchmark") else []:
        importer = IMPORTERS.get(source.kind)
        published = max((one["rows"] for one in importer.published), default=0) if importer else 0
        count += min(source.items or published, published or source.items or 0)
    return count


def _notes(params: "Params", scale: "Scale", budget: float | None, funnel: "Funnel") -> Iterator[str]:
    """What the figures hold for, and what they leave out."""
    from r2i.tools.cost import START_S, server_starts, unpriced

    missing = unpriced(params)
    if starts := server_starts(params):
        count = sum(map(len, starts.values()))
        yield (
            f"servers that r2i starts: {count} starts, about {count * START_S / 60:,.0f} minutes at {START_S:.0f} s "
            f"each, a guess ({', '.join(f'{stage} {len(ends)}' for stage, ends in starts.items())})"
        )
    if budget is not None:
        yield f"{budget:,.2f} buys about {scale.images:,.0f} images, {scale.rows:,.0f} train rows"
    if missing:
        yield f"without a price, so in no sum: {', '.join(missing)}"
    if params.chosen.has("overlay"):
        yield f"{funnel.rows_per_image:.2g} train rows an image: {funnel.source}"
    if params.evaluated and not scale.items:
        yield "how many items the benchmark has is not known before `dvc repro benchmark`: evaluations count as 0"


def _training(params: "Params", scale: "Scale", funnel: "Funnel", rows: int | None) -> Iterator[str]:
    from r2i.train.estimate import estimate_training

    runs = params.model_names.runs
    if not runs:
        return
    known = rows or (round(scale.rows) if funnel.measured or params.chosen.train.rows else None)
    yield from estimate_training(params.chosen.train, round(scale.images), known, tuple(runs))


def lay_out(lines: "list[Line]", scale: "Scale") -> Table:
    """One line for each stage and model, and the sums. A figure that nobody knows is a dash."""
    from r2i.tools.cost import total_cost

    title = f"{scale.images:,.0f} images, {scale.rows:,.0f} train rows, {scale.items:,.0f} benchmark items"
    table = Table(title=title, title_justify="left")
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
    sums = (sum(getattr(line, name) for line in lines) for name in ("requests", "samples", "tokens_in", "tokens_out"))
    table.add_row("all", "", *(f"{value:,.0f}" for value in sums), _money(total_cost(lines)), "", "")
    return table


def _money(cost: float | None) -> str:
    return "-" if cost is None else f"{cost:,.2f}"


def _hours(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds / 3600:,.1f}"
