"""`r2i`: what is done with a finished run, beside the pipeline."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from r2i.cli.bench import bench
from r2i.cli.benchmark import app as benchmark_app
from r2i.cli.card import app as card_app
from r2i.cli.compare import compare
from r2i.cli.cost import estimate
from r2i.cli.doctor import doctor
from r2i.cli.evaluate import app as evaluate_app
from r2i.cli.explore import explore
from r2i.cli.export import app as export_app
from r2i.cli.init import init
from r2i.cli.labs import app as labs_app
from r2i.cli.lineage import app as lineage_app
from r2i.cli.pool import app as pool_app
from r2i.cli.protocol import app as protocol_app
from r2i.cli.replies import app as replies_app
from r2i.cli.review import app as review_app
from r2i.cli.rows import app as rows_app
from r2i.cli.study import study
from r2i.core import paths
from r2i.core.errors import R2IError
from r2i.core.names import VIEWS
from r2i.core.stage import explained

if TYPE_CHECKING:
    from r2i.core.names import ModelNames
    from r2i.report.gather import Step

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
app.add_typer(replies_app, name="replies")
app.add_typer(rows_app, name="rows")
app.add_typer(pool_app, name="pool")
app.add_typer(review_app, name="review")
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(benchmark_app, name="benchmark")
app.add_typer(protocol_app, name="protocol")
app.command()(init)
app.command()(bench)
app.command()(compare)
app.command()(explore)
app.command()(estimate)
app.command()(doctor)
app.command()(study)
app.add_typer(lineage_app)
app.add_typer(card_app, name="card")
app.add_typer(export_app, name="export")
app.add_typer(labs_app)


@app.command("track")
def track_run(
    experiments: Annotated[
        list[str] | None, typer.Argument(help="Names from `dvc exp list`; the workspace unless told.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All experiments of this repository.")] = False,
) -> None:
    """Write the run that dvc.lock describes, or experiments, to MLflow. A server that is down is a warning."""
    from r2i.repo.git import list_experiments
    from r2i.tools.track import TrackingUnavailable, track, track_experiments

    with explained():
        names = [found.revision for found in list_experiments()] if every else experiments
        try:
            tracked = [track()] if names is None else track_experiments(names)
        except TrackingUnavailable as error:
            print(f"warning: the run was not tracked: {error}", file=sys.stderr)
            return
    for one in tracked:
        print(f"{'tracked' if one.new else 'already tracked'} {one.name} as run {one.run_id} in {one.uri}")
        if one.left_out:
            print(one.left_out)


@app.command("exps")
def experiments() -> None:
    """Print experiments of `dvc exp` side by side: the headline, and the params that differ."""
    from r2i.tools.track.table import read_experiments, table_text

    with explained():
        print("\n".join(table_text(read_experiments())))


@app.command()
def summary() -> None:
    """Print the funnel, the models side by side, and where the report is."""
    from r2i.core.params import load_params
    from r2i.repo.profile import read_run_or_none
    from r2i.report.gather import FUNNEL, read_funnel, read_metrics
    from r2i.score.asked import asked_words

    console = Console()
    with explained():
        run = read_run_or_none()
        metrics = {stage: paths.metrics(stage) for stage in (*FUNNEL, "evaluate")}
        own = {stage for stage, path in metrics.items() if run is None or run.owns(path)}
        steps = [step for step in read_funnel() if step.stage in own]
        scores = read_metrics("evaluate") if "evaluate" in own else {}
        line = run.left_out(metrics.values()) if run else ""
        if not steps and not scores:
            raise R2IError(line or "nothing has been run or scored here", "`make repro` runs the chosen profile")
        if steps:
            console.print(funnel_table(steps))
        if scores:
            models = load_params().model_names
            console.print(score_table(scores, models))
            console.print(gap_line(scores, models), soft_wrap=True)
            console.print(asked_words(scores), soft_wrap=True, highlight=False, markup=False)
        elif "evaluate" in own:
            console.print("no model was measured")
        if line:
            console.print(line, soft_wrap=True, highlight=False, markup=False)
    if paths.REPORT.is_file() and (run is None or run.owns(paths.REPORT)):
        console.print(f"report: {paths.REPORT.resolve()}", soft_wrap=True, highlight=False)
        console.print("every row: `r2i explore`, after `source .venv/bin/activate`; what to try next: README.md")


@app.callback()
def _root() -> None:
    """What is done with a finished run, beside the pipeline."""


def funnel_table(steps: "list[Step]") -> Table:
    """One line for each step: rows kept, rejected, failed, and the most common reason."""
    table = Table(title="From images to training rows", title_justify="left")
    table.add_column("stage")
    for name in ("kept", "rejected", "failed"):
        table.add_column(name, justify="right")
    table.add_column("")
    table.add_column("most often")
    for step in steps:
        reasons = sorted(step.reasons.items(), key=lambda pair: (-pair[1], pair[0]))
        often = f"{reasons[0][0].partition(': ')[2].replace('_', ' ')} ({reasons[0][1]:,})" if reasons else ""
        counts = [f"{step.status.get(name, 0):,}" for name in ("ok", "rejected", "failed")]
        table.add_row(step.stage, *counts, step.unit, often)
    return table


def score_table(scores: dict[str, Any], models: "ModelNames") -> Table:
    """Accuracy of every model in every view, with its 95 % interval."""
    from r2i.report.charts import ci, percent

    names = [name for name in models if name in scores["views"]["full"]]
    table = Table(title=f"{scores['items']:,} benchmark items", title_justify="left")
    table.add_column("view")
    for model in names:
        table.add_column(models.titles[model], justify="right")
    for view in [name for name in VIEWS if name in scores["views"]]:
        cells = scores["views"][view]
        table.add_row(view, *(f"{percent(cells[m]['accuracy'])} {ci(cells[m]['ci95'])}" for m in names))
    return table


def gap_line(scores: dict[str, Any], models: "ModelNames") -> str:
    """`zooming gap 45.2 → 12.1 points (change -33.1 [-36.0, -30.2]); full view +31.8 [...]`; of one model its gap."""
    from r2i.report.charts import ci, points

    gap = scores["gap"]
    values = [points(gap[name]).removeprefix("+") for name in models.leading if gap.get(name) is not None]
    lost = any((scores.get("failed") or {}).get(model, {}).get("crop") for model in models.leading)
    nothing = "no item was answered in both views" if lost else "no item has a crop"
    said = f"zooming gap {' → '.join(values)} points" if values else f"{nothing}: no zooming gap"
    if models.compared:
        gain = scores["full_gain"]
        change = f" (change {points(gap['change'])} {ci(gap['ci95'], True)})" if values else ""
        said += f"{change}; full view {points(gain['value'])} {ci(gain['ci95'], True)}"
    elif values:
        found = scores["gaps"][models.base]
        said += f" {ci(found['ci95'], True)}, n = {found['n']:,}"
    return said.replace("[", r"\[")


@app.command()
def readme(
    older: Annotated[bool, typer.Option("--older", help="Mark figures of older code, instead of refusing.")] = False,
) -> None:
    """Write the numbers into README.md and docs/measurements.md; refuse figures that older code measured."""
    from r2i.report.markdown import update_readme

    with explained():
        written = update_readme(older)
        print(f"written: {', '.join(map(str, written))}" if written else "README.md and docs are up to date")


if __name__ == "__main__":
    app()
