"""A small run for the explorer: the made chain, a benchmark with predictions, and one answer that means harm."""

from pathlib import Path

from made_chain import write_chain_tables
from made_run import write_params

from r2i.core import paths
from r2i.core.catalogue import ANSWERS
from r2i.core.records import BENCHMARK, IMAGES, PREDICTIONS, REGIONS
from r2i.core.tables import Row, read_table, write_table

OK = {"status": "ok", "reason": ""}
CALL = {"model": "m", "endpoint": "local", "prompt_sha256": "", "sampling": "{}", "reply_key": ""}
HOSTILE = (
    "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>\0\u202etxet\u2066\U000e0041 "
    + "👩‍🔬 $\\frac{a}{b}$ " + "x" * 10_000 + "THE END"
)  # fmt: skip


def make_run(root: Path) -> None:
    """Tables in `root`, which must be the current directory."""
    write_params(root)
    write_chain_tables()
    answers = read_table(ANSWERS.folder, ANSWERS.schema, "answer")
    answers[0] |= {"reply": HOSTILE, "answer": HOSTILE[:60], "teacher": "<b>teacher</b>", "status": "failed",
                   "reason": "\"><script>window.pwned = 1</script>"}  # fmt: skip
    for number, row in enumerate(answers[1:9]):
        row["sample"] = number
    write_table(ANSWERS.folder, answers, ANSWERS.schema, shards=3)
    _make_benchmark()


def _make_benchmark() -> None:
    image = read_table(paths.IMAGES, IMAGES, "sample")[0]
    regions = [row for row in read_table(paths.REGIONS, REGIONS, "crop") if row["image_id"] == image["image_id"]]
    items: list[Row] = []
    for number, region in enumerate(regions[:2]):
        items.append({
            "item_id": f"item {number}/é", "image_id": image["image_id"], "cluster_id": "c", "image": image["image"],
            "crop": region["crop"], "boxed": image["image"], "crop_made": True, "box": region["box"],
            "question": f"which {number}?", "options": ["a", "b"], "answer": "a", "label": "A", "dimension": "color",
            "source": "rendered", "phash": "0" * 16, **OK,
        })  # fmt: skip
    write_table(paths.BENCHMARK, items, BENCHMARK)
    for model in ("base", "distilled"):
        rows = [
            {"prediction_id": f"p{n}{view}", **{k: item[k] for k in ("item_id", "image_id", "cluster_id", "source")},
             **{k: item[k] for k in ("dimension", "question", "options", "answer", "label")}, "view": view, "sample": 0,
             "reply": "A", "first_reply": "", "zoom_box": None, "predicted": "A", "rule": "letter",
             "correct": model == "distilled", "verdict": None, **CALL, "tokens_in": 5, "tokens_out": 1,
             "vision_forwards": 1, **OK}
            for n, item in enumerate(items) for view in ("full", "crop")
        ]  # fmt: skip
        write_table(paths.PREDICTIONS / model, rows, PREDICTIONS)
