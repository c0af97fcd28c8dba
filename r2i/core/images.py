"""Pictures in and out: one way to read any file as RGB, one way to write JPEG bytes.

JPEG is written by the libjpeg that Pillow bundles, so that the same picture gives the same bytes
on every host of a kind (PNG would be compressed by the host's zlib).
"""

import hashlib
import warnings
from io import BytesIO
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from r2i.core.errors import ImageError

QUALITY = 95
SENT_QUALITY = 85  # of pictures scaled down to be sent: size is what they are about
_T = Image.Transpose
TURNS = {  # EXIF orientation -> what makes the picture upright
    2: _T.FLIP_LEFT_RIGHT, 3: _T.ROTATE_180, 4: _T.FLIP_TOP_BOTTOM, 5: _T.TRANSPOSE,
    6: _T.ROTATE_270, 7: _T.TRANSVERSE, 8: _T.ROTATE_90,
}  # fmt: skip


def read_image(data: bytes) -> Image.Image:
    """Decode `data` to the upright RGB picture that a viewer shows.

    EXIF rotation is applied, alpha is laid on white, 16-bit greys are scaled to 8 bits, CMYK and
    palettes are converted. Raises ImageError whose `cause` is a short reason: `unreadable`,
    `truncated`, `decompression_bomb`, `animated`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on broken metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(BytesIO(data))
            if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":  # MPO: a photo and its preview
                raise ImageError("animated")
            image.load()
            return _to_rgb(_upright(image))
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError("decompression_bomb") from error
    except UnidentifiedImageError as error:
        raise ImageError("unreadable") from error
    except Exception as error:  # hostile files make Pillow's decoders raise nearly anything
        raise ImageError("truncated" if "truncated" in str(error).lower() else "unreadable") from error


def _upright(image: Image.Image) -> Image.Image:
    """Turned as EXIF says; Pillow's own way also writes the EXIF anew, which fails where it is broken."""
    turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16- or 32-bit grey: scale, `convert` would clip
        import numpy as np

        grey = np.asarray(image).astype("float64")
        top = 65535.0 if image.mode != "I" or grey.max() > 255 else 255.0
        return Image.fromarray((grey / top * 255).clip(0, 255).astype("uint8")).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, rgba).convert("RGB")
    return image.convert("RGB")


def is_plain_jpeg(data: bytes) -> bool:
    """Whether `data` starts as an upright RGB JPEG: such a file is stored as it is."""
    try:
        with Image.open(BytesIO(data)) as header:
            upright = header.format == "JPEG" and header.getexif().get(ExifTags.Base.Orientation, 1) == 1
            return upright and header.mode == "RGB"
    except Exception:  # hostile files make Pillow raise nearly anything
        return False


def stored_jpeg(data: bytes, image: Image.Image) -> bytes:
    """The JPEG bytes to keep of a source file: its own where it is an upright RGB JPEG, else newly encoded.

    `image` is `read_image(data)`.
    """
    return data if is_plain_jpeg(data) else jpeg_bytes(image)


def perceptual_hash(image: Image.Image) -> str:
    """The 64-bit pHash (sign of low DCT frequencies) as 16 hex digits: near copies differ in few bits."""
    import imagehash  # late: it brings scipy with it

    return str(imagehash.phash(image))


def jpeg_bytes(image: Image.Image, quality: int = QUALITY) -> bytes:
    """Encode as JPEG; from QUALITY up without chroma subsampling (small coloured details would bleed)."""
    buffer = BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality, subsampling=0 if quality >= QUALITY else 2)
    return buffer.getvalue()


def shrink(data: bytes, max_pixels: int) -> bytes:
    """The JPEG `data` scaled down (Lanczos) to at most `max_pixels`, or `data` itself where it is small enough.

    Raises ImageError.
    """
    image = read_image(data)
    width, height = image.size
    if width * height <= max_pixels:
        return data
    factor = (max_pixels / (width * height)) ** 0.5
    size = (max(1, int(width * factor)), max(1, int(height * factor)))
    return jpeg_bytes(image.resize(size, Image.Resampling.LANCZOS), SENT_QUALITY)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    """Of a file's bytes, however many. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
