"""A small run for the explorer: tables, a benchmark with predictions, and one answer that means harm."""

from pathlib import Path

from made_rows import make_row, prediction_row
from made_run import make_teaching, write_params, write_teaching

from r2i.core import paths
from r2i.core.catalogue import ANSWERS
from r2i.core.records import BENCHMARK, PREDICTIONS
from r2i.core.tables import Row, write_table

HOSTILE = (
    "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>\0\u202etxet\u2066\U000e0041 "
    + "👩‍🔬 $\\frac{a}{b}$ " + "x" * 10_000 + "THE END"
)  # fmt: skip


def make_explored(root: Path) -> None:
    """Tables in `root`, which must be the current directory."""
    write_params(root)
    rows = make_teaching(3)
    write_teaching(rows)
    answers = sorted(rows["answer"], key=lambda row: row["answer_id"])
    answers[0] |= {"reply": HOSTILE, "answer": HOSTILE[:60], "teacher": "<b>teacher</b>", "status": "failed",
                   "reason": "\"><script>window.pwned = 1</script>"}  # fmt: skip
    for number, row in enumerate(answers[1:9]):
        row["sample"] = number
    write_table(ANSWERS.folder, answers, ANSWERS.schema, shards=3)
    _make_benchmark(rows)


def _make_benchmark(rows: dict[str, list[Row]]) -> None:
    image = min(rows["sample"], key=lambda row: row["image_id"])
    regions = [row for row in rows["crop"] if row["image_id"] == image["image_id"]]
    items = [
        make_row(
            BENCHMARK, image, region, item_id=f"item {number}/é", cluster_id="c", boxed=image["image"], crop_made=True,
            question=f"which {number}?", options=["a", "b"], answer="a", label="A", dimension="color",
            source="rendered", phash="0" * 16,
        )
        for number, region in enumerate(sorted(regions, key=lambda row: row["region_id"])[:2])
    ]  # fmt: skip
    write_table(paths.BENCHMARK, items, BENCHMARK)
    for model in ("base", "distilled"):
        predictions = [
            prediction_row(item, "A", view, prediction_id=f"p{n}{view}", predicted="A", rule="letter",
                           correct=model == "distilled", model="m", endpoint="local", sampling="{}")
            for n, item in enumerate(items) for view in ("full", "crop")
        ]  # fmt: skip
        write_table(paths.PREDICTIONS / model, predictions, PREDICTIONS)
