"""Regions by SAM 2 (package `sam2`, extra `gpu`): every mask it finds on a grid of points.

Written against sam2 1.1.0. `load_sam2` needs a GPU and downloaded weights and has not been run
here; what turns masks into boxes is tested on constructed masks.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from PIL import Image

from r2i.boxes import Box
from r2i.crop.regions import Candidate, Finder
from r2i.errors import R2IError

LEAST_SCORE = 0.5  # of masks that are worth a row; `crop.min_score` decides what is kept


def load_sam2(model: str) -> Finder:
    """A finder that runs the SAM 2 checkpoint `model` (hub id), one image at a time.

    Raises R2IError where the package is missing or the checkpoint can't be loaded.
    """
    try:
        from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
        from sam2.build_sam import build_sam2_hf
    except ImportError as error:
        raise R2IError(
            f"crop.method is sam2, but the package can't be imported ({error})", "run `pip install 'r2i[gpu]'`"
        ) from error
    import torch

    try:
        segmenter = build_sam2_hf(model, device="cuda" if torch.cuda.is_available() else "cpu")
    except Exception as error:  # hub, network, memory: each raises its own kind
        raise R2IError(f"can't load SAM 2 from {model!r} ({error})", "check crop.sam2_model and the network") from error
    # run lengths, not bitmaps: hundreds of masks of a 12-megapixel photograph would fill the memory
    masks = SAM2AutomaticMaskGenerator(segmenter, pred_iou_thresh=LEAST_SCORE, output_mode="uncompressed_rle")

    def find(image: Image.Image) -> list[Candidate]:
        return candidates_of(masks.generate(np.asarray(image.convert("RGB"))))

    return find


def candidates_of(masks: Iterable[Mapping[str, Any]]) -> list[Candidate]:
    """Tight boxes of SAM 2's mask records, scored by `predicted_iou`; empty masks are left out."""
    found = []
    for mask in masks:
        box = run_length_box(mask["segmentation"])
        if box is not None:
            found.append(Candidate(box, min(1.0, max(0.0, float(mask["predicted_iou"])))))
    return found


def run_length_box(rle: Mapping[str, Any]) -> Box | None:
    """The tight box of a mask, or None for an empty one.

    `rle`: `size` (H, W) and `counts`, the lengths of alternating runs of 0s and 1s down the
    columns, 0s first (COCO's uncompressed form).
    """
    height = rle["size"][0]
    ends = np.cumsum(np.asarray(rle["counts"], dtype=np.int64))
    first, last = ends[:-1:2], ends[1::2] - 1  # first and last pixel of each run of 1s
    first, last = first[first <= last], last[first <= last]
    if not len(first):
        return None
    left, right = int(first[0] // height), int(last[-1] // height) + 1
    if (first // height != last // height).any():  # a run that goes on in the next column passes bottom and top
        return left, 0, right, height
    return left, int((first % height).min()), right, int((last % height).max()) + 1
