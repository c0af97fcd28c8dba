"""The finder that `crop.method` names."""

from r2i.crop.regions import Finder
from r2i.params import Crop


def make_finder(cfg: Crop) -> Finder:
    """Late imports: each finder brings its own heavy library."""
    if cfg.method == "sam2":
        from r2i.crop.sam2 import load_sam2

        return load_sam2(cfg.sam2_model)
    from r2i.crop.contours import find_contours

    return find_contours
