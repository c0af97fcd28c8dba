"""Any file becomes the upright RGB picture that a viewer shows, or an error with a short reason."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from r2i.core.boxes import Box
from r2i.core.drawing import cut_crop, draw_box
from r2i.core.errors import ImageError
from r2i.core.images import jpeg_bytes, perceptual_hash, read_image, stored_jpeg
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
