"""What a finder says about one image, and the finder that `crop.method` names."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from PIL import Image

from r2i.core.boxes import Box
from r2i.core.errors import R2IError
from r2i.core.params import Crop, Cut
from r2i.core.records import OK, REJECTED

NO_REGION = "no_region"
Mask = dict[str, Any]  # COCO RLE of the full image: {"size": [H, W], "counts": compressed run lengths as text}


class Candidate(NamedTuple):
    """`box`: tight, xyxy, full-image pixels. `score`, `stability`: 0 to 1; None: the finder can't tell.

    `name`: what a teacher called it. `place`: in the teacher's list; the first one counts as the best of those without
    a score.
    """

    box: Box
    score: float | None
    stability: float = 1.0
    name: str = ""
    mask: Mask | None = None
    place: int = 0


class Refused(NamedTuple):
    """What the finder itself could not use. `box`: None where what was said is no box of the image."""

    name: str
    box: Box | None
    reason: str


class Named(NamedTuple):
    """An object that the teacher listed. `box`: xyxy, pixels of the full image."""

    name: str
    box: Box


class Finding(NamedTuple):
    """`status` and `reason` are those of the image's only row where there is neither candidate nor refusal.

    `listing`: the teacher's call (columns of r2i.core.provenance.CALL), if there was one.
    """

    candidates: list[Candidate]
    refused: tuple[Refused, ...] = ()
    status: str = REJECTED
    reason: str = NO_REGION
    listing: Mapping[str, str] | None = None


class Listing(NamedTuple):
    """What the teacher listed in one image.

    Unless `status` is ok there are no objects, and `status` and `reason` are the image's where nothing was refused.
    `call`: columns of r2i.core.provenance.CALL. `repaired`: the reply's JSON was mended.
    """

    objects: tuple[Named, ...]
    refused: tuple[Refused, ...]
    status: str
    reason: str
    call: dict[str, str]
    repaired: bool = False

    def finding(self, candidates: list[Candidate], refused: Sequence[Refused]) -> Finding:
        """What the finder makes of it."""
        if self.status == OK:
            return Finding(candidates, tuple(refused), listing=self.call)
        return Finding(candidates, tuple(refused), self.status, self.reason, self.call)


Finder = Callable[[str, Image.Image], Finding]
"""(image_id, upright RGB picture) -> what is there."""


def make_finder(params: Crop, cut: Cut, listings: Mapping[str, Listing] | None = None) -> Finder:
    """Late imports: each finder brings its own heavy library.

    `listings`: the teacher's, by image_id, looked up when the finder is called. Raises R2IError where a package or the
    model is missing.
    """
    if params.asks_teacher:
        if listings is None:
            raise R2IError(f"crop.method {params.method} needs the teacher's listings", "this is a defect in the stage")
        if params.method == "teacher":
            return _as_listed(listings)
        from r2i.crop.sam2 import load_refiner

        return load_refiner(params, listings)
    if params.method == "sam2":
        from r2i.crop.sam2 import load_sam2

        return load_sam2(params, cut)
    if params.method == "text":
        from r2i.crop.text import load_text_finder

        return load_text_finder()
    from r2i.crop.contours import find_contours

    def find(image_id: str, image: Image.Image) -> Finding:
        return Finding(find_contours(image))

    return find


def _as_listed(listings: Mapping[str, Listing]) -> Finder:
    """The teacher's boxes as they are: they have no score."""

    def find(image_id: str, image: Image.Image) -> Finding:
        listing = listing_of(listings, image_id)
        found = [Candidate(item.box, None, name=item.name, place=n) for n, item in enumerate(listing.objects)]
        return listing.finding(found, listing.refused)

    return find


def listing_of(listings: Mapping[str, Listing], image_id: str) -> Listing:
    """Raises R2IError where the image was not listed."""
    if image_id not in listings:
        raise R2IError(f"no listing of image {image_id}", "this is a defect in the stage")
    return listings[image_id]
