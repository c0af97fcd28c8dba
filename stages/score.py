"""Compare every model with the base, view by view, with intervals."""

from collections.abc import Iterable
from pathlib import Path

from r2i.core import paths
from r2i.core.left_out import leave_out
from r2i.core.metrics import write_metrics
from r2i.core.params import load_params
from r2i.core.records import ATTENTION, BENCHMARK, PREDICTIONS
from r2i.core.stage import run_stage
from r2i.core.tables import Row, read_table

ITEM = ["item_id", "image_id", "cluster_id", "options", "dimension", "source", "group", "magnification", "status"]
PREDICTION = ["prediction_id", "item_id", "view", "sample", "rule", "correct", "status",
              "tokens_in", "tokens_out", "vision_forwards"]  # fmt: skip
LOOK = ["item_id", "cluster_id", "coverage", "box_share", "inclusive", "curve", "status"]
PARAMS = (
    "seed",
    "models",
    "evaluate.bootstrap",
    "evaluate.protocol",
    "evaluate.protocol_sha256",
    "evaluate.judge",
    "benchmark.contamination_bits",
    "train.rows",
)


def main(params: Path = Path("params.yaml")) -> None:
    """Score the predictions of all models that params name.

    Attention and contamination are null where their tables are missing: a benchmark may be scored without them.
    """
    from r2i.core.contamination import contamination
    from r2i.evaluate.protocol import describe_protocol, open_protocol
    from r2i.importing.digest import checked_folder
    from r2i.score.compare import compare
    from r2i.score.coverage import compare_coverage
    from r2i.score.macro import macro_averages
    from r2i.score.magnification import stratum_of
    from r2i.score.replies import describe_replies
    from r2i.score.scores import collect_scores
    from r2i.score.split import split_gap

    run = load_params(params)
    if leave_out(run, "score"):
        return
    draws = run.chosen.evaluate.bootstrap
    items = [
        item | {"magnification": stratum_of(item["magnification"])}
        for item in read_table(paths.BENCHMARK, BENCHMARK, "benchmark", ITEM)
    ]
    predictions = {
        model: read_table(paths.PREDICTIONS / model, PREDICTIONS, f"evaluate@{model}", PREDICTION)
        for model in run.model_names
    }
    scores = collect_scores(items, predictions, draws, run.seed)
    bits = run.chosen.benchmark.contamination_bits
    rows = run.chosen.train.rows if run.chosen.has("train") else None
    judge = run.chosen.evaluate.judge
    found = {
        "protocol": describe_protocol(open_protocol(run.chosen.evaluate)),
        "judge": judge.endpoint.model if judge else None,
        **compare(scores),
        **split_gap(scores),
        "macro": macro_averages(scores),
        **describe_replies(predictions),
        "coverage": compare_coverage(read_attention(run.model_names.leading), draws, run.seed),
        "contamination": contamination(run, bits, checked_folder(rows) if rows else None),
        "seeds": {"run": run.seed, "bootstrap_draws": draws},
    }
    write_metrics(paths.metrics("evaluate"), found)


def read_attention(models: Iterable[str]) -> dict[str, list[Row]]:
    """Rows of those models whose attention was measured; {} where none was (evaluate.attention is null)."""
    folders = {model: paths.ATTENTION / model for model in models}
    return {
        model: read_table(folder, ATTENTION, f"evaluate@{model}", LOOK, allow_empty=True)
        for model, folder in folders.items()
        if folder.is_dir()
    }


if __name__ == "__main__":
    run_stage(main)
