"""Attention laid over the picture it looks at, for the report.

Colour says how strongly a token is looked at, as a multiple of a look that spreads evenly over the image (1). The
picture is greyed and dimmed where little attention goes, so that colour means attention and nothing else.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from r2i.core.boxes import Box
from r2i.core.images import jpeg_bytes

Frame = tuple[float, float, float, float]  # xyxy, pixels of the image: what the tokens cover
Grid = tuple[int, int]  # rows and columns of image tokens
LONGEST = 400  # pixels of one picture's longest side
QUALITY = 88
GAP = 12  # pixels between two pictures
DIM = 0.55  # brightness left where there is no attention
STRONGEST = 0.95  # opacity of the colour at the top of the scale
FLAT = 0.45  # share of the colour that ignores the picture below it; the rest lets its detail through
OUTLINE, EDGE = (255, 255, 255), (0, 0, 0)


def relative_attention(values: Sequence[float], grid: Grid) -> np.ndarray:
    """The map of a row as (rows, columns), its mean 1: 2 is twice an even look. All zeros stay zeros."""
    raw = np.asarray(values, dtype=np.float64).reshape(grid)
    return raw / raw.mean() if raw.mean() > 0 else raw


def top_of_scale(maps: Sequence[np.ndarray]) -> float:
    """Where the colours of pictures that are compared end: at their largest value, and at 2 at the lowest.

    Of more than 200 tokens the largest half percent is left out: large models park attention on a few tokens that
    mean nothing, and those would dim all others.
    """
    return max([2.0, *(float(np.percentile(one, 99.5, method="higher")) for one in maps)])


def heatmap(
    image: Image.Image,
    values: Sequence[float],
    grid: Grid,
    box: Box,
    frame: Frame | None = None,
    top: float | None = None,
) -> bytes:
    """JPEG of `image` under its attention, with `box` (xyxy, pixels of `image`) outlined.

    `values`: the column `map` of ATTENTION, one for each token of `grid`; `frame`: what the tokens cover (None: the
    whole image); `top`: the end of the colour scale, as a multiple of an even look (None: this map's own).
    """
    relative = relative_attention(values, grid)
    return jpeg_bytes(_paint(image, relative, box, frame, top or top_of_scale([relative])), QUALITY)


def heatmaps_beside(
    image: Image.Image,
    maps: Sequence[Sequence[float]],
    grid: Grid,
    box: Box,
    frame: Frame | None = None,
) -> bytes:
    """JPEG of the picture itself and then of each map of `maps` over it, left to right, all on one colour scale.

    Models that are compared see the same picture in the same `grid`.
    """
    relative = [relative_attention(values, grid) for values in maps]
    top = top_of_scale(relative)
    plain = _outline(_fit(image), box, image.size)
    pictures = [plain, *(_paint(image, one, box, frame, top) for one in relative)]
    width, height = plain.size
    sheet = Image.new("RGB", (len(pictures) * (width + GAP) - GAP, height), "white")
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number * (width + GAP), 0))
    return jpeg_bytes(sheet, QUALITY)


def _paint(image: Image.Image, relative: np.ndarray, box: Box, frame: Frame | None, top: float) -> Image.Image:
    from matplotlib import colormaps  # late: only the report draws

    shown = _fit(image)
    strength = _spread(np.clip(relative / top, 0, 1), shown.size, image.size, frame)[..., None]  # (H, W, 1), 0 to 1
    grey = np.asarray(shown.convert("L").convert("RGB"), dtype=np.float64) * DIM
    colour = colormaps["inferno"](0.25 + 0.7 * strength[..., 0])[..., :3] * (FLAT * 255 + (1 - FLAT) * grey / DIM)
    cover = STRONGEST * strength**0.7
    mixed = Image.fromarray(np.rint(grey * (1 - cover) + colour * cover).astype(np.uint8))
    return _outline(mixed, box, image.size)


def _fit(image: Image.Image) -> Image.Image:
    """Scaled so that its longest side is LONGEST."""
    factor = LONGEST / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def _spread(strength: np.ndarray, shown: tuple[int, int], full: tuple[int, int], frame: Frame | None) -> np.ndarray:
    """Each pixel of a picture of size `shown` gets its token's value, smoothed between tokens: (H, W).

    Zero outside the frame, where the model saw nothing.
    """
    left, top, right, bottom = frame or (0, 0, *full)
    scale = shown[0] / full[0], shown[1] / full[1]
    window = (left * scale[0], top * scale[1], right * scale[0], bottom * scale[1])
    size = (max(1, round(window[2] - window[0])), max(1, round(window[3] - window[1])))
    tokens = Image.fromarray(strength.astype(np.float32))
    smooth = tokens.resize(size, Image.Resampling.BICUBIC)
    ground = Image.new("F", shown, 0.0)
    ground.paste(smooth, (round(window[0]), round(window[1])))
    return np.clip(np.asarray(ground, dtype=np.float64), 0, 1)


def _outline(picture: Image.Image, box: Box, full: tuple[int, int]) -> Image.Image:
    """With `box` outlined in white on black, readable on any ground."""
    across, down = picture.width / full[0], picture.height / full[1]
    corners = (round(box[0] * across), round(box[1] * down), round(box[2] * across) - 1, round(box[3] * down) - 1)
    left, top, right, bottom = corners
    right, bottom = max(left, right), max(top, bottom)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((left - 4, top - 4, right + 4, bottom + 4), outline=EDGE, width=5)
    draw.rectangle((left - 3, top - 3, right + 3, bottom + 3), outline=OUTLINE, width=3)
    return picture
