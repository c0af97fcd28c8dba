"""What zooming costs at inference: the full view (one glance) against the zoom view, like for like.

    python bench/latency.py [MODEL] [ITEMS] [--endpoint URL] [--side PIXELS] [--tokens N] [--turns N] [--out FILE]

MODEL (models/mini unless told) in process or, with --endpoint, behind a server that calls it so; ITEMS (100)
rendered items in both views, asked as `evaluate` asks them, in turns within one run, after a warm-up. Each measurement
has items of its own, so that no server knows a picture or the head of a prompt from before; in process image features
are forgotten too, and no reply comes from a store.

--side: pictures of this longest side. --tokens: replies of this length, exactly so in process, at most behind a server.
--turns: the zoom view is a conversation with so many looks at most; else two steps whose box is `oracle`: mini can't
name one, and what is measured is the cost.

Writes bench/results/latency.json, or FILE: `batch_1` (milliseconds an item), `throughput` (items a second at several
batch sizes; behind a server so many at once), vision forwards and tokens an item, and zoom / full of each.
"""

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.result import note_code, write_result
from r2i.benchmark.rendered import render_items
from r2i.core.params import Cut, Endpoint, Evaluate, Zoom, load_params
from r2i.core.records import OK
from r2i.core.stage import explained
from r2i.endpoint.base import Model
from r2i.endpoint.flow import run_jobs
from r2i.endpoint.local import LocalModel
from r2i.endpoint.remote import RemoteModel
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
Rows = list[dict[str, Any]]
Measured = dict[str, tuple[list[float], Rows]]
"""By view: seconds of each batch, and all rows."""


@dataclass
class Runner:
    """How both views are asked."""

    model: str
    endpoint: str | None
    cfg: Evaluate
    cut: Cut
    tokens: int | None
    scratch: str
    """A folder for stores, each of which is used once."""
    local: LocalModel | None = None

    @property
    def kind(self) -> str:
        return "openai" if self.endpoint else "local"

    def ready(self, size: int) -> Model:
        """The model for batches of `size`, with nothing kept of what was asked before."""
        if self.endpoint:
            os.environ["R2I_STORE"] = tempfile.mkdtemp(dir=self.scratch)
            return RemoteModel(Endpoint(kind="openai", model=self.model, base_url=self.endpoint, concurrency=size))
        if self.local is None:
            self.local = LocalModel(self.model, max(BATCHES))
            if self.tokens:  # nothing ends a reply but its length
                self.local.tokens = self.local.tokens.__class__(frozenset(), self.local.tokens.bias)
        self.local.encoder.cache.clear()
        self.local.batch = size
        return self.local


def main(told: argparse.Namespace) -> None:
    import torch

    torch.set_num_threads(THREADS)
    code = note_code(profiles=["mini"], outs=["models/mini"])
    params = load_params(ROOT / "params.yaml").profiles["mini"]
    given = {"views": list(VIEWS), "samples": 0}
    is_mini = told.model == "models/mini"
    given |= {} if is_mini else {"prompts": "paper", "max_tokens": 1024}
    if told.tokens:
        given["max_tokens"] = told.tokens
    looks = Zoom(turns=told.turns) if told.turns else params.evaluate.zoom
    if "max_tokens" in given:
        looks = looks.model_copy(update={"max_tokens": given["max_tokens"]})
    cfg = params.evaluate.model_copy(update=given | {"zoom": looks})
    seeds = count(3)
    with tempfile.TemporaryDirectory() as scratch, Shelf(Path(scratch)) as shelf:

        def fresh(view: str, items: int) -> list[Ask]:
            """A view of items that nobody has seen."""
            made = [resize(item, told.side) for item in render_items(items, params.drawing, seed=next(seeds))]
            return [ask for item in made for ask in plan(shelf.put(item), cfg, 0) if ask.view == view]

        run = Runner(told.model, told.endpoint, cfg, params.drawing.cut, told.tokens, scratch)
        for view in VIEWS:
            for size in (1, max(BATCHES)):
                measure(run, fresh(view, WARM_UP), size)
        found = {
            size: measure_in_turns(run, {view: fresh(view, told.items) for view in VIEWS}, size) for size in BATCHES
        }
    device = run.local.model.device if run.local else told.endpoint and "a server"
    result = {"model": told.model, "items": told.items, "threads": THREADS, "device": str(device)}
    result |= {name: value for name in ("side", "tokens", "turns") if (value := getattr(told, name))}
    write_result(told.out, result | describe(found), code)
    print(told.out.read_text(encoding="utf-8"))


def resize(item: dict[str, Any], side: int | None) -> dict[str, Any]:
    """The item with pictures of that longest side, and its box with them; None: as it is."""
    if side is None:
        return item
    size = Image.open(BytesIO(item["image"])).size
    box = [round(edge * side / max(size)) for edge in item["box"]]
    return item | {"box": box} | {name: scale(item[name], side) for name in ("image", "crop", "boxed")}


def scale(data: bytes, side: int) -> bytes:
    image, out = Image.open(BytesIO(data)), BytesIO()
    factor = side / max(image.size)
    image.resize([max(1, round(edge * factor)) for edge in image.size], Image.Resampling.LANCZOS).save(out, "JPEG")
    return out.getvalue()


def measure_in_turns(run: Runner, asks: dict[str, list[Ask]], size: int) -> Measured:
    """Batches of `size` items; the views take turns, batch by batch."""
    found: Measured = {view: ([], []) for view in VIEWS}
    for number, at in enumerate(range(0, len(asks[VIEWS[0]]), size)):
        for view in VIEWS if number % 2 == 0 else reversed(VIEWS):
            seconds, rows = measure(run, asks[view][at : at + size], size)
            found[view][0].append(seconds)
            found[view][1].extend(rows)
    return found


def measure(run: Runner, asks: list[Ask], size: int) -> tuple[float, Rows]:
    """Seconds that the rows of `asks` take together, and the rows."""
    model = run.ready(size)
    began = time.perf_counter()
    found = run_jobs([ask_job(model, run.kind, ask, run.cfg.zoom, run.cut) for ask in asks])
    seconds = time.perf_counter() - began
    rows = [row for rows in found for row in rows]
    if failed := {row["reason"] for row in rows if row["status"] != OK}:
        raise SystemExit(f"calls failed ({', '.join(sorted(failed))}): nothing is measured")
    return seconds, rows


def describe(found: dict[int, Measured]) -> dict[str, Any]:
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
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", default="models/mini")
    parser.add_argument("items", nargs="?", type=int, default=100)
    parser.add_argument("--endpoint")
    parser.add_argument("--out", type=Path, default=RESULT)
    for name in ("side", "tokens", "turns"):
        parser.add_argument(f"--{name}", type=int)
    with explained():
        main(parser.parse_args())
