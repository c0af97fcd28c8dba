"""From what a finder says about an image to the rows of the region table.

A finder (`contours`, `sam2`, `teacher+sam2`) proposes tight boxes with a score. Each box first gets its context
(margin, square), then passes the rules of r2i.crop.choose: the box that is checked is the box that is cropped.
"""

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from PIL import Image

from r2i.core.boxes import area_share
from r2i.core.errors import ImageError, R2IError
from r2i.core.ids import make_id
from r2i.core.images import cut_crop, jpeg_bytes, read_image
from r2i.core.params import Crop
from r2i.core.records import FAILED, OK, REJECTED
from r2i.core.tables import Row
from r2i.crop.candidates import Candidate, Finder, Finding, Refused
from r2i.crop.choose import judge_candidates

SEGMENTER_ERROR = "segmenter_error"  # the finder raised on this image, e.g. for want of memory


def find_regions_of(image_id: str, data: bytes, finder: Finder, cfg: Crop) -> list[Row]:
    """The rows (records.REGIONS) of one image, of which there is always at least one.

    `data`: its JPEG. An image that can't be decoded, or on which the finder raises, gives one failed row. An
    R2IError of the finder is passed on: it concerns all images.
    """
    try:
        image = read_image(data)
    except ImageError as error:
        return [row_without_box(image_id, FAILED, error.cause)]
    try:
        finding = finder(image_id, image)
    except R2IError:
        raise
    except Exception:  # libraries and drivers raise anything
        return [row_without_box(image_id, FAILED, SEGMENTER_ERROR)]
    judged = judge_candidates(finding.candidates, cfg, *image.size)
    rows = [_region(image_id, image, candidate, reason, cfg) for candidate, reason in judged]
    rows += [_refusal(image_id, place, refused) for place, refused in enumerate(finding.refused)]
    rows = rows or [row_without_box(image_id, finding.status, finding.reason)]
    return [row | {"listing": finding.listing} for row in rows]


def _region(image_id: str, image: Image.Image, candidate: Candidate, reason: str, cfg: Crop) -> Row:
    return {
        "region_id": make_id(image_id, candidate.box),
        "image_id": image_id,
        "box": list(candidate.box),
        "score": candidate.score,
        "area_share": area_share(candidate.box, *image.size),
        "crop": None if reason else jpeg_bytes(cut_crop(image, candidate.box, cfg.upscale), cfg.quality),
        "name": candidate.name,
        "mask": None if reason else candidate.mask,
        "status": REJECTED if reason else OK,
        "reason": reason,
    }


def _refusal(image_id: str, place: int, refused: Refused) -> Row:
    """The region_id can't be that of the box: there may be none, and a candidate may have the same."""
    row = row_without_box(image_id, REJECTED, refused.reason)
    box = list(refused.box) if refused.box else None
    return row | {"region_id": make_id(image_id, "refused", place), "box": box, "name": refused.name}


def row_without_box(image_id: str, status: str, reason: str) -> Row:
    """The only row of an image that has no region."""
    empty = dict.fromkeys(("box", "score", "area_share", "crop", "mask", "listing"))
    same = {"region_id": make_id(image_id, "none"), "image_id": image_id, "name": ""}
    return same | empty | {"status": status, "reason": reason}


def summarise(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Images seen, regions kept from each on average, and the median area of what was kept."""
    rows = list(rows)
    kept = [row for row in rows if row["status"] == OK]
    images = len({row["image_id"] for row in rows})
    return {
        "images": images,
        "per_image": len(kept) / images if images else None,
        "median_area_share": median(row["area_share"] for row in kept) if kept else None,
    }


__all__ = ["Candidate", "Finding", "find_regions_of", "judge_candidates", "row_without_box", "summarise"]
