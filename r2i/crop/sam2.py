"""Regions by SAM 2: every mask on a grid of points, or a teacher's boxes refined to masks.

The image is encoded once, whatever is asked about it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from r2i.core.boxes import area, frame, iou
from r2i.core.errors import R2IError
from r2i.core.params import Crop
from r2i.core.records import OK
from r2i.crop.candidates import Candidate, Finder, Finding, Listing, Named, Refused
from r2i.crop.choose import find_fault
from r2i.crop.masks import compress, run_length_box, run_lengths
from r2i.crop.segmenter import fit_predictor, load_segmenter, precision

LEAST_SCORE = 0.5  # of masks that are worth a row; `crop.min_score` decides what is kept
SAME_IOU = 0.7  # masks of neighbouring points whose tight boxes overlap by more are one object found again
OFFSET = 1.0  # logits by which the threshold is shifted to measure stability


def load_sam2(cfg: Crop) -> Finder:
    """A finder that prompts each image with a grid of points. Raises R2IError where the model can't be loaded."""
    model = load_segmenter(cfg)
    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator

    # run lengths, not bitmaps: hundreds of masks of a 12-megapixel photograph would fill the memory. Stability and
    # duplicates are judged below, so that no mask that is dropped can suppress one that is kept.
    masks = SAM2AutomaticMaskGenerator(
        model, points_per_side=cfg.points_per_side, points_per_batch=cfg.points_per_batch, crop_n_layers=0,
        pred_iou_thresh=min(LEAST_SCORE, cfg.min_score), stability_score_thresh=0.0, stability_score_offset=OFFSET,
        box_nms_thresh=1.0, output_mode="uncompressed_rle",
    )  # fmt: skip
    fit_predictor(masks.predictor)

    def find(image_id: str, image: Image.Image) -> Finding:
        with precision(model):
            found = masks.generate(np.array(image))
        return Finding(candidates_of(found, cfg, *image.size))

    return find


def load_refiner(cfg: Crop, listings: Mapping[str, Listing]) -> Finder:
    """A finder that turns the boxes of `listings`, by image_id, into masks. Raises R2IError as `load_sam2`."""
    model = load_segmenter(cfg)
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    predictor = fit_predictor(SAM2ImagePredictor(model))

    def find(image_id: str, image: Image.Image) -> Finding:
        if image_id not in listings:
            raise R2IError(f"no listing of image {image_id}", "this is a defect in the stage")
        listing = listings[image_id]
        if listing.status != OK:
            return Finding([], (), listing.status, listing.reason, listing.call)
        candidates: list[Candidate] = []
        refused = list(listing.refused)
        if listing.objects:
            with precision(model):
                predictor.set_image(np.array(image))
            for start in range(0, len(listing.objects), cfg.points_per_batch):
                part = listing.objects[start : start + cfg.points_per_batch]
                with precision(model):
                    logits, scores, _ = predictor.predict(
                        box=np.array([item.box for item in part], np.float32),
                        multimask_output=False, return_logits=True,
                    )  # fmt: skip
                logits = logits.reshape(len(part), *logits.shape[-2:])  # one box alone comes without its axis
                kept, lost = agree(part, logits, scores.reshape(-1))
                candidates += kept
                refused += lost
        predictor.reset_predictor()
        return Finding(candidates, tuple(refused), listing=listing.call)

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


def candidates_of(found: Iterable[Mapping[str, Any]], cfg: Crop, width: int, height: int) -> list[Candidate]:
    """Candidates of SAM 2's mask records, scored by `predicted_iou`; empty masks are left out, duplicates merged."""
    masks = []
    candidates = []
    for record in found:
        box = run_length_box(record["segmentation"])
        if box is not None:
            masks.append(record["segmentation"])
            stability = _share(record["stability_score"])
            candidates.append(Candidate(box, _share(record["predicted_iou"]), stability))
    kept = merge_duplicates(candidates, cfg, width, height)
    return [candidates[i]._replace(mask=compress(masks[i])) for i in kept]


def merge_duplicates(candidates: Sequence[Candidate], cfg: Crop, width: int, height: int) -> list[int]:
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
        framed = candidate._replace(box=frame(candidate.box, cfg.margin, cfg.square, width, height))
        bad = bool(find_fault(framed, cfg, width, height))
        return bad, -candidate.score, -candidate.stability, candidate.box, -area(candidate.box)

    order = sorted(range(len(candidates)), key=rank)
    boxes = torch.tensor([candidates[i].box for i in order], dtype=torch.float64)
    places = torch.arange(len(order), 0, -1, dtype=torch.float64)  # the first one scores best
    return [order[i] for i in nms(boxes, places, SAME_IOU).tolist()]


def _share(value: Any) -> float:
    """SAM 2's estimates may exceed 1, or be no number where a mask is empty."""
    number = float(value)
    return min(1.0, max(0.0, number)) if number == number else 0.0
