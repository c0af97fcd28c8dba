"""Where things lie, relative to the repository's root (DVC runs every stage there)."""

from pathlib import Path

IMAGES = Path("data/sample/images")
TRUTH = Path("data/truth/things")  # rendered pools only; read by `audit` and nothing before it
REGIONS = Path("data/crop/regions")
QUESTIONS = Path("data/question/questions")
ANSWERS = Path("data/answer/answers")
VOTES = Path("data/vote/votes")
TRAIN = Path("data/overlay/train")
TRAIN_LOGS = Path("data/train")  # <run>.jsonl, one line a step
BENCHMARK = Path("data/benchmark/items")
PREDICTIONS = Path("data/evaluate")  # <model>/ is a table
REPORT = Path("data/report/report.html")
MODELS = Path("models")


def metrics(stage: str) -> Path:
    return Path("metrics") / f"{stage}.json"
