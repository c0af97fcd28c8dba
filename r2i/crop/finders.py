"""What a finder says about one image, and the finder that `crop.method` names."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from PIL import Image

from r2i.core.boxes import Box
from r2i.core.errors import R2IError
from r2i.core.params import Crop, Cut
from r2i.core.records import REJECTED

NO_REGION = "no_region"
Mask = dict[str, Any]  # COCO RLE of the full image: {"size": [H, W], "counts": compressed run lengths as text}


class Candidate(NamedTuple):
    """`box`: tight, xyxy, full-image pixels. `score`, `stability`: 0 to 1. `name`: what a teacher called it."""

    box: Box
    score: float
    stability: float = 1.0
    name: str = ""
    mask: Mask | None = None


class Refused(NamedTuple):
    """What the finder itself could not use. `box`: None where what was said is no box of the image."""

    name: str
    box: Box | None
    reason: str


class Named(NamedTuple):
    """An object that the teacher listed. `box`: xyxy, pixels of the full image."""

    name: str
    box: Box


class Listing(NamedTuple):
    """What the teacher listed in one image.

    Unless `status` is ok there are no objects, and `status` and `reason` are the image's. `call`: columns of
    r2i.core.provenance.CALL. `repaired`: the reply's JSON was mended.
    """

    objects: tuple[Named, ...]
    refused: tuple[Refused, ...]
    status: str
    reason: str
    call: dict[str, str]
    repaired: bool = False


class Finding(NamedTuple):
    """`status` and `reason` are those of the image's only row where there is neither candidate nor refusal.

    `listing`: the teacher's call (columns of r2i.core.provenance.CALL), if there was one.
    """

    candidates: list[Candidate]
    refused: tuple[Refused, ...] = ()
    status: str = REJECTED
    reason: str = NO_REGION
    listing: Mapping[str, str] | None = None


Finder = Callable[[str, Image.Image], Finding]
"""(image_id, upright RGB picture) -> what is there."""


def make_finder(params: Crop, cut: Cut, listings: Mapping[str, Listing] | None = None) -> Finder:
    """Late imports: each finder brings its own heavy library.

    `listings`: teacher+sam2's, by image_id, looked up when the finder is called. Raises R2IError where a package
    or the model is missing.
    """
    if params.method == "sam2":
        from r2i.crop.sam2 import load_sam2

        return load_sam2(params, cut)
    if params.method == "teacher+sam2":
        from r2i.crop.sam2 import load_refiner

        if listings is None:
            raise R2IError("crop.method teacher+sam2 needs the teacher's listings", "this is a defect in the stage")
        return load_refiner(params, listings)
    from r2i.crop.contours import find_contours

    def find(image_id: str, image: Image.Image) -> Finding:
        return Finding(find_contours(image))

    return find
