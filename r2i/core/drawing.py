"""A region in pixels: its box framed, its crop cut, its box drawn. One way for training and for measuring."""

from PIL import Image, ImageDraw

from r2i.core.boxes import Box, expand, square
from r2i.core.images import jpeg_bytes
from r2i.core.params import Cut, Outline

RED = (255, 0, 0)


def frame_box(box: Box, cut: Cut, width: int, height: int) -> Box:
    """The region around a tight `box` on an image of `width` x `height`: grown by the margin, then made a square if so.

    This is the box that is checked, cropped and drawn; there is no second one.
    """
    grown = expand(box, cut.margin, width, height)
    return square(grown, width, height) if cut.square else grown


def cut_crop(image: Image.Image, box: Box, cut: Cut) -> Image.Image:
    """What `box` holds, as teachers and the crop view see it: upscaled by Lanczos."""
    piece = image.crop(box)
    return piece.resize((piece.width * cut.upscale, piece.height * cut.upscale), Image.Resampling.LANCZOS)


def draw_box(image: Image.Image, box: Box, outline: Outline) -> Image.Image:
    """A copy of `image` with `box`, expanded, outlined in red."""
    copy = image.copy()
    left, top, right, bottom = expand(box, outline.expand, *image.size)
    ImageDraw.Draw(copy).rectangle([left, top, right - 1, bottom - 1], outline=RED, width=outline.line)
    return copy


def make_crop(image: Image.Image, box: Box, cut: Cut) -> bytes:
    """JPEG bytes of the crop view."""
    return jpeg_bytes(cut_crop(image, box, cut), cut.quality)


def make_boxed(image: Image.Image, box: Box, outline: Outline) -> bytes:
    """JPEG bytes of the boxed view."""
    return jpeg_bytes(draw_box(image, box, outline), outline.quality)
