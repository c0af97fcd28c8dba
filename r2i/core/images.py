"""Pictures in and out: one way to read any file as RGB, one way to write JPEG bytes.

JPEG is written by the libjpeg that Pillow bundles, so that the same picture gives the same bytes
on every host of a kind (PNG would be compressed by the host's zlib).
"""

import hashlib
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from PIL import ExifTags, Image, ImageStat, UnidentifiedImageError

from r2i.core.errors import ImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # all that is decoded, by Pillow's names; JPEG includes MPO
MAX_BYTES = 2**28  # of a file: a picture of Pillow's MAX_IMAGE_PIXELS without compression, three bytes a pixel
MAX_SIDE = 65_500  # pixels: libjpeg writes no more
BOMB_PIXELS = 2**25  # above so many a file must hold a byte for every BOMB_RATIO of them: photographs hold ten
BOMB_RATIO = 64
MAX_SCANS = 100  # of a progressive JPEG: encoders write about ten
STRIP = 2**20  # pixels that are converted at once
QUALITY = 95
SENT_QUALITY = 85  # of pictures scaled down to be sent: size is what they are about
PLAIN_SHARE = 0.7  # of a picture's pixels within PLAIN_LEVELS (of 255) of one grey: it has no perceptual hash
PLAIN_LEVELS = 4
PLAIN_DEVIATION = 3.0  # levels, of the picture at THUMB pixels a side: so it has none where all is paper and noise
THUMB = (32, 32)  # as the hash sees it
_SCAN = b"\xff\xda"  # what a scan of a JPEG starts with
_PHOTOMETRIC = 262  # tag of TIFF
_T = Image.Transpose
TURNS = {  # EXIF orientation -> what makes the picture upright
    2: _T.FLIP_LEFT_RIGHT, 3: _T.ROTATE_180, 4: _T.FLIP_TOP_BOTTOM, 5: _T.TRANSPOSE,
    6: _T.ROTATE_270, 7: _T.TRANSVERSE, 8: _T.ROTATE_90,
}  # fmt: skip


def read_image(data: bytes) -> Image.Image:
    """Decode `data` to the upright RGB picture that a viewer shows.

    EXIF rotation is applied, alpha is laid on white, 16-bit greys are scaled to 8 bits, CMYK and
    palettes are converted. Raises ImageError whose `cause` is a short reason: `unreadable` (none of FORMATS, too),
    `truncated`, `decompression_bomb`, `animated`, `file_too_large`, `side_too_long` (over MAX_SIDE), `unknown_scale`
    (numbers of which nobody says what is white).
    """
    if len(data) > MAX_BYTES:
        raise ImageError("file_too_large")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on broken metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = open_image(data)
            refuse_unfit(image, data)
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


def open_image(data: bytes) -> Image.Image:
    """The header of a picture: format, mode and size; nothing is decoded yet. Only FORMATS are tried: others bring
    interpreters with them (EPS starts Ghostscript). Raises what Pillow raises, among it OSError."""
    return Image.open(BytesIO(data), formats=FORMATS)


def read_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels by the header alone; of a picture that r2i stored, which is upright, the size that is
    seen. Raises ImageError."""
    try:
        with open_image(data) as header:
            return header.size
    except Exception as error:  # hostile files make Pillow raise nearly anything
        raise ImageError("unreadable") from error


def refuse_unfit(image: Image.Image, data: bytes) -> None:
    """Raise ImageError for what the header alone shows. `data`: the file's bytes."""
    pixels = image.width * image.height
    if pixels > BOMB_PIXELS and pixels > len(data) * BOMB_RATIO:
        raise ImageError("decompression_bomb")
    if image.format in ("JPEG", "MPO") and data.count(_SCAN) > MAX_SCANS + len(data) // 2**14:
        raise ImageError("decompression_bomb")  # each scan goes over all pixels; bytes behind a photo look like some
    if image.format != "MPO" and getattr(image, "is_animated", False):  # MPO: a photo and its preview
        raise ImageError("animated")
    if max(image.size) > MAX_SIDE:
        raise ImageError("side_too_long")
    if image.mode in ("I", "F"):  # 32 bits: 1.0, 255 and 65535 are all in use as white
        raise ImageError("unknown_scale")


def _upright(image: Image.Image) -> Image.Image:
    """Turned as EXIF says; Pillow's own way also writes the EXIF anew, which fails where it is broken."""
    turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and not image.has_transparency_data:
        return image.convert("RGB")  # a picture without the file behind it
    rgb = Image.new("RGB", image.size)
    rgb.info = {name: value for name, value in image.info.items() if name == "comment"}  # goes on into a JPEG
    for box in _strips(image.size):  # a copy in every mode on the way would take five times the picture's memory
        rgb.paste(_strip_to_rgb(image, box), box[:2])
    return rgb


def _strips(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Boxes of whole rows, of about STRIP pixels each."""
    width, height = size
    rows = max(1, STRIP // width)
    return ((0, top, width, min(top + rows, height)) for top in range(0, height, rows))


def _strip_to_rgb(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey: scale, `convert` would clip
        import numpy as np

        grey = np.asarray(image.crop(box)).astype("float64")
        if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0:  # TIFF: 0 is white, which Pillow heeds at 8 bits alone
            grey = 65535.0 - grey
        return Image.fromarray((grey / 65535.0 * 255).clip(0, 255).astype("uint8")).convert("RGB")
    strip = image.crop(box)
    if strip.has_transparency_data:
        rgba = strip.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, rgba).convert("RGB")
    return strip.convert("RGB")


def is_plain_jpeg(data: bytes) -> bool:
    """Whether `data` starts as an upright RGB JPEG: such a file is stored as it is."""
    try:
        with open_image(data) as header:
            upright = header.format == "JPEG" and header.getexif().get(ExifTags.Base.Orientation, 1) == 1
            return upright and header.mode == "RGB"
    except Exception:  # hostile files make Pillow raise nearly anything
        return False


def stored_jpeg(data: bytes, image: Image.Image) -> bytes:
    """The JPEG bytes to keep of a source file: its own where it is an upright RGB JPEG, else newly encoded.

    `image` is `read_image(data)`.
    """
    return data if is_plain_jpeg(data) else jpeg_bytes(image)


def perceptual_hash(image: Image.Image) -> str | None:
    """The 64-bit pHash (sign of low DCT frequencies) as 16 hex digits: near copies differ in few bits.

    None where most of the picture is of one grey (flat pictures, pages of text): what tells two of them apart is small,
    and the hash, which sees broad shapes alone, calls them all one picture.
    """
    if _is_plain(image.convert("L")):
        return None
    import imagehash  # late: it brings scipy with it

    return str(imagehash.phash(image))


def _is_plain(grey: Image.Image) -> bool:
    levels = grey.histogram()
    ground = levels.index(max(levels))
    near = levels[max(0, ground - PLAIN_LEVELS) : ground + PLAIN_LEVELS + 1]
    if sum(near) >= PLAIN_SHARE * sum(levels):
        return True
    thumb = grey.resize(THUMB, Image.Resampling.BOX)
    return ImageStat.Stat(thumb).stddev[0] < PLAIN_DEVIATION


def jpeg_bytes(image: Image.Image, quality: int = QUALITY) -> bytes:
    """Encode as JPEG; from QUALITY up without chroma subsampling (small coloured details would bleed).

    Raises ImageError `side_too_long` where the format has no room for the picture.
    """
    if max(image.size) > MAX_SIDE:
        raise ImageError("side_too_long")
    buffer = BytesIO()
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    rgb.save(buffer, "JPEG", quality=quality, subsampling=0 if quality >= QUALITY else 2)
    return buffer.getvalue()


def shrink(data: bytes, max_pixels: int) -> bytes:
    """The JPEG `data` scaled down (Lanczos) to at most `max_pixels`, or `data` itself where it is small enough.

    Raises ImageError.
    """
    image = read_image(data)
    size = shrunk_size(*image.size, max_pixels)
    if size == image.size:
        return data
    return jpeg_bytes(image.resize(size, Image.Resampling.LANCZOS), SENT_QUALITY)


def shrunk_size(width: int, height: int, max_pixels: int | None) -> tuple[int, int]:
    """Width and height of an image that `shrink` has scaled down; None: it is not."""
    if max_pixels is None or width * height <= max_pixels:
        return width, height
    factor = (max_pixels / (width * height)) ** 0.5
    return max(1, int(width * factor)), max(1, int(height * factor))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    """Of a file's bytes, however many. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
