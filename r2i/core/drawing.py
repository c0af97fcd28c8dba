"""A region in pixels: its box framed, its crop cut, its box drawn. One way for training and for measuring."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageDraw, ImageStat

from r2i.core.boxes import Box, clip, expand, square
from r2i.core.errors import ImageError, R2IError
from r2i.core.images import MAX_SIDE, QUALITY, jpeg_bytes
from r2i.core.params import Cut, Outline

RED = (255, 0, 0)
GREY = (127, 127, 127)


def frame_box(box: Box, cut: Cut, width: int, height: int) -> Box:
    """The region around a tight `box` on an image of `width` x `height`: grown by the margin, then made a square if so.

    This is the box that is checked, cropped and drawn; there is no second one.
    """
    grown = expand(box, cut.margin, width, height)
    return square(grown, width, height) if cut.square else grown


def cut_crop(image: Image.Image, box: Box, cut: Cut) -> Image.Image:
    """What `box` holds, as teachers and the crop view see it: upscaled by Lanczos.

    Raises ImageError `crop_too_large` where nobody could decode it again: it has more pixels than `read_image` takes.
    """
    if not crop_fits(box, cut):
        raise ImageError("crop_too_large")
    return image.crop(box).resize(_crop_size(box, cut), Image.Resampling.LANCZOS)


def crop_fits(box: Box, cut: Cut) -> bool:
    """Whether a crop of `box` can be stored and read again."""
    width, height = _crop_size(box, cut)
    return width * height <= (Image.MAX_IMAGE_PIXELS or math.inf) and max(width, height) <= MAX_SIDE


def _crop_size(box: Box, cut: Cut) -> tuple[int, int]:
    left, top, right, bottom = box
    return (right - left) * cut.upscale, (bottom - top) * cut.upscale


def draw_box(image: Image.Image, box: Box, outline: Outline) -> Image.Image:
    """A copy of `image` with `box` outlined in red.

    The line lies outside of the region: the drawn box is larger by `outline.expand` of it, and by the line's width at
    least. Where the image ends at the region there is no outside: the line there covers a tenth of it at most (but one
    pixel in any case), so that a small region is still seen.
    """
    copy = image.copy()
    draw = ImageDraw.Draw(copy)
    dx, dy = (max(round(side * outline.expand), outline.line) for side in (box[2] - box[0], box[3] - box[1]))
    outer = clip(Box(box[0] - dx, box[1] - dy, box[2] + dx, box[3] + dy), *image.size)
    left, top = (_line_width(box[at] - outer[at], box[at + 2] - box[at], outline.line) for at in (0, 1))
    right, bottom = (_line_width(outer[at] - box[at], box[at] - box[at - 2], outline.line) for at in (2, 3))
    for bar in (
        (outer.left, outer.top, outer.left + left, outer.bottom),
        (outer.right - right, outer.top, outer.right, outer.bottom),
        (outer.left, outer.top, outer.right, outer.top + top),
        (outer.left, outer.bottom - bottom, outer.right, outer.bottom),
    ):
        draw.rectangle([bar[0], bar[1], bar[2] - 1, bar[3] - 1], fill=RED)
    return copy


def _line_width(room: int, side: int, line: int) -> int:
    """Pixels of the line on one side of a region. `room`: between the region and the drawn box; `side`: the region's
    length across the line."""
    return min(line, max(1, room + side // 10))


def paint_over(image: Image.Image, box: Box) -> Image.Image:
    """A copy of `image` with `box` in one colour: the mean of what is around it, a quarter of its longer side wide.

    Where the image ends at the region on every side there is nothing around it: then grey.
    """
    reach = max(1, max(box[2] - box[0], box[3] - box[1]) // 4)
    outer = clip(Box(box[0] - reach, box[1] - reach, box[2] + reach, box[3] + reach), *image.size)
    ring = Image.new("L", (outer.right - outer.left, outer.bottom - outer.top), 255)
    inside = tuple(side - outer[at % 2] for at, side in enumerate(box))
    ring.paste(0, inside)
    around = ImageStat.Stat(image.crop(outer), ring)
    copy = image.copy()
    copy.paste(tuple(round(mean) for mean in around.mean) if around.count[0] else GREY, tuple(box))
    return copy


def make_crop(image: Image.Image, box: Box, cut: Cut) -> bytes:
    """JPEG bytes of the crop view. Raises ImageError."""
    with _as_fault_of_the_picture():
        return jpeg_bytes(cut_crop(image, box, cut), cut.quality)


def make_boxed(image: Image.Image, box: Box, outline: Outline) -> bytes:
    """JPEG bytes of the boxed view. Raises ImageError."""
    with _as_fault_of_the_picture():
        return jpeg_bytes(draw_box(image, box, outline), outline.quality)


def make_removed(image: Image.Image, box: Box) -> bytes:
    """JPEG bytes of the full view with the region painted over. Raises ImageError."""
    with _as_fault_of_the_picture():
        return jpeg_bytes(paint_over(image, box), QUALITY)


@contextmanager
def _as_fault_of_the_picture() -> Iterator[None]:
    """Libraries raise anything on a picture that nobody has thought of: `undrawable`, a reason of its row."""
    try:
        yield
    except R2IError:
        raise
    except Exception as error:
        raise ImageError("undrawable") from error
