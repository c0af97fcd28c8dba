"""Compare base and distilled, view by view, with intervals."""

from pathlib import Path

from r2i import paths
from r2i.metrics import write_metrics
from r2i.params import load_params
from r2i.records import BENCHMARK, PREDICTIONS
from r2i.stage import run_stage
from r2i.tables import read_table

ITEM = ["item_id", "image_id", "options", "dimension", "status"]
MODELS = ("base", "distilled", "sft")
PREDICTION = ["prediction_id", "item_id", "view", "sample", "correct", "status"]


def main(params: Path = Path("params.yaml")) -> None:
    """Score the predictions of base, distilled and the SFT control."""
    from r2i.score.compare import collect_scores, compare, pass_curve

    run = load_params(params)
    items = read_table(paths.BENCHMARK, BENCHMARK, "benchmark", ITEM)
    predictions = {
        model: read_table(paths.PREDICTIONS / model, PREDICTIONS, f"evaluate@{model}", PREDICTION) for model in MODELS
    }
    scores = collect_scores(items, predictions, run.chosen.evaluate.bootstrap, run.seed)
    passed = {model: pass_curve(rows) for model, rows in predictions.items()}
    write_metrics(paths.metrics("evaluate"), {**compare(scores), "pass_at_k": passed})


if __name__ == "__main__":
    run_stage(main)
