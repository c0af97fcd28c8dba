"""Benchmarks -> items: the questions on which models are compared, in three views."""

import sys
from pathlib import Path

from r2i.core import paths, records
from r2i.core.left_out import leave_out
from r2i.core.metrics import require_ok, write_metrics
from r2i.core.params import load_params
from r2i.core.stage import run_stage
from r2i.core.tables import write_table

PARAMS = ("seed", "benchmark", "drawing")
SHARD_IMAGES = 64  # of a shard of items, in the mean: what a killed evaluation in process asks again at most


def main(params: Path = Path("params.yaml")) -> None:
    """Render held-out scenes, import published benchmarks, or both, and apply what people decided about them."""
    from r2i.benchmark.reviewed import review_items
    from r2i.benchmark.sources import REMEDIES, open_items
    from r2i.benchmark.views import describe
    from r2i.core.shards import cut_shards
    from r2i.review.decisions import read_and_warn

    loaded = load_params(params)
    if leave_out(loaded, "benchmark"):
        return
    cfg, drawing = loaded.chosen.benchmark, loaded.chosen.drawing
    with open_items(cfg, drawing, loaded.seed) as items:
        for warning in items.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        rows, review = review_items(items.rows, read_and_warn(paths.REVIEWED_ITEMS), drawing)
        require_ok(rows, "item", REMEDIES)
        cut = cut_shards(dict.fromkeys(row["image_id"] for row in rows), SHARD_IMAGES)
        write_table(paths.BENCHMARK, rows, records.BENCHMARK, cut)
        metrics = {**describe(rows), "sources": items.sources}
        write_metrics(paths.metrics("benchmark"), metrics | ({"review": review} if review else {}))


if __name__ == "__main__":
    run_stage(main)
