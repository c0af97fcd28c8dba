"""From what a finder says about an image to the rows of the region table.

A finder (`crop.method`) proposes tight boxes, with a score where it can judge them. Each box first gets its context
(`drawing.cut`), then passes the rules: the box that is checked is the box that is cropped.
"""

import math
from collections.abc import Iterable, Sequence

from PIL import Image

from r2i.core.boxes import Box, area, area_share, iou
from r2i.core.drawing import frame_box, make_crop
from r2i.core.errors import ImageError, R2IError
from r2i.core.ids import make_id
from r2i.core.images import read_image
from r2i.core.params import Crop, Cut
from r2i.core.records import FAILED, OK, REJECTED
from r2i.core.tables import Row
from r2i.crop.finders import Candidate, Finder, Refused

SEGMENTER_ERROR = "segmenter_error"  # the finder raised on this image, e.g. for want of memory


def find_regions_of(image_id: str, data: bytes, finder: Finder, params: Crop, cut: Cut) -> list[Row]:
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
    judged = judge_candidates(finding.candidates, params, cut, *image.size)
    rows = [_region(image_id, image, candidate, reason, cut) for candidate, reason in judged]
    rows += [_refusal(image_id, place, refused) for place, refused in enumerate(finding.refused)]
    rows = rows or [row_without_box(image_id, finding.status, finding.reason)]
    return [row | {"listing": finding.listing} for row in rows]


def _region(image_id: str, image: Image.Image, candidate: Candidate, reason: str, cut: Cut) -> Row:
    try:
        crop = None if reason else make_crop(image, candidate.box, cut)
        status = REJECTED if reason else OK
    except ImageError as error:
        crop, status, reason = None, FAILED, error.cause
    return {
        "region_id": make_id(image_id, candidate.box),
        "image_id": image_id,
        "box": candidate.box,
        "score": candidate.score,
        "area_share": area_share(candidate.box, *image.size),
        "crop": crop,
        "name": candidate.name,
        "mask": candidate.mask if status == OK else None,
        "status": status,
        "reason": reason,
    }


def _refusal(image_id: str, place: int, refused: Refused) -> Row:
    """The region_id can't be that of the box: there may be none, and a candidate may have the same."""
    row = row_without_box(image_id, REJECTED, refused.reason)
    return row | {"region_id": make_id(image_id, "refused", place), "box": refused.box, "name": refused.name}


def row_without_box(image_id: str, status: str, reason: str) -> Row:
    """The only row of an image that has no region."""
    empty = dict.fromkeys(("box", "score", "area_share", "crop", "mask", "listing"))
    same = {"region_id": make_id(image_id, "none"), "image_id": image_id, "name": ""}
    return same | empty | {"status": status, "reason": reason}


def judge_candidates(
    candidates: Iterable[Candidate], params: Crop, cut: Cut, width: int, height: int
) -> list[tuple[Candidate, str]]:
    """Give each candidate its context, then a reason to drop it, or "" to keep it.

    Best score first, then the order of the teacher's list, then position; candidates that end up with one and the
    same box count once. Rules, in order: `low_score`, `low_stability`, `too_large`, `too_small`, `extreme_aspect`,
    `overlap` (with a better box that passed the rules before), `over_limit`.
    """
    framed = [c._replace(box=frame_box(c.box, cut, width, height)) for c in candidates]
    faults = sorted(((find_fault(c, params, width, height), c) for c in framed), key=lambda pair: _rank(pair[1]))
    best: dict[Box, tuple[str, Candidate]] = {}
    for fault, candidate in sorted(faults, key=lambda pair: bool(pair[0])):  # stable: faultless ones come first
        best.setdefault(candidate.box, (fault, candidate))
    passed: list[Box] = []
    judged = []
    for fault, candidate in sorted(best.values(), key=lambda pair: _rank(pair[1])):
        if not fault and any(iou(candidate.box, other) > params.max_iou for other in passed):
            fault = "overlap"
        if not fault:
            passed.append(candidate.box)
        judged.append((candidate, fault))
    chosen = passed[: params.per_image]
    if params.choose == "diverse":
        chosen = choose_diverse(passed, params.per_image, width, height)
    over = set(passed) - set(chosen)
    return [(candidate, "over_limit" if candidate.box in over else fault) for candidate, fault in judged]


def _rank(candidate: Candidate) -> tuple[float, int, Box, str]:
    """Best score first, ties by the place in the teacher's list, then by position: whatever the order of arrival."""
    return -(candidate.score or 0.0), candidate.place, candidate.box, candidate.name


def find_fault(candidate: Candidate, params: Crop, width: int, height: int) -> str:
    """What is wrong with one framed box by itself; "" where nothing is."""
    left, top, right, bottom = candidate.box
    sides = sorted((right - left, bottom - top))
    if candidate.score is not None and candidate.score < params.min_score:
        return "low_score"
    if candidate.stability < params.min_stability:
        return "low_stability"
    if params.max_area_share < 1 and area_share(candidate.box, width, height) >= params.max_area_share:
        return "too_large"
    if sides[0] < params.min_side:
        return "too_small"
    if params.max_box_aspect is not None and sides[1] > params.max_box_aspect * sides[0]:
        return "extreme_aspect"
    return ""


def choose_diverse(boxes: Sequence[Box], most: int, width: int, height: int) -> list[Box]:
    """At most `most` of `boxes` (best first): the best, then each time the one furthest from all chosen ones.

    Distance is Euclidean in (log of the mean side, centre x, centre y), with lengths as shares of the image: twice
    as large is as far as 0.69 image widths away. The better one wins a tie.
    """
    places = [_place(box, width, height) for box in boxes]
    chosen: list[int] = [0] if boxes and most else []
    while len(chosen) < min(most, len(boxes)):
        rest = [i for i in range(len(boxes)) if i not in chosen]
        chosen.append(max(rest, key=lambda i: min(math.dist(places[i], places[c]) for c in chosen)))
    return [boxes[i] for i in chosen]


def _place(box: Box, width: int, height: int) -> tuple[float, float, float]:
    side = math.sqrt(area(box) / (width * height))
    return math.log(side), (box[0] + box[2]) / (2 * width), (box[1] + box[3]) / (2 * height)
