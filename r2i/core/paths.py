"""Where things lie, relative to the repository's root (DVC runs every stage there)."""

import os
from pathlib import Path

CODE = Path("data/code")  # <stage>.txt: what the stage depends on, by meaning
IMAGES = Path("data/sample/images")
TRUTH = Path("data/truth/things")  # rendered pools only; read by `audit` and nothing before it
REGIONS = Path("data/crop/regions")
QUESTIONS = Path("data/question/questions")
ANSWERS = Path("data/answer/answers")
VOTES = Path("data/vote/votes")
TRAIN = Path("data/overlay/train")
TRAIN_LOGS = Path("data/train")  # <run>.json, one line a step
BENCHMARK = Path("data/benchmark/items")
PREDICTIONS = Path("data/evaluate")  # <model>/ is a table
ATTENTION = Path("data/attention")  # <model>/ is a table
REVIEWED_QUESTIONS = Path("data/review/questions.jsonl")  # people's decisions, kept in git; read by `overlay`
REVIEWED_ITEMS = Path("data/review/items.jsonl")  # the same of benchmark items; read by `benchmark`
BENCHMARKS = Path("data/benchmarks")  # <name>/ is a benchmark that `r2i benchmark build` made
REPORT = Path("data/report/report.html")
MODELS = Path("models")


def metrics(stage: str) -> Path:
    return Path("metrics") / f"{stage}.json"


def main_workspace() -> Path:
    """The repository that keeps state between runs: `dvc exp run --temp` runs elsewhere and names it in $DVC_ROOT."""
    return Path(os.environ.get("DVC_ROOT") or ".")


def state_folder() -> Path:
    """What no commit holds and all runs share: replies, logs, hashes, finished images, the MLflow database."""
    return main_workspace() / ".r2i"
