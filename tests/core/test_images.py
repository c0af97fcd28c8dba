"""Any file becomes the upright RGB picture that a viewer shows, or an error with a short reason."""

import re
import resource
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageDraw

from r2i.core import images
from r2i.core.boxes import Box, expand
from r2i.core.drawing import cut_crop, draw_box
from r2i.core.errors import ImageError
from r2i.core.images import FORMATS, jpeg_bytes, perceptual_hash, read_image, read_size, stored_jpeg
from r2i.core.params import Cut, Outline

RED, GREEN = (220, 20, 30), (20, 200, 40)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(width: int = 64, height: int = 48) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_exif_rotation_is_applied() -> None:
    # orientation 6: the camera was turned, a viewer shows the 40 x 20 file as 20 x 40
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data = encode(Image.new("RGB", (40, 20), RED), "JPEG", exif=exif)
    assert read_image(data).size == (20, 40)


def test_transparent_pixels_become_white_not_black() -> None:
    data = encode(Image.new("RGBA", (4, 4), (*RED, 0)), "PNG")
    assert read_image(data).getpixel((0, 0)) == (255, 255, 255)


def test_a_palette_with_a_transparent_entry_is_laid_on_white() -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([*RED, *GREEN])
    image.putpixel((3, 3), 1)
    read = read_image(encode(image, "PNG", transparency=0))
    assert (read.getpixel((0, 0)), read.getpixel((3, 3))) == ((255, 255, 255), GREEN)


@pytest.mark.parametrize(("level", "expected"), [(65535, 255), (32768, 127), (200, 0)])
def test_sixteen_bit_greys_are_scaled_not_clipped(level: int, expected: int) -> None:
    # 32768 / 65535 * 255 = 127.5; a picture that is dark throughout (200 of 65535) stays dark
    data = encode(Image.fromarray(np.full((4, 4), level, np.uint16)), "PNG")
    assert read_image(data).getpixel((0, 0)) == (expected,) * 3


def test_cmyk_jpegs_keep_their_colours() -> None:
    data = encode(Image.new("RGB", (16, 16), RED).convert("CMYK"), "JPEG", quality=95)
    pixel = np.array(read_image(data).getpixel((8, 8)))
    assert abs(pixel - np.array(RED)).max() < 12  # JPEG's loss


def test_animations_are_refused() -> None:
    frames = [Image.new("L", (8, 8), shade) for shade in (0, 255)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError) as caught:
        read_image(data)
    assert caught.value.cause == "animated"


def test_a_phone_photo_with_an_embedded_preview_is_no_animation() -> None:
    data = encode(noise(), "MPO", save_all=True, append_images=[noise()])
    assert read_image(data).size == (64, 48)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_half_a_file_is_an_error_never_a_half_grey_picture(kind: str) -> None:
    data = encode(noise(), kind)
    with pytest.raises(ImageError) as caught:
        read_image(data[: len(data) // 2])
    assert caught.value.cause in {"truncated", "unreadable"}


def test_a_truncated_jpeg_is_named_as_such() -> None:
    data = encode(noise(), "JPEG")
    with pytest.raises(ImageError) as caught:
        read_image(data[: len(data) // 2])
    assert caught.value.cause == "truncated"


@pytest.mark.parametrize("data", [b"", b"just text", b"\xff\xd8\xff", b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"\0" * 64])
def test_what_is_no_image_is_unreadable(data: bytes) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(data)
    assert caught.value.cause in {"truncated", "unreadable"}


def test_every_prefix_of_a_file_gives_an_image_error_or_an_image() -> None:
    for kind in ("GIF", "TIFF", "BMP", "PNG"):
        data = encode(noise(9, 7), kind)
        for length in range(0, len(data), 5):
            try:
                assert read_image(data[:length]).mode == "RGB"
            except ImageError as error:
                assert error.cause in {"truncated", "unreadable"}


def test_a_small_file_that_unpacks_to_a_huge_picture_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageError) as caught:
        read_image(encode(Image.new("L", (40, 40)), "PNG"))  # 1600 pixels
    assert caught.value.cause == "decompression_bomb"


def test_an_upright_rgb_jpeg_is_stored_as_it_is() -> None:
    data = encode(noise(), "JPEG", quality=60)
    assert stored_jpeg(data, read_image(data)) == data


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_jpegs_are_stored_as_rgb(mode: str) -> None:
    data = encode(noise().convert(mode), "JPEG")
    stored = stored_jpeg(data, read_image(data))
    assert stored != data
    assert Image.open(BytesIO(stored)).mode == "RGB"


def test_a_rotated_jpeg_is_stored_upright_and_without_its_rotation() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data = encode(noise(40, 20), "JPEG", exif=exif)
    stored = Image.open(BytesIO(stored_jpeg(data, read_image(data))))
    assert stored.size == (20, 40)
    assert not stored.getexif()


def test_the_same_picture_gives_the_same_bytes() -> None:
    assert jpeg_bytes(noise()) == jpeg_bytes(noise())


def test_a_crop_is_upscaled_by_the_factor() -> None:
    assert cut_crop(noise(), Box(10, 5, 30, 15), Cut(upscale=3)).size == (60, 30)


def test_the_drawn_box_is_larger_than_the_region_and_hides_nothing_of_it() -> None:
    # 20 x 20 px grown by 5 % is one pixel on every side: the outline lies just outside the region
    image = noise()
    drawn = np.asarray(draw_box(image, Box(10, 10, 30, 30), Outline(expand=0.05, line=1)))
    assert (drawn[10:30, 10:30] == np.asarray(image)[10:30, 10:30]).all()
    assert (drawn[9, 9:31] == (255, 0, 0)).all()
    assert (drawn[9:31, 30] == (255, 0, 0)).all()


def test_drawing_a_box_leaves_the_image_alone() -> None:
    image = noise()
    before = image.tobytes()
    draw_box(image, Box(1, 1, 9, 9), Outline())
    assert image.tobytes() == before


def test_recompression_moves_a_perceptual_hash_by_few_bits_and_another_picture_by_many() -> None:
    smooth = noise(8, 8).resize((64, 64), Image.Resampling.BICUBIC)
    copy = read_image(jpeg_bytes(smooth, quality=50))
    other = smooth.transpose(Image.Transpose.ROTATE_180)
    bits = [(int(perceptual_hash(smooth), 16) ^ int(perceptual_hash(x), 16)).bit_count() for x in (copy, other)]
    assert bits[0] <= 4 < 12 <= bits[1]


# what is decoded at all, and within which bounds


def test_only_listed_formats_are_decoded_whatever_a_file_is_called() -> None:
    Image.init()
    tried = []
    for kind in sorted(set(Image.SAVE) - {*FORMATS, "MPO"}):
        for mode in ("RGB", "L", "1", "F"):
            try:
                data = encode(noise().convert(mode), kind)
            except (OSError, ValueError, KeyError):  # it has no such mode
                continue
            if data.startswith((b"\xff\xd8", b"BM")):  # a JPEG or a bitmap by another name
                continue
            with pytest.raises(ImageError, match="unreadable"):
                read_image(data)
            with pytest.raises(ImageError, match="unreadable"):
                read_size(data)
            tried.append(kind)
    assert {"EPS", "DDS", "ICNS", "SPIDER", "XBM", "PPM"} <= set(tried)


def test_an_eps_starts_no_ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "gs"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    with pytest.raises(ImageError, match="unreadable"):
        read_image(encode(noise(), "EPS"))
    assert not (tmp_path / "started").exists()


def test_numbers_without_a_scale_are_refused_not_guessed() -> None:
    ramp = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    for white in (1, 255, 65535):
        for pixels in (ramp * white, (ramp * white).astype(np.int32)):
            with pytest.raises(ImageError, match="unknown_scale"):
                read_image(encode(Image.fromarray(pixels), "TIFF"))


def test_a_tiff_whose_zero_is_white_is_shown_white_at_sixteen_bits_too() -> None:
    header = encode(Image.fromarray(np.full((8, 8), 65535, np.uint16)), "TIFF")
    entry = np.array([262], "<u2").tobytes() + np.array([3], "<u2").tobytes() + np.array([1], "<u4").tobytes()
    at = header.index(entry) + len(entry)
    turned = header[:at] + b"\0\0" + header[at + 2 :]
    assert read_image(header).getpixel((0, 0)) == (255, 255, 255)
    assert read_image(turned).getpixel((0, 0)) == (0, 0, 0)


def make_png(width: int, height: int, grey: bool = False) -> bytes:
    """A white PNG, written without holding it: 81 megapixels are 80 kB of file and 240 MB of memory."""
    row = b"\0" + b"\xff" * (width if grey else 3 * width)
    packer = zlib.compressobj(9)
    packed = b"".join([packer.compress(row) for _ in range(height)] + [packer.flush()])
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0 if grey else 2, 0, 0, 0)), (b"IDAT", packed)]
    chunks = [(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
              for kind, data in [*parts, (b"IEND", b"")]]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_a_bomb_that_pillow_lets_pass_is_refused_before_it_is_unpacked() -> None:
    data = make_png(9000, 9000)  # 81 megapixels in 0.25 MB: Pillow's own limit is 89
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageError, match="decompression_bomb"):
        read_image(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024  # KiB


def test_a_large_page_that_is_nearly_white_is_no_bomb() -> None:
    assert read_image(make_png(2480, 3508)).size == (2480, 3508)  # A4 at 300 dots an inch, 8.7 megapixels


def test_a_picture_is_converted_strip_by_strip_to_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    rgba = np.random.default_rng(2).integers(0, 255, (50, 40, 4), dtype=np.uint8)
    kinds = [Image.fromarray(rgba), noise().convert("CMYK"), noise().convert("L"), noise().quantize(16),
             noise().convert("LA"), Image.fromarray(rgba[..., 0].astype(np.uint16) * 257)]  # fmt: skip
    for image in kinds:
        data = encode(image, "TIFF" if image.mode == "CMYK" else "PNG")
        whole = read_image(data).tobytes()
        monkeypatch.setattr(images, "STRIP", 7 * 40)
        assert read_image(data).tobytes() == whole, image.mode
        monkeypatch.undo()
    ground = Image.alpha_composite(Image.new("RGBA", (40, 50), "white"), kinds[0]).convert("RGB")
    assert read_image(encode(kinds[0], "PNG")).tobytes() == ground.tobytes()


def test_a_film_is_not_taken_for_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_BYTES", 1000)
    with pytest.raises(ImageError, match="file_too_large"):
        read_image(encode(noise(), "PNG"))


def test_what_jpeg_can_not_hold_has_a_reason() -> None:
    assert read_image(encode(Image.new("L", (1, 65500)), "PNG")).size == (1, 65500)
    for make in (
        lambda: read_image(encode(Image.new("L", (1, 65501)), "PNG")),
        lambda: jpeg_bytes(Image.new("L", (65501, 1))),
    ):
        with pytest.raises(ImageError, match="side_too_long"):
            make()


def test_a_crop_that_nobody_could_open_again_is_not_made() -> None:
    tall = Image.new("RGB", (10, 40000))
    with pytest.raises(ImageError, match="crop_too_large"):
        cut_crop(tall, Box(0, 0, 10, 40000), Cut(upscale=2))  # 80 000 px high
    assert cut_crop(tall, Box(0, 0, 10, 30000), Cut(upscale=2)).size == (20, 60000)


def test_plain_pictures_have_no_perceptual_hash() -> None:
    blue, white = Image.new("RGB", (640, 360), (0, 0, 254)), Image.new("RGB", (640, 360), (255, 255, 255))
    page = Image.new("RGB", (1240, 1754), "white")
    ImageDraw.Draw(page).text((300, 300), "Total 41.20", fill="black")
    grain = np.random.default_rng(1).normal(0, 8, (1754, 1240, 1))
    scan = Image.fromarray((np.asarray(page) * 0.9 + grain).clip(0, 255).astype(np.uint8))
    assert [perceptual_hash(image) for image in (blue, white, page, scan)] == [None] * 4
    assert perceptual_hash(noise())


# the line around a region


@pytest.mark.parametrize("side", [1, 2, 8, 10, 16, 24, 32, 64, 89])
def test_the_line_around_a_small_region_covers_nothing_of_it(side: int) -> None:
    image = noise(200, 200)
    for line in (1, 3, 5, 9):
        drawn = np.asarray(draw_box(image, Box(50, 60, 50 + side, 60 + side), Outline(expand=0.05, line=line)))
        seen = np.s_[60 : 60 + side, 50 : 50 + side]
        assert (drawn[seen] == np.asarray(image)[seen]).all()
        left = 50 - max(round(side * 0.05), line)
        assert (drawn[60, left : left + line] == (255, 0, 0)).all()


@pytest.mark.parametrize("side", [8, 16, 40, 200])
def test_where_the_image_ends_at_a_region_the_line_leaves_most_of_it_to_be_seen(side: int) -> None:
    image = noise(200, 200)
    drawn = np.asarray(draw_box(image, Box(0, 0, side, side), Outline()))[:side, :side]
    same = (drawn == np.asarray(image)[:side, :side]).all(-1)
    assert same.mean() > 0.6 and not same[0].any() and not same[:, 0].any()  # a line is there


def test_a_region_that_is_large_enough_is_framed_as_before() -> None:
    """The share that the box grows by is wider than the line: one rectangle, whose bytes tables already hold."""
    image = noise(400, 300)
    for box in ((100, 100, 220, 210), (0, 40, 130, 160), (270, 180, 400, 300), (0, 0, 400, 300)):
        expected = image.copy()
        left, top, right, bottom = expand(Box(*box), 0.05, *image.size)
        ImageDraw.Draw(expected).rectangle([left, top, right - 1, bottom - 1], outline=(255, 0, 0), width=5)
        assert draw_box(image, Box(*box), Outline()).tobytes() == expected.tobytes()


def test_a_jpeg_of_thousands_of_scans_is_refused_and_a_film_behind_a_photo_is_not() -> None:
    data = encode(noise(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(ImageError, match="decompression_bomb"):
        read_image(data[:last] + data[last:-2] * 3000 + data[-2:])
    film = np.random.default_rng(0).bytes(2**22)  # has the mark of a scan 64 times by chance
    assert read_image(data + film).size == (64, 48)


def test_no_other_module_opens_pictures() -> None:
    """One list of formats, one set of bounds: all of r2i decodes through `open_image`."""
    found = [
        path.as_posix()
        for path in (Path(__file__).parents[2] / "r2i").rglob("*.py")
        if re.search(r"Image\.open\(|imread\(|imdecode\(", path.read_text(encoding="utf-8"))
    ]
    assert [Path(name).name for name in found] == ["images.py"]
