"""Images -> regions: find small objects, keep the boxes that fit the rules, cut their crops."""

import sys
from functools import partial
from pathlib import Path

from r2i.core import paths
from r2i.core.left_out import leave_out
from r2i.core.metrics import write_metrics
from r2i.core.params import load_params
from r2i.core.stage import run_stage

PARAMS = ("seed", "crop", "drawing.cut")


def main(params: Path = Path("params.yaml")) -> None:
    """Find regions in every image that `sample` kept; the teacher, where there is one, lists the objects first."""
    from r2i.core.shards import make_table
    from r2i.crop.run import CropWork, require_regions, summarise, warnings_of

    loaded = load_params(params)
    if leave_out(loaded, "crop"):
        return
    work, crop = CropWork(loaded), loaded.chosen.crop
    counts = make_table(CropWork, params, partial(require_regions, params=crop))
    for warning in warnings_of(counts, crop):
        print(f"warning: {warning}", file=sys.stderr)
    calls = work.call_metrics(counts)
    write_metrics(paths.metrics("crop"), {**summarise(counts), **({"calls": calls} if work.endpoints() else {})})


if __name__ == "__main__":
    run_stage(main)
