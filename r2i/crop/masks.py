"""Masks as COCO run lengths: runs down the columns of the full image, 0s first.

Uncompressed (`counts` a list of lengths) as SAM 2 gives them, compressed (`counts` a text) as tables keep them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from r2i.core.boxes import Box
from r2i.crop.candidates import Mask


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


def pixels_of(mask: Mask) -> np.ndarray:
    """(H, W) bool of a compressed mask."""
    from pycocotools import mask as coco

    return coco.decode(mask).astype(bool)


def mask_area(mask: Mask) -> int:
    """Square pixels of a compressed mask."""
    from pycocotools import mask as coco

    return int(coco.area(mask))


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
        return left, 0, right, height
    return left, int((first % height).min()), right, int((last % height).max()) + 1
