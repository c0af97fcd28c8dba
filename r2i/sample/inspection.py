"""Inspect one image of a pool: read once, decoded once, for all that the choice needs to know of it."""

import warnings
from dataclasses import dataclass, replace

from PIL import Image

from r2i.core.errors import ImageError
from r2i.core.images import is_plain_jpeg, jpeg_bytes, open_image, perceptual_hash, read_image, refuse_unfit, sha256
from r2i.core.params import Sample
from r2i.core.photos import Photos

HASH_SIDE = 256  # a JPEG's shorter side, pixels, may be decoded as small as this: the hash needs 32


@dataclass(frozen=True)
class InspectionTask:
    """What to inspect: a reference into a pool (columns of records.IMAGES), or `data`, the image's own bytes.

    `return_jpeg`: whether the inspection must hold the JPEG.
    """

    image_id: str
    pool: str
    member: str
    start: int | None
    size: int | None
    data: bytes | None
    return_jpeg: bool


@dataclass(frozen=True)
class Inspection:
    """What is known of an image. `reason`: why it can't be used, or empty. Sizes in pixels, upright.

    `is_plain`: whether the source's bytes are the JPEG to keep. `image`: that JPEG, where it is newly encoded or asked
    for.
    """

    reason: str = ""
    format: str | None = None
    mode: str | None = None
    width: int | None = None
    height: int | None = None
    phash: str | None = None
    is_plain: bool = False
    image: bytes | None = None


def inspect_image(task: InspectionTask, photos: Photos, params: Sample) -> Inspection:
    """Read one image and apply all filters but those that compare it with others."""
    try:
        data = task.data
        if data is None:
            data = photos.source(task.pool, task.member, task.start, task.size)
    except OSError:
        return Inspection("unreadable")
    if sha256(data) != task.image_id:
        return Inspection("changed")  # while we read, or behind an unchanged size and modification time
    return inspect_bytes(data, params, task.return_jpeg)


def inspect_bytes(data: bytes, params: Sample, return_jpeg: bool) -> Inspection:
    """As `inspect_image`, of bytes."""
    try:
        reduced = _decode_reduced(data)
        is_plain = reduced is not None
        if reduced:
            image, size, kind, mode = reduced
        else:
            image = read_image(data)
            size = image.size
            with open_image(data) as header:
                kind, mode = header.format, header.mode
    except ImageError as error:
        return Inspection(error.cause)
    inspection = Inspection("", kind, mode, *size, perceptual_hash(image), is_plain)
    if min(size) < params.min_side:
        return replace(inspection, reason="too_small")
    if max(size) > params.max_aspect * min(size):
        return replace(inspection, reason="extreme_aspect")
    if is_plain:
        return replace(inspection, image=data if return_jpeg else None)
    return replace(inspection, image=jpeg_bytes(image) if params.embed or return_jpeg else None)


def _decode_reduced(data: bytes) -> tuple[Image.Image, tuple[int, int], str | None, str] | None:
    """A plain JPEG at 1/2, 1/4 or 1/8 of its size, with its size, format and mode; None for other or broken files.

    All of the file is read and all its coefficients are unpacked, so that a torn one is noticed; only the
    inverse transform, which takes most of the time, is done for fewer pixels. The hash of a large photograph differs
    from that of a full decode by up to 2 bits now and then, as after recompression.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on broken metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        if not is_plain_jpeg(data):
            return None
        try:
            with open_image(data) as image:
                refuse_unfit(image, data)
                size, kind, mode = image.size, image.format, image.mode
                factor = max(1, min(size) // HASH_SIDE)
                image.draft(None, (size[0] // factor, size[1] // factor))
                image.load()
                return image, size, kind, mode
        except Exception:  # whatever it is, `read_image` names the reason
            return None
