"""How much a crop enlarges its region: published crops of one benchmark differ in it, and so does their gap."""

from math import sqrt

from PIL import Image, ImageChops, ImageStat

from r2i.core.boxes import Box

ROUNDING = 1.5  # pixels of the region that a side may be off: annotators and cutters round
SLACK = 0.03  # share of a side that it may be off
THUMB = (16, 16)
SAME_LEVELS = 16.0  # mean difference of grey levels, of 255, below which two pictures of this size show the same


def magnification_of(image: Image.Image, box: Box, crop: Image.Image) -> float | None:
    """Pixels of `crop` for a pixel of the region, along a side: 1.0 is native, 2.0 twofold.

    None where the crop shows something else than the region: its sides have another proportion, or it looks otherwise.
    """
    width, height = box.right - box.left, box.bottom - box.top
    across, down = crop.width / width, crop.height / height
    mean = sqrt(across * down)
    off = max(abs(crop.width / mean - width) / (SLACK * width + ROUNDING),
              abs(crop.height / mean - height) / (SLACK * height + ROUNDING))  # fmt: skip
    if off > 1 or not _look_alike(image.crop(box), crop):
        return None
    return mean


def _look_alike(region: Image.Image, crop: Image.Image) -> bool:
    small = (picture.convert("L").resize(THUMB, Image.Resampling.BOX) for picture in (region, crop))
    return ImageStat.Stat(ImageChops.difference(*small)).mean[0] < SAME_LEVELS
