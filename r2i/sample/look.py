"""One look at a picture: read once, decoded once, and all that the choice needs to know of it."""

import warnings
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from r2i.core.errors import ImageError
from r2i.core.images import is_plain_jpeg, jpeg_bytes, perceptual_hash, read_image, sha256
from r2i.core.params import Sample
from r2i.core.photos import Photos

HASH_SIDE = 256  # a JPEG's shorter side, pixels, may be decoded as small as this: the hash needs 32


@dataclass(frozen=True)
class Task:
    """What to look at: a reference into a pool, or `data` itself. `give`: the JPEG must come back."""

    image_id: str
    pool: str
    member: str
    start: int | None
    size: int | None
    data: bytes | None
    give: bool


@dataclass(frozen=True)
class Look:
    """`reason`: why it can't be used, else empty. Sizes in pixels, upright.

    `plain`: the source's bytes are the JPEG to keep. `image`: that JPEG, where it is newly encoded or asked for.
    """

    reason: str = ""
    format: str | None = None
    mode: str | None = None
    width: int | None = None
    height: int | None = None
    phash: str | None = None
    plain: bool = False
    image: bytes | None = None


def look(task: Task, photos: Photos, cfg: Sample) -> Look:
    """Read and judge one picture by itself: all filters but those that compare it with others."""
    try:
        data = task.data
        if data is None:
            data = photos.source(task.pool, task.member, task.start, task.size)
    except OSError:
        return Look("unreadable")
    if sha256(data) != task.image_id:
        return Look("changed")  # while we looked, or behind an unchanged size and time
    return look_at(data, cfg, task.give)


def look_at(data: bytes, cfg: Sample, give: bool) -> Look:
    """As `look`, of bytes."""
    try:
        reduced = _decode_reduced(data)
        plain = reduced is not None
        if reduced:
            image, size, kind, mode = reduced
        else:
            image = read_image(data)
            size = image.size
            with Image.open(BytesIO(data)) as header:
                kind, mode = header.format, header.mode
    except ImageError as error:
        return Look(error.cause)
    seen = Look("", kind, mode, *size, perceptual_hash(image), plain).__dict__
    if min(size) < cfg.min_side:
        return Look(**seen | {"reason": "too_small"})
    if max(size) > cfg.max_aspect * min(size):
        return Look(**seen | {"reason": "extreme_aspect"})
    if plain:
        return Look(**seen | {"image": data if give else None})
    return Look(**seen | {"image": jpeg_bytes(image) if cfg.embed or give else None})


def _decode_reduced(data: bytes) -> tuple[Image.Image, tuple[int, int], str | None, str] | None:
    """A plain JPEG at 1/2, 1/4 or 1/8 of its size, with its size, format and mode; None for other or broken files.

    All of the file is read and all its coefficients are unpacked, so that a torn one is noticed; only the
    inverse transform is done for fewer pixels, which takes most of the time. The hash of a large photograph is
    that of a whole decode but for 2 bits now and then, as after recompression.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on broken metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        if not is_plain_jpeg(data):
            return None
        try:
            with Image.open(BytesIO(data)) as image:
                size, kind, mode = image.size, image.format, image.mode
                factor = max(1, min(size) // HASH_SIDE)
                image.draft(None, (size[0] // factor, size[1] // factor))
                image.load()
                return image, size, kind, mode
        except Exception:  # whatever it is, `read_image` names the reason
            return None
