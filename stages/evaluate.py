"""Ask one model the benchmark in every view, score its replies, and measure where it looks."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from r2i.core import paths
from r2i.core.errors import ParamsError
from r2i.core.left_out import leave_out
from r2i.core.metrics import write_metrics
from r2i.core.params import load_params
from r2i.core.records import ATTENTION, BENCHMARK, PREDICTIONS
from r2i.core.stage import run_stage
from r2i.core.tables import Row, read_table, write_table

PARAMS = ("seed", "models.{model}.from", "evaluate", "benchmark.sources", "drawing.cut", "train.base")


def main(
    model: Annotated[str, typer.Option(help="Which of `models` in params.")],
    params: Path = Path("params.yaml"),
) -> None:
    """Evaluate a model: greedy in every view, sampled in some; rules score, then the judge where there is one."""
    from r2i.core.shards import Counts, make_table, sum_counts
    from r2i.endpoint.ledger import Ledger
    from r2i.evaluate.looks import measure_looks
    from r2i.evaluate.predict import EvaluateWork, judge_table, require_replies
    from r2i.evaluate.protocol import describe_protocol
    from r2i.evaluate.summary import summarise
    from r2i.evaluate.views import PROMPTED, check_prompts

    run = load_params(params)
    if model not in run.models:
        known = ", ".join(run.models)
        raise ParamsError(f"no model {model!r} is registered", f"add it to `models` in {params}; there are: {known}")
    if leave_out(run, f"evaluate@{model}"):
        return
    cfg, ledger = run.chosen.evaluate, Ledger()
    work, judged = EvaluateWork(model, run), None
    check_prompts(read_table(paths.BENCHMARK, BENCHMARK, "benchmark", PROMPTED), cfg, work.protocol)

    def judge(folder: Path, counts: dict[str, Counts]) -> None:
        nonlocal ledger, judged
        total = sum_counts(counts.values())
        require_replies(total)
        ledger = work.ledger(total)
        if cfg.judge:
            judged = judge_table(folder, cfg.judge, run.seed, asked := Ledger())
            asked.require_replies(f"evaluate@{model}", total["rows"])
            ledger.include(asked)

    make_table(partial(EvaluateWork, model), params, judge)
    rows = read_table(paths.PREDICTIONS / model, PREDICTIONS, f"evaluate@{model}")
    looks = measure_looks(work, rows)
    write_table(paths.ATTENTION / model, looks, ATTENTION)
    found = {
        "protocol": describe_protocol(work.protocol),
        **summarise(rows),
        "judge": judged,
        "attention": summarise_looks(looks),
        "calls": ledger.metrics(),
    }
    write_metrics(paths.metrics(f"evaluate-{model}"), found)


def summarise_looks(looks: list[Row]) -> dict[str, Any] | None:
    """Null where attention was not measured."""
    if not looks:
        return None
    from r2i.evaluate.attention import summarise_attention

    return summarise_attention(looks)


if __name__ == "__main__":
    run_stage(main)
