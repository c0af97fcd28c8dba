"""Benchmark items for the tests of `evaluate`: small grey pictures and letters."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from teacher_fakes import FakeModel, sent

from r2i.core.images import jpeg_bytes
from r2i.core.params import Evaluate
from r2i.endpoint.base import Reply, Request
from r2i.evaluate.plan import Ask, plan
from r2i.evaluate.views import Shelf

WIDTH, HEIGHT = 200, 100
FULL = jpeg_bytes(Image.new("RGB", (WIDTH, HEIGHT), (90, 90, 90)))
CROP = jpeg_bytes(Image.new("RGB", (40, 40), (10, 10, 10)))
BOXED = jpeg_bytes(Image.new("RGB", (WIDTH, HEIGHT), (200, 90, 90)))


def make_item(number: int = 0, **more: Any) -> dict[str, Any]:
    """A row of BENCHMARK that is ok; the right option is `C`."""
    return {
        "item_id": f"i{number:04d}", "image_id": f"m{number // 2}", "cluster_id": f"m{number // 2}", "source": "made",
        "image": FULL, "crop": CROP, "boxed": BOXED, "box": [20, 20, 60, 60], "crop_made": True,
        "question": f"what digit is on sign {number}?", "options": ["1", "2", "3", "4"], "answer": "3", "label": "C",
        "dimension": "ocr", "phash": None, "status": "ok", "reason": "", **more,
    }  # fmt: skip


def make_ask(cfg: Evaluate, view: str, folder: Path, sampled: bool = False, **more: Any) -> Ask:
    """The ask about one item in one view; its pictures stay readable while the test runs."""
    shelf = Shelf(folder).__enter__()
    asks = plan(shelf.put(make_item(**more)), cfg, 0)
    return next(a for a in asks if a.view == view and (a.sampling.temperature > 0) == sampled)


class SeeingModel(FakeModel):
    """Keeps the bytes of the pictures of each request as well: they can't be read afterwards."""

    def complete(self, requests: Sequence[Request]) -> list[list[Reply]]:
        self.shown = [*getattr(self, "shown", []), *(sent(request) for request in requests)]
        return super().complete(requests)
