"""Which candidates become regions: pure rules on the box that is checked, cropped and drawn."""

import math
from collections.abc import Iterable, Sequence

from r2i.core.boxes import Box, area, area_share, frame, iou
from r2i.core.params import Crop
from r2i.crop.candidates import Candidate


def judge_candidates(
    candidates: Iterable[Candidate], cfg: Crop, width: int, height: int
) -> list[tuple[Candidate, str]]:
    """Give each candidate its context, then a reason to drop it, or "" to keep it.

    Best score first, ties by position; candidates that end up with one and the same box count once.
    Rules, in order: `low_score`, `low_stability`, `too_large`, `too_small`, `extreme_aspect`, `overlap` (with a
    better box that passed the rules before), `over_limit`.
    """
    framed = [c._replace(box=frame(c.box, cfg.margin, cfg.square, width, height)) for c in candidates]
    faults = sorted(((find_fault(c, cfg, width, height), c) for c in framed), key=lambda pair: _rank(pair[1]))
    best: dict[Box, tuple[str, Candidate]] = {}
    for fault, candidate in sorted(faults, key=lambda pair: bool(pair[0])):  # stable: faultless ones come first
        best.setdefault(candidate.box, (fault, candidate))
    passed: list[Box] = []
    judged = []
    for fault, candidate in sorted(best.values(), key=lambda pair: _rank(pair[1])):
        if not fault and any(iou(candidate.box, other) > cfg.max_iou for other in passed):
            fault = "overlap"
        if not fault:
            passed.append(candidate.box)
        judged.append((candidate, fault))
    chosen = passed[: cfg.per_image]
    if cfg.choose == "diverse":
        chosen = choose_diverse(passed, cfg.per_image, width, height)
    over = set(passed) - set(chosen)
    return [(candidate, "over_limit" if candidate.box in over else fault) for candidate, fault in judged]


def _rank(candidate: Candidate) -> tuple[float, Box, str]:
    """Best score first, ties by position, whatever the order of arrival."""
    return -candidate.score, candidate.box, candidate.name


def find_fault(candidate: Candidate, cfg: Crop, width: int, height: int) -> str:
    """What is wrong with one framed box by itself; "" where nothing is."""
    left, top, right, bottom = candidate.box
    sides = sorted((right - left, bottom - top))
    if candidate.score < cfg.min_score:
        return "low_score"
    if candidate.stability < cfg.min_stability:
        return "low_stability"
    if area_share(candidate.box, width, height) > cfg.max_area_share:
        return "too_large"
    if sides[0] < cfg.min_side:
        return "too_small"
    if cfg.max_box_aspect is not None and sides[1] > cfg.max_box_aspect * sides[0]:
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
