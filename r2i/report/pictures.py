"""Pictures inside the page: made small enough that all of them together stay within its size."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from markupsafe import Markup
from PIL import Image

from r2i.core.errors import ImageError
from r2i.core.images import read_image

LARGEST = {"full": 720, "crop": 320, "thumb": 240, "look": 1224}  # longest side, pixels
LIMIT = {"full": 110_000, "crop": 36_000, "thumb": 13_000, "look": 110_000}  # most bytes of JPEG
SMALL = 160  # pictures up to this side are shown enlarged, pixel by pixel
QUALITIES = (82, 66, 50, 35)
SHRINK = 0.75  # of the sides, where no quality is enough


@dataclass(frozen=True)
class Picture:
    """`uri`: a data URI; `width`, `height`: of the original, pixels; `box`: CSS of an outline over it, or empty."""

    uri: Markup
    width: int
    height: int
    small: bool
    box: str = ""


def picture(data: bytes | None, kind: str, box: Sequence[int] | None = None, scale: float = 1.0) -> Picture | None:
    """A picture as a data URI of at most `scale` x LIMIT[kind] bytes; None where there is none to show.

    `box`: xyxy, pixels of the picture, to be outlined.
    """
    if not data:
        return None
    try:
        image = read_image(data)
    except ImageError:
        return None  # the row is what it is; the page shows its text
    most = int(scale * LIMIT[kind])
    fits = max(image.size) <= LARGEST[kind] and len(data) <= most and data.startswith(b"\xff\xd8")
    kept = data if fits else fit(image, kind, most)
    return Picture(uri_of(kept), *image.size, max(image.size) <= SMALL, _outline(box, *image.size))


def fit(image: Image.Image, kind: str, most: int) -> bytes:
    """The best JPEG of at most `most` bytes: lower quality first, then fewer pixels."""
    side = float(LARGEST[kind])
    while True:
        copy = image.copy()
        copy.thumbnail((max(8, int(side)),) * 2, Image.Resampling.LANCZOS)
        for quality in QUALITIES:
            buffer = BytesIO()
            copy.save(buffer, "JPEG", quality=quality)
            if buffer.tell() <= most or side <= 16:
                return buffer.getvalue()
        side = SHRINK * min(side, max(copy.size))


def uri_of(data: bytes) -> Markup:
    return Markup("data:image/jpeg;base64," + base64.b64encode(data).decode())


def _outline(box: Sequence[int] | None, width: int, height: int) -> str:
    if not box or len(box) != 4:
        return ""
    left, top, right, bottom = box
    shares = (left / width, top / height, (right - left) / width, (bottom - top) / height)
    return ";".join(
        f"{name}:{100 * share:.2f}%" for name, share in zip(("left", "top", "width", "height"), shares, strict=True)
    )
