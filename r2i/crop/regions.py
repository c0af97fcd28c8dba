"""From candidate boxes to the rows of the region table.

A finder (`contours`, `sam2`) proposes tight boxes with a score. Each box first gets its context
(margin, square), then passes the rules below: the box that is checked is the box that is cropped.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from statistics import median
from typing import Any, NamedTuple

from PIL import Image

from r2i.boxes import Box, area_share, frame, iou
from r2i.errors import ImageError
from r2i.ids import make_id
from r2i.images import cut_crop, jpeg_bytes, read_image
from r2i.params import Crop
from r2i.records import FAILED, OK, REJECTED
from r2i.tables import Row

NO_REGION = "no_region"


class Candidate(NamedTuple):
    """`box`: tight, xyxy, full-image pixels. `score`: 0 to 1."""

    box: Box
    score: float


Finder = Callable[[Image.Image], list[Candidate]]


def find_regions(images: Iterable[Mapping[str, Any]], finder: Finder, cfg: Crop) -> Iterator[Row]:
    """Region rows (records.REGIONS) of every image row that is ok; other image rows are passed over.

    An image that can't be decoded gives one failed row, an image without candidates one rejected
    row (`no_region`): every ok image stands in the table at least once.
    """
    for row in images:
        if row["status"] == OK:
            yield from _regions_of(row["image_id"], row["image"], finder, cfg)


def _regions_of(image_id: str, data: bytes, finder: Finder, cfg: Crop) -> Iterator[Row]:
    try:
        image = read_image(data)
    except ImageError as error:
        yield _row_without_box(image_id, FAILED, error.cause)
        return
    judged = judge_candidates(finder(image), cfg, *image.size)
    if not judged:
        yield _row_without_box(image_id, REJECTED, NO_REGION)
    for candidate, reason in judged:
        yield {
            "region_id": make_id(image_id, candidate.box),
            "image_id": image_id,
            "box": list(candidate.box),
            "score": candidate.score,
            "area_share": area_share(candidate.box, *image.size),
            "crop": None if reason else jpeg_bytes(cut_crop(image, candidate.box, cfg.upscale), cfg.quality),
            "status": REJECTED if reason else OK,
            "reason": reason,
        }


def _row_without_box(image_id: str, status: str, reason: str) -> Row:
    empty = {"box": None, "score": None, "area_share": None, "crop": None}
    return {"region_id": make_id(image_id, "none"), "image_id": image_id, **empty, "status": status, "reason": reason}


def judge_candidates(
    candidates: Iterable[Candidate], cfg: Crop, width: int, height: int
) -> list[tuple[Candidate, str]]:
    """Give each candidate its context, then a reason to drop it, or "" to keep it.

    Best score first, ties by position; candidates that end up with one and the same box count once.
    Rules, in order: `low_score`, `too_large`, `too_small`, `overlap` (with a better box that passed
    the rules before), `over_limit`.
    """
    framed = [Candidate(frame(c.box, cfg.margin, cfg.square, width, height), c.score) for c in candidates]
    best: dict[Box, Candidate] = {}
    for candidate in sorted(framed, key=lambda c: (-c.score, c.box)):
        best.setdefault(candidate.box, candidate)
    passed: list[Box] = []
    judged = []
    for candidate in best.values():
        reason = _fault(candidate, cfg, width, height)
        if not reason and any(iou(candidate.box, other) > cfg.max_iou for other in passed):
            reason = "overlap"
        if not reason:
            passed.append(candidate.box)
            reason = "over_limit" if len(passed) > cfg.per_image else ""
        judged.append((candidate, reason))
    return judged


def _fault(candidate: Candidate, cfg: Crop, width: int, height: int) -> str:
    """What is wrong with one box by itself; "" where nothing is."""
    left, top, right, bottom = candidate.box
    if candidate.score < cfg.min_score:
        return "low_score"
    if area_share(candidate.box, width, height) > cfg.max_area_share:
        return "too_large"
    if min(right - left, bottom - top) < cfg.min_side:
        return "too_small"
    return ""


def summarise(rows: list[Row]) -> dict[str, Any]:
    """Images seen, regions kept from each on average, and the median area of what was kept."""
    kept = [row for row in rows if row["status"] == OK]
    images = len({row["image_id"] for row in rows})
    return {
        "images": images,
        "per_image": len(kept) / images if images else None,
        "median_area_share": median(row["area_share"] for row in kept) if kept else None,
    }
