"""The finder that `crop.method` names."""

from collections.abc import Mapping

from PIL import Image

from r2i.core.errors import R2IError
from r2i.core.params import Crop
from r2i.crop.candidates import Finder, Finding, Listing


def make_finder(cfg: Crop, listings: Mapping[str, Listing] | None = None) -> Finder:
    """Late imports: each finder brings its own heavy library.

    `listings`: teacher+sam2's, by image_id, looked up when the finder is called. Raises R2IError where a package
    or the model is missing.
    """
    if cfg.method == "sam2":
        from r2i.crop.sam2 import load_sam2

        return load_sam2(cfg)
    if cfg.method == "teacher+sam2":
        from r2i.crop.sam2 import load_refiner

        if listings is None:
            raise R2IError("crop.method teacher+sam2 needs the teacher's listings", "this is a defect in the stage")
        return load_refiner(cfg, listings)
    from r2i.crop.contours import find_contours

    def find(image_id: str, image: Image.Image) -> Finding:
        return Finding(find_contours(image))

    return find
