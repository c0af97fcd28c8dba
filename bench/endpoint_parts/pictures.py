"""JPEGs of a chosen size: a few files of noise, and as many distinct pictures from them as are wanted."""

from pathlib import Path

import numpy as np
from PIL import Image

from r2i.core.images import jpeg_bytes
from r2i.endpoint.base import Picture

FILES = 16
COMMENT = 65_000  # most bytes in one JPEG comment


def make_files(folder: Path, size: int) -> None:
    """Write FILES photographs' worth of noise into `folder`, each a JPEG a little below `size` bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0)
    strip = noise.integers(0, 256, (64, 256, 3), dtype=np.uint8)
    height = int(64 * 0.95 * size / len(jpeg_bytes(Image.fromarray(strip), 80)))
    for index in range(FILES):
        data = jpeg_bytes(Image.fromarray(noise.integers(0, 256, (max(8, height), 256, 3), dtype=np.uint8)), 80)
        (folder / f"{index}.jpg").write_bytes(data)


def picture(folder: Path, index: int, size: int) -> Picture:
    """Picture number `index`: a file of `folder`, read when asked for, with comments that make it `size` bytes."""
    return Picture(lambda: stamped((folder / f"{index % FILES}.jpg").read_bytes(), index, size))


def stamped(data: bytes, index: int, size: int) -> bytes:
    """The JPEG `data` with its number in a comment, and comments filled up to `size` bytes."""
    comments = [_comment(str(index).encode())]
    missing = size - len(data) - len(comments[0])
    while missing > 4:
        comments.append(_comment(b" " * min(COMMENT, missing - 4)))
        missing -= len(comments[-1])
    return b"".join((data[:2], *comments, data[2:]))


def _comment(text: bytes) -> bytes:
    return b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text
