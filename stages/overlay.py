"""Put each kept question back on the full image, as multiple choice with the region's box drawn on it."""

from functools import partial
from pathlib import Path

from r2i.core import paths
from r2i.core.left_out import leave_out
from r2i.core.metrics import write_metrics
from r2i.core.params import load_params
from r2i.core.stage import run_stage

PARAMS = ("seed", "overlay", "drawing")


def main(params: Path = Path("params.yaml")) -> None:
    """Apply what people decided, write distractors, draw the box, drop what is too easy, write the training rows."""
    from r2i.core.shards import make_table
    from r2i.overlay.ask import OverlayWork
    from r2i.overlay.balance import limit_dimensions
    from r2i.overlay.reviewed import review_metrics
    from r2i.overlay.rows import require_held_out
    from r2i.overlay.unasked import UnaskedWork
    from r2i.review.decisions import read_and_warn

    loaded = load_params(params)
    if leave_out(loaded, "overlay"):
        return
    cfg = loaded.chosen.overlay
    limit = partial(limit_dimensions, most=cfg.per_dimension, tries=cfg.tries, seed=loaded.seed)
    if not cfg.answered:
        write_metrics(paths.metrics("overlay"), {**make_table(UnaskedWork, params, limit), "calls": {}})
        return
    decisions = read_and_warn(paths.REVIEWED_QUESTIONS)
    counts = make_table(OverlayWork, params, limit)
    require_held_out(cfg.held_out_dimensions, counts)
    calls = OverlayWork(loaded).call_metrics(counts)
    write_metrics(paths.metrics("overlay"), {**counts, "calls": calls, **review_metrics(decisions)})


if __name__ == "__main__":
    run_stage(main)
