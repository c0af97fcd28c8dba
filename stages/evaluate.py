"""Ask one model the benchmark in every view, score its replies, and measure where it looks."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from r2i.core import paths
from r2i.core.errors import ParamsError
from r2i.core.left_out import leave_out
from r2i.core.metrics import write_metrics
from r2i.core.params import Evaluate, load_params
from r2i.core.records import ATTENTION, BENCHMARK, PREDICTIONS
from r2i.core.stage import run_stage
from r2i.core.tables import Row, iter_rows, write_table

if TYPE_CHECKING:
    from r2i.endpoint.base import Model

PARAMS = ("seed", "models.{model}.from", "evaluate", "drawing.cut", "train.base")


def main(
    model: Annotated[str, typer.Option(help="Which of `models` in params.")],
    params: Path = Path("params.yaml"),
) -> None:
    """Evaluate a model: greedy in every view, sampled in some; rules score, then the judge where there is one."""
    from r2i.endpoint import connect
    from r2i.endpoint.ledger import Ledger
    from r2i.evaluate.engines import choose_endpoint
    from r2i.evaluate.predict import predict
    from r2i.evaluate.summary import summarise
    from r2i.grading.judged import judge_rows

    run = load_params(params)
    if model not in run.models:
        known = ", ".join(run.models)
        raise ParamsError(f"no model {model!r} is registered", f"add it to `models` in {params}; there are: {known}")
    if leave_out(run, f"evaluate@{model}"):
        return
    cfg, ledger = run.chosen.evaluate, Ledger()
    base = run.chosen.train.base if run.chosen.has("train") else ""
    endpoint = choose_endpoint(model, run.models[model], cfg, base)
    items = iter_rows(paths.BENCHMARK, BENCHMARK, "benchmark")
    with connect(endpoint) as student:
        rows = predict(student, items, cfg, run.chosen.drawing.cut, run.seed, ledger, endpoint.kind)
        looks = list(measure_attention(student, rows, cfg))
    judged: dict[str, Any] | None = None
    if cfg.judge:
        with connect(cfg.judge.endpoint) as judge:
            rows, judged = judge_rows(rows, judge, cfg.judge, run.seed, asked := Ledger())
        asked.require_replies(f"evaluate@{model}", len(rows))
        ledger.include(asked)
    write_table(paths.PREDICTIONS / model, rows, PREDICTIONS)
    write_table(paths.ATTENTION / model, looks, ATTENTION)
    found = {**summarise(rows), "judge": judged, "attention": summarise_looks(looks), "calls": ledger.metrics()}
    write_metrics(paths.metrics(f"evaluate-{model}"), found)


def measure_attention(student: "Model", rows: Iterable[Row], cfg: Evaluate) -> Iterable[Row]:
    """Rows of ATTENTION where params ask for it and the model is in process; a server shows no attention."""
    from r2i.evaluate.views import prompt_of

    if cfg.attention is None or student.loaded is None:
        return []
    from r2i.evaluate.attention import attention_rows

    said = {row["item_id"]: row["reply"] for row in rows if row["view"] == "full" and row["sample"] == 0}
    return attention_rows(
        *student.loaded, iter_rows(paths.BENCHMARK, BENCHMARK, "benchmark"), cfg.attention,
        prompt_of=lambda item: prompt_of(item, "full", cfg.prompts),
        reply_of=lambda item: said.get(item["item_id"], ""),
    )  # fmt: skip


def summarise_looks(looks: list[Row]) -> dict[str, Any] | None:
    """Null where attention was not measured."""
    if not looks:
        return None
    from r2i.evaluate.attention import summarise_attention

    return summarise_attention(looks)


if __name__ == "__main__":
    run_stage(main)
