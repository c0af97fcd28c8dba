"""Ask one model the benchmark in every view, and grade its replies."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from r2i import paths
from r2i.metrics import count_statuses, write_metrics
from r2i.params import Endpoint, load_params
from r2i.records import BENCHMARK, PREDICTIONS
from r2i.stage import run_stage
from r2i.tables import iter_rows, write_table


class Name(StrEnum):
    base = "base"
    distilled = "distilled"
    sft = "sft"


def main(
    model: Annotated[Name, typer.Option(help="Which model.")],
    params: Path = Path("params.yaml"),
) -> None:
    """Evaluate a model: greedy in every view, sampled in the full view."""
    from r2i.endpoint import connect
    from r2i.endpoint.ledger import Ledger
    from r2i.evaluate.predict import find_model, predict, summarise

    run = load_params(params)
    cfg, ledger = run.chosen.evaluate, Ledger()
    items = iter_rows(paths.BENCHMARK, BENCHMARK, "benchmark")
    local = Endpoint(kind="local", model=find_model(model, run.chosen.train.base), batch=cfg.batch)
    with connect(local) as student:
        rows = predict(student, items, cfg, run.seed, ledger)
    write_table(paths.PREDICTIONS / model, rows, PREDICTIONS)
    found = {**count_statuses(rows), **summarise(rows), "calls": ledger.metrics()}
    write_metrics(paths.metrics(f"evaluate-{model}"), found)


if __name__ == "__main__":
    run_stage(main)
