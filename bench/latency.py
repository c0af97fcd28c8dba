"""What zooming costs at inference: the full view (one glance) against the two-step zoom view, like for like.

    python bench/latency.py [MODEL] [ITEMS]

One model in process (models/mini unless told), the same ITEMS (100) rendered items in both views, asked as `evaluate`
asks them, in turns within one run, after a warm-up; image features are forgotten before every measurement, so that
each pays for its own. Writes bench/results/latency.json: `batch_1` (milliseconds an item), `throughput` (items a
second at several batch sizes), vision forwards and tokens an item, and zoom / full of each. The zoom view's box is
`oracle`: mini can't name one, and what is measured is the cost.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.result import note_code, write_result
from r2i.benchmark.rendered import render_items
from r2i.core.params import Cut, Evaluate, load_params
from r2i.endpoint.flow import run_jobs
from r2i.endpoint.local import LocalModel
from r2i.evaluate.plan import Ask, plan
from r2i.evaluate.predict import ask_job
from r2i.evaluate.views import Shelf

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "bench" / "results" / "latency.json"
VIEWS = ("full", "zoom")
BATCHES = (1, 8, 32)
COSTS = ("tokens_in", "tokens_out", "vision_forwards")
WARM_UP = 8  # items
THREADS = 2  # as params.Endpoint has it


def main(folder: str, count: int) -> None:
    import torch

    torch.set_num_threads(THREADS)
    code = note_code(profiles=["mini"], outs=["models/mini"])
    params = load_params(ROOT / "params.yaml").profiles["mini"]
    cfg = params.evaluate.model_copy(update={"views": list(VIEWS), "samples": 0})
    cut = params.drawing.cut
    items = render_items(count, params.drawing, seed=3)
    with tempfile.TemporaryDirectory() as scratch, Shelf(Path(scratch)) as shelf:
        asks = {view: [] for view in VIEWS}
        for item in items:
            for ask in plan(shelf.put(item), cfg, 0):
                asks[ask.view].append(ask)
        model = LocalModel(folder, max(BATCHES))
        for view in VIEWS:
            measure(model, asks[view][:WARM_UP], 1, cfg, cut)
            measure(model, asks[view][:WARM_UP], max(BATCHES), cfg, cut)
        found = {size: measure_in_turns(model, asks, size, cfg, cut) for size in BATCHES}
    result = {"model": folder, "items": count, "threads": THREADS, "device": str(model.model.device)}
    write_result(RESULT, result | describe(found), code)
    print(RESULT.read_text(encoding="utf-8"))


def measure_in_turns(
    model: LocalModel, asks: dict[str, list[Ask]], size: int, cfg: Evaluate, cut: Cut
) -> dict[str, tuple[list[float], list[dict[str, Any]]]]:
    """By view: seconds of each batch of `size` items, and all rows. The views take turns, batch by batch."""
    found: dict[str, tuple[list[float], list[dict[str, Any]]]] = {view: ([], []) for view in VIEWS}
    total = len(asks[VIEWS[0]])
    for number, at in enumerate(range(0, total, size)):
        for view in VIEWS if number % 2 == 0 else reversed(VIEWS):
            seconds, rows = measure(model, asks[view][at : at + size], size, cfg, cut)
            found[view][0].append(seconds)
            found[view][1].extend(rows)
    return found


def measure(
    model: LocalModel, asks: list[Ask], size: int, cfg: Evaluate, cut: Cut
) -> tuple[float, list[dict[str, Any]]]:
    """Seconds that the rows of `asks` take together, and the rows."""
    model.encoder.cache.clear()
    model.batch = size
    began = time.perf_counter()
    found = run_jobs([ask_job(model, "local", ask, cfg.zoom, cut) for ask in asks])
    seconds = time.perf_counter() - began
    return seconds, [row for rows in found for row in rows]


def describe(found: dict[int, dict[str, tuple[list[float], list[dict[str, Any]]]]]) -> dict[str, Any]:
    singles = {view: np.array(found[1][view][0]) * 1e3 for view in VIEWS}
    latency = {v: {"p50_ms": np.percentile(s, 50), "p95_ms": np.percentile(s, 95)} for v, s in singles.items()}
    rates = {
        str(size): {view: len(views[view][1]) / sum(views[view][0]) for view in VIEWS} for size, views in found.items()
    }
    costs = {view: {name: float(np.mean([row[name] for row in found[1][view][1]])) for name in COSTS} for view in VIEWS}
    return {
        "batch_1": {view: {name: float(value) for name, value in latency[view].items()} for view in VIEWS},
        "throughput": rates,
        "per_item": costs,
        "zoom_over_full": {
            "p50": float(latency["zoom"]["p50_ms"] / latency["full"]["p50_ms"]),
            "p95": float(latency["zoom"]["p95_ms"] / latency["full"]["p95_ms"]),
            "throughput": {size: rate["zoom"] / rate["full"] for size, rate in rates.items()},
            **{name: costs["zoom"][name] / costs["full"][name] for name in COSTS},
        },
    }


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "models/mini", int(sys.argv[2]) if len(sys.argv) > 2 else 100)
