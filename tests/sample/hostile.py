"""A folder with everything that people's folders hold. Each maker writes one file; each file has its expected row."""

import io
import os
import shutil
import socket
import struct
import tarfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageCms

Expected = tuple[str, str]  # status, reason
OK = ("ok", "")
UNREADABLE = ("failed", "unreadable")
TRUNCATED = ("failed", "truncated")
ANIMATED = ("rejected", "animated")
SMALL = ("rejected", "too_small")
RIBBON = ("rejected", "extreme_aspect")
BOMB = ("failed", "decompression_bomb")
SIDE = 64  # pixels, of every good picture


def picture(number: int, width: int = SIDE, height: int = SIDE) -> Image.Image:
    """Smooth noise: every number another picture, also to a perceptual hash."""
    grid = np.random.default_rng(number).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(number: int, **options: Any) -> bytes:
    return encoded(picture(number), "JPEG", quality=95, **options)


def turned(number: int, orientation: int) -> bytes:
    """A photo that a viewer shows upright, as `picture(number)`, by turning what the file holds."""
    ways = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # the viewer turns it by 270 degrees
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = picture(number, 80, 48)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    held = image.transpose(ways[orientation]) if orientation in ways else image
    return encoded(held, "JPEG", quality=95, exif=exif)


def grey16(number: int) -> bytes:
    return encoded(Image.fromarray(np.asarray(picture(number).convert("L")).astype(np.uint16) * 257), "PNG")


def rgb16(number: int) -> bytes:
    pixels = np.asarray(picture(number)).astype(np.uint16) * 257
    return bytes(cv2.imencode(".png", pixels[:, :, ::-1])[1])


def seen_through(number: int, mode: str) -> Image.Image:
    """The picture with its left half transparent."""
    image = picture(number).convert(mode)
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (0, 0, SIDE // 2, SIDE))
    image.putalpha(alpha)
    return image


def palette_with_a_hole(number: int) -> bytes:
    image = picture(number).quantize(64)
    return encoded(image, "PNG", transparency=image.getpixel((0, 0)))


def with_profile(number: int) -> bytes:
    return jpeg(number, icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())


def with_exif(number: int, payload: bytes) -> bytes:
    data = jpeg(number)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + data[2:]


def moving(kind: str) -> bytes:
    return encoded(picture(1), kind, save_all=True, append_images=[picture(2)])


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb() -> bytes:
    """A PNG of some 50 kB that unpacks to 20 000 x 20 000 pixels."""
    header = struct.pack(">IIBBBBB", 20000, 20000, 1, 0, 0, 0, 0)
    packed = zlib.compress(bytes(20000 * 2501), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def damaged_png() -> bytes:
    data = bytearray(encoded(picture(3), "PNG"))
    data[len(data) // 2] ^= 0xFF  # the checksum of its chunk is wrong now
    return bytes(data)


def listening(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's address must be short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def tar_of_one(path: Path) -> None:
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("inside.jpg")
        info.size = len(jpeg(4))
        tar.addfile(info, io.BytesIO(jpeg(4)))


GOOD: dict[str, Callable[[], bytes]] = {
    "plain.jpg": partial(jpeg, 10),
    "progressive.jpg": partial(jpeg, 11, progressive=True),
    "grey.jpg": lambda: encoded(picture(12).convert("L"), "JPEG"),
    "cmyk.jpg": lambda: encoded(picture(13).convert("CMYK"), "JPEG", quality=95),
    "a-png.jpg": lambda: encoded(picture(14), "PNG"),
    "a-jpeg.png": partial(jpeg, 15),
    "no-extension": lambda: encoded(picture(16), "WEBP", lossless=True),
    "UPPER.JPEG": partial(jpeg, 17),
    ".hidden.jpg": partial(jpeg, 18),
    "picture.bmp": lambda: encoded(picture(19), "BMP"),
    "picture.tif": lambda: encoded(picture(20), "TIFF"),
    "packed.tif": lambda: encoded(picture(21), "TIFF", compression="tiff_lzw"),
    "still.gif": lambda: encoded(picture(22), "GIF"),
    "palette.png": lambda: encoded(picture(23).quantize(64), "PNG"),
    "palette-with-a-hole.png": partial(palette_with_a_hole, 24),
    "alpha.png": lambda: encoded(seen_through(25, "RGB"), "PNG"),
    "grey-alpha.png": lambda: encoded(seen_through(26, "L"), "PNG"),
    "one-bit.png": lambda: encoded(picture(27).convert("1"), "PNG"),
    "grey16.png": partial(grey16, 28),
    "rgb16.png": partial(rgb16, 29),
    "phone.mpo": lambda: encoded(picture(30), "MPO", save_all=True, append_images=[picture(31)]),
    "profile.jpg": partial(with_profile, 32),
    "trailing.jpg": lambda: jpeg(33) + b"<script>" * 200,
    "random-exif.jpg": lambda: with_exif(34, b"Exif\0\0" + np.random.default_rng(0).bytes(90)),
    "torn-exif.jpg": lambda: with_exif(35, b"Exif\0\0II*\0\x08\0\0\0\xff\xff"),
    "empty-exif.jpg": lambda: with_exif(36, b"Exif\0\0"),
    "new\nline.jpg": partial(jpeg, 37),
    "bang!\\x21.jpg": partial(jpeg, 38),
    "n" * 251 + ".jpg": partial(jpeg, 39),
    **{f"turned{way}.jpg": partial(turned, 40 + way, way) for way in range(1, 9)},
}

BAD: dict[str, tuple[Callable[[], bytes], Expected]] = {
    "zero.jpg": (bytes, UNREADABLE),
    "text.png": (lambda: b"dear diary", UNREADABLE),
    "error.jpg": (lambda: b"<!DOCTYPE html><html><body>404 Not Found</body></html>", UNREADABLE),
    "start.jpg": (lambda: b"\xff\xd8\xff", UNREADABLE),
    "noise.jpg": (lambda: np.random.default_rng(1).bytes(5000), UNREADABLE),
    **{f"cut{share}.jpg": (lambda share=share: _cut(jpeg(50), share), TRUNCATED) for share in (40, 60, 80, 95)},
    "cut-progressive.jpg": (lambda: _cut(jpeg(51, progressive=True), 70), TRUNCATED),
    "cut.png": (lambda: _cut(encoded(picture(52), "PNG"), 60), TRUNCATED),
    "cut.webp": (lambda: _cut(encoded(picture(53), "WEBP"), 60), UNREADABLE),
    "damaged.png": (damaged_png, UNREADABLE),
    "bomb.png": (bomb, BOMB),
    "moving.gif": (partial(moving, "GIF"), ANIMATED),
    "moving.webp": (partial(moving, "WEBP"), ANIMATED),
    "moving.png": (partial(moving, "PNG"), ANIMATED),
    "pages.tif": (partial(moving, "TIFF"), ANIMATED),
    "line.png": (lambda: encoded(Image.new("RGB", (12000, 1)), "PNG"), SMALL),
    "dot.png": (lambda: encoded(Image.new("RGB", (1, 1)), "PNG"), SMALL),
    "small.png": (lambda: encoded(picture(54, 31, 64), "PNG"), SMALL),
    "ribbon.png": (lambda: encoded(picture(55, 40, 161), "PNG"), RIBBON),  # 161 > 4 * 40
}

ODD: dict[str, tuple[Callable[[Path], object], Expected]] = {
    "broken-link.jpg": (lambda path: path.symlink_to("nowhere.jpg"), UNREADABLE),
    "self-link.jpg": (lambda path: path.symlink_to(path.name), UNREADABLE),
    "loop-a.jpg": (lambda path: path.symlink_to("loop-b.jpg"), UNREADABLE),
    "loop-b.jpg": (lambda path: path.symlink_to("loop-a.jpg"), UNREADABLE),
    "pipe.jpg": (os.mkfifo, UNREADABLE),
    "socket.jpg": (listening, UNREADABLE),
    "shard.tar": (tar_of_one, UNREADABLE),  # a folder's tar is no image; pools of kind tar read it
}


def _cut(data: bytes, percent: int) -> bytes:
    return data[: len(data) * percent // 100]


def make_pool(folder: Path) -> dict[str, Expected]:
    """Write the folder; what the table must say of each member."""
    folder.mkdir(parents=True)
    for name, make in GOOD.items():
        (folder / name).write_bytes(make())
    for name, (make, _) in BAD.items():
        (folder / name).write_bytes(make())
    for name, (write, _) in ODD.items():
        write(folder / name)
    expected = dict.fromkeys(GOOD, OK) | {name: row[1] for name, row in {**BAD, **ODD}.items()}
    expected["bang!\\\\x21.jpg"] = expected.pop("bang!\\x21.jpg")  # a table's text writes one backslash as two
    (folder / "x.jpg").mkdir()  # a folder called like an image
    (folder / "x.jpg" / "inside.png").write_bytes(encoded(picture(60), "PNG"))
    (folder / "empty").mkdir()
    (folder / "x.jpg" / "back").symlink_to(folder)  # would loop
    (folder / "copy.jpg").write_bytes((folder / "plain.jpg").read_bytes())
    (folder / "good-link.jpg").symlink_to("plain.jpg")
    (folder / "again.jpg").write_bytes(encoded(picture(11), "JPEG", quality=60))
    with open(os.fsencode(folder) + b"/caf\xe9.jpg", "wb") as file:  # noqa: PTH123 - a name that is not UTF-8
        file.write(jpeg(61))
    expected |= {"x.jpg/inside.png": OK, "caf\\xe9.jpg": OK}
    if os.geteuid():  # root may read everything
        shutil.copy(folder / "grey.jpg", folder / "secret.jpg")
        (folder / "secret.jpg").chmod(0)
        expected["secret.jpg"] = UNREADABLE
    return expected


COPIES = {"plain.jpg", "copy.jpg", "good-link.jpg"}  # one is kept, two are duplicates
PAIR = {"progressive.jpg", "again.jpg"}  # one is kept, one is a near duplicate
