"""`r2i evaluate export`: what was evaluated, in another tool's form."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from r2i.core import paths
from r2i.core.stage import explained


class Format(StrEnum):
    lmms = "lmms"


def export(
    folder: Annotated[Path, typer.Argument(metavar="DST", help="Folder to write; its parts are replaced.")],
    format: Annotated[Format, typer.Option("--format", help="For which tool.")] = Format.lmms,
    model: Annotated[str | None, typer.Option(help="Whose predictions; the second in params unless told.")] = None,
    params: Annotated[Path, typer.Option(help="For the prompts and the length of replies.")] = Path("params.yaml"),
) -> None:
    """Write results and tasks for lmms-eval: DST/results, and DST/tasks for its --include_path."""
    from r2i.core.params import load_params
    from r2i.core.records import BENCHMARK, PREDICTIONS
    from r2i.core.tables import iter_rows, read_table
    from r2i.tools.exports.lmms import write_tasks
    from r2i.tools.exports.lmms_results import write_results

    with explained():
        run = load_params(params)
        cfg, model = run.chosen.evaluate, model or run.model_names.compared
        rows = read_table(paths.PREDICTIONS / model, PREDICTIONS, f"evaluate@{model}")
        written = write_tasks(folder / "tasks", iter_rows(paths.BENCHMARK, BENCHMARK, "benchmark"), cfg)
        date = f"{datetime.now(UTC):%Y%m%d_%H%M%S}"
        files = write_results(folder / "results", model, rows, written["full"], cfg, date)
    for file in files:
        print(file)
    tasks = ", ".join(f"r2i_{view} ({len(ids):,} items)" for view, ids in written.items())
    print(f"tasks for `lmms-eval --include_path {folder / 'tasks'}`: {tasks}")
