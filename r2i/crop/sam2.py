"""Regions by SAM 2: every mask on a grid of points, or a teacher's boxes refined to masks.

The image is encoded once, whatever is asked about it. The model is loaded before the first call of a teacher is made,
and goes to the GPU with the first image.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from r2i.core.boxes import Box, area, iou
from r2i.core.drawing import frame_box
from r2i.core.params import Crop, Cut
from r2i.crop.finders import Candidate, Finder, Finding, Listing, Mask, Named, Refused, listing_of
from r2i.crop.regions import find_fault
from r2i.crop.segmenter import at_work, fit_predictor, load_segmenter

LEAST_SCORE = 0.5  # of masks that are worth a row; `crop.min_score` decides what is kept
SAME_IOU = 0.7  # masks of neighbouring points whose tight boxes overlap by more are one object found again
OFFSET = 1.0  # logits by which the threshold is shifted to measure stability


def load_sam2(params: Crop, cut: Cut) -> Finder:
    """A finder that prompts each image with a grid of points. Raises R2IError where the model can't be loaded."""
    model = load_segmenter(params)
    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

    # run lengths, not bitmaps: hundreds of masks of a 12-megapixel photograph would fill the memory. Stability and
    # duplicates are judged below, so that no mask that is dropped can suppress one that is kept.
    masks = SAM2AutomaticMaskGenerator(
        model, points_per_side=params.points_per_side, points_per_batch=params.points_per_batch, crop_n_layers=0,
        pred_iou_thresh=min(LEAST_SCORE, params.min_score), stability_score_thresh=0.0, stability_score_offset=OFFSET,
        box_nms_thresh=1.0, output_mode="uncompressed_rle",
    )  # fmt: skip
    fit_predictor(masks.predictor)

    def find(image_id: str, image: Image.Image) -> Finding:
        with at_work(model):
            found = masks.generate(np.array(image))
        return Finding(candidates_of(found, params, cut, *image.size))

    return find


def load_refiner(params: Crop, listings: Mapping[str, Listing]) -> Finder:
    """A finder that turns the boxes of `listings`, by image_id, into masks. Raises R2IError as `load_sam2`."""
    model = load_segmenter(params)
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    predictor = fit_predictor(SAM2ImagePredictor(model))

    def find(image_id: str, image: Image.Image) -> Finding:
        listing = listing_of(listings, image_id)
        candidates: list[Candidate] = []
        refused = list(listing.refused)
        if listing.objects:
            with at_work(model):
                predictor.set_image(np.array(image))
            for start in range(0, len(listing.objects), params.points_per_batch):
                part = listing.objects[start : start + params.points_per_batch]
                with at_work(model):
                    logits, scores, _ = predictor.predict(
                        box=np.array([item.box for item in part], np.float32),
                        multimask_output=False, return_logits=True,
                    )  # fmt: skip
                logits = logits.reshape(len(part), *logits.shape[-2:])  # one box alone comes without its axis
                kept, lost = agree(part, logits, scores.reshape(-1))
                candidates += kept
                refused += lost
        predictor.reset_predictor()
        return listing.finding(candidates, refused)

    return find


def agree(objects: Sequence[Named], logits: np.ndarray, scores: np.ndarray) -> tuple[list[Candidate], list[Refused]]:
    """What SAM 2 makes of the teacher's boxes: candidates with the mask's tight box, and objects without a mask.

    `logits` (N, H, W), `scores` (N,): SAM 2's masks and their predicted IoU. A candidate's score is its predicted
    IoU times the IoU of the two boxes: the one doubts the mask, the other that both mean the same thing.
    """
    candidates, refused = [], []
    for item, values, score in zip(objects, logits, scores, strict=True):
        rle = run_lengths(values > 0)
        box = run_length_box(rle)
        if box is None:
            refused.append(Refused(item.name, item.box, "no_mask"))
            continue
        agreement = iou(item.box, box)
        candidates.append(Candidate(box, _share(score) * agreement, stability_of(values), item.name, compress(rle)))
    return candidates, refused


def stability_of(logits: np.ndarray) -> float:
    """IoU of the masks at thresholds OFFSET above and below 0, logits (H, W); 0 for an empty mask."""
    wide = int((logits > -OFFSET).sum())
    return int((logits > OFFSET).sum()) / wide if wide else 0.0


def candidates_of(
    found: Iterable[Mapping[str, Any]], params: Crop, cut: Cut, width: int, height: int
) -> list[Candidate]:
    """Candidates of SAM 2's mask records, scored by `predicted_iou`; empty masks are left out, duplicates merged."""
    masks = []
    candidates = []
    for record in found:
        box = run_length_box(record["segmentation"])
        if box is not None:
            masks.append(record["segmentation"])
            stability = _share(record["stability_score"])
            candidates.append(Candidate(box, _share(record["predicted_iou"]), stability))
    kept = merge_duplicates(candidates, params, cut, width, height)
    return [candidates[i]._replace(mask=compress(masks[i])) for i in kept]


def merge_duplicates(candidates: Sequence[Candidate], params: Crop, cut: Cut, width: int, height: int) -> list[int]:
    """Places of the candidates that stay when those whose tight boxes overlap a better one by SAME_IOU go.

    Better is first what no rule drops, then the higher score, then the position: what is dropped anyway
    suppresses nothing that would be kept.
    """
    if not candidates:
        return []
    import torch
    from torchvision.ops import nms

    def rank(i: int) -> tuple[bool, float, float, tuple[int, ...], int]:
        candidate = candidates[i]
        framed = candidate._replace(box=frame_box(candidate.box, cut, width, height))
        bad = bool(find_fault(framed, params, width, height))
        return bad, -(candidate.score or 0.0), -candidate.stability, candidate.box, -area(candidate.box)

    order = sorted(range(len(candidates)), key=rank)
    boxes = torch.tensor([candidates[i].box for i in order], dtype=torch.float64)
    places = torch.arange(len(order), 0, -1, dtype=torch.float64)  # the first one scores best
    return [order[i] for i in nms(boxes, places, SAME_IOU).tolist()]


def _share(value: Any) -> float:
    """SAM 2's estimates may exceed 1, or be no number where a mask is empty."""
    number = float(value)
    return min(1.0, max(0.0, number)) if number == number else 0.0


# Masks are COCO run lengths: runs down the columns of the full image, 0s first. Uncompressed (`counts` a list of
# lengths) as SAM 2 gives them, compressed (`counts` a text) as tables keep them.


def compress(rle: Mapping[str, Any]) -> Mask:
    """COCO's compressed form of an uncompressed one."""
    from pycocotools import mask as coco

    height, width = rle["size"]
    packed = coco.frPyObjects({"size": [height, width], "counts": list(rle["counts"])}, height, width)
    return {"size": [height, width], "counts": packed["counts"].decode("ascii")}


def run_lengths(pixels: np.ndarray) -> dict[str, Any]:
    """The uncompressed form of `pixels`, (H, W) bool."""
    flat = np.asarray(pixels, dtype=bool).ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return {"size": list(pixels.shape), "counts": [0, *counts] if flat.size and flat[0] else counts}


def run_length_box(rle: Mapping[str, Any]) -> Box | None:
    """The tight box of an uncompressed mask, xyxy, right and bottom exclusive; None for an empty one."""
    height = rle["size"][0]
    ends = np.cumsum(np.asarray(rle["counts"], dtype=np.int64))
    first, last = ends[:-1:2], ends[1::2] - 1  # first and last pixel of each run of 1s
    first, last = first[first <= last], last[first <= last]
    if not len(first):
        return None
    left, right = int(first[0] // height), int(last[-1] // height) + 1
    if (first // height != last // height).any():  # a run that goes on in the next column passes bottom and top
        return Box(left, 0, right, height)
    return Box(left, int((first % height).min()), right, int((last % height).max()) + 1)
