"""Benchmark images that a model was trained on are found, by bytes, by pixels, by look; and no others."""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from r2i.core import paths, records
from r2i.core.contamination import contamination, overlap
from r2i.core.images import jpeg_bytes, perceptual_hash, read_image, sha256, stored_jpeg
from r2i.core.params import Params, load_params
from r2i.core.tables import Row, write_table

ROOT = Path(__file__).parents[2]


def picture(number: int) -> Image.Image:
    """Broad shapes, another for every number: a perceptual hash tells them apart."""
    coarse = np.random.default_rng(number).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC)


def png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def item(data: bytes, name: str, **changes: Any) -> Row:
    image = read_image(data)
    row = dict.fromkeys(records.BENCHMARK.names) | {"item_id": name, "image_id": sha256(data), "status": "ok"}
    return row | {"image": stored_jpeg(data, image), "phash": perceptual_hash(image)} | changes


def trained(data: bytes) -> Row:
    image = read_image(data)
    row = dict.fromkeys(records.IMAGES.names) | {"image_id": sha256(data), "status": "ok", "reason": ""}
    size = {"width": image.width, "height": image.height}
    return row | size | {"image": stored_jpeg(data, image), "phash": perceptual_hash(image)}


def compare(items: list[Row], images: list[Row], bits: int) -> tuple[dict[str, Any], set[str]]:
    """The overlap, and whose pictures were asked for."""
    asked: set[str] = set()

    def pictures(wanted: set[str]) -> Iterable[tuple[str, bytes]]:
        asked.update(wanted)
        return ((row["image_id"], row["image"]) for row in images if row["image_id"] in wanted)

    return overlap(items, images, bits, pictures), asked


def counts(found: dict[str, Any]) -> tuple[int, int, int]:
    return found["same_bytes"], found["same_pixels"], found["near"]


PHOTO = jpeg_bytes(picture(1))
OTHERS = [trained(jpeg_bytes(picture(n))) for n in range(10, 30)]


def test_nothing_is_found_among_other_pictures() -> None:
    found, asked = compare([item(PHOTO, "a")], OTHERS, bits=6)
    assert counts(found) == (0, 0, 0)
    assert (found["items"], found["share"], found["checked"], found["images"]) == ([], 0.0, 1, 20)
    assert asked == set()  # no picture was decoded


def test_the_same_file_is_found_and_all_items_on_it_count() -> None:
    items = [item(PHOTO, "b"), item(PHOTO, "a"), item(jpeg_bytes(picture(2)), "c"), item(jpeg_bytes(picture(3)), "d")]
    found, asked = compare(items, [*OTHERS, trained(PHOTO)], bits=6)
    assert counts(found) == (2, 0, 0)
    assert (found["items"], found["share"]) == (["a", "b"], 0.5)
    assert asked == set()


@pytest.mark.parametrize("turned", [False, True])
def test_a_lossless_copy_of_a_jpeg_has_its_pixels_whichever_side_it_is_on(turned: bool) -> None:
    copy = png(read_image(PHOTO))
    ours, theirs = (copy, PHOTO) if turned else (PHOTO, copy)
    found, _ = compare([item(ours, "a")], [*OTHERS, trained(theirs)], bits=-1)
    assert counts(found) == (0, 1, 0)


def test_a_compressed_copy_is_near_and_only_where_that_is_asked() -> None:
    smaller = jpeg_bytes(picture(1).resize((160, 120)), 60)
    assert counts(compare([item(PHOTO, "a")], [*OTHERS, trained(smaller)], bits=6)[0]) == (0, 0, 1)
    assert counts(compare([item(PHOTO, "a")], [*OTHERS, trained(smaller)], bits=-1)[0]) == (0, 0, 0)


def test_one_changed_pixel_is_not_the_same_pixels() -> None:
    other = picture(1)
    other.putpixel((5, 5), (0, 0, 0))
    found, asked = compare([item(png(picture(1)), "a")], [trained(png(other))], bits=-1)
    assert counts(found) == (0, 0, 0)
    assert len(asked) == 1  # it was looked at


def test_bits_are_counted_exactly() -> None:
    row = item(PHOTO, "a", phash="0" * 16)
    far = trained(jpeg_bytes(picture(2))) | {"phash": f"{0b0111111:016x}"}  # six bits away
    assert counts(compare([row], [far], bits=6)[0]) == (0, 0, 1)
    assert counts(compare([row], [far], bits=5)[0]) == (0, 0, 0)


def test_items_and_images_that_are_not_ok_do_not_count() -> None:
    failed = item(PHOTO, "a", status="failed", image=None, phash=None)
    assert compare([failed], OTHERS, bits=6)[0]["checked"] == 0
    rejected = trained(PHOTO) | {"status": "rejected"}
    assert counts(compare([item(PHOTO, "a")], [rejected], bits=6)[0]) == (0, 0, 0)


def test_without_training_images_nothing_is_found() -> None:
    assert counts(compare([item(PHOTO, "a")], [], bits=6)[0]) == (0, 0, 0)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(tmp_path)
    return load_params(ROOT / "params.yaml")


def train_row(image_id: str, status: str = "ok") -> Row:
    return dict.fromkeys(records.TRAIN.names) | {"row_id": image_id[:8], "image_id": image_id, "status": status}


def test_only_images_of_training_rows_count(run: Params) -> None:
    copy = png(read_image(PHOTO))
    images = [trained(copy), trained(jpeg_bytes(picture(2))), trained(jpeg_bytes(picture(3)))]
    items = [item(PHOTO, "a"), item(jpeg_bytes(picture(2)), "b"), item(jpeg_bytes(picture(3)), "c")]
    write_table(paths.BENCHMARK, items, records.BENCHMARK)
    write_table(paths.IMAGES, images, records.IMAGES)
    rows = [train_row(images[0]["image_id"]), train_row(images[1]["image_id"], "rejected")]  # the third: no row
    write_table(paths.TRAIN, rows, records.TRAIN)
    found = contamination(run, run.chosen.benchmark.contamination_bits)
    assert found and (found["items"], counts(found), found["images"]) == (["a"], (0, 1, 0), 1)
    assert found["bits"] == 6  # of mini


def test_rows_from_elsewhere_are_compared_by_the_pictures_that_they_show(run: Params, tmp_path: Path) -> None:
    """Nothing of `overlay` counts then, and nothing before it has to be there; a broken picture is passed over."""
    pictures = [jpeg_bytes(picture(n)) for n in range(1, 5)]
    items = [item(png(read_image(data)), name) for data, name in zip(pictures, "abcd", strict=True)]
    write_table(paths.BENCHMARK, items, records.BENCHMARK)
    write_table(paths.TRAIN, [train_row(items[3]["image_id"])], records.TRAIN)
    assert contamination(run, 6) is None  # no images: `sample` has not run
    boxed = picture(2)
    ImageDraw.Draw(boxed).rectangle((40, 40, 60, 60), outline="red", width=2)
    rows = [
        train_row("one") | {"image": pictures[0]},
        train_row("two") | {"image": jpeg_bytes(picture(9))},
        train_row("two") | {"row_id": "2", "image": jpeg_bytes(boxed)},  # another view of it
        train_row("six", "rejected") | {"image": pictures[2]},
        train_row("bad") | {"image": b"no picture"},
    ]
    write_table(tmp_path / "published", rows, records.TRAIN)
    found = contamination(run, 6, tmp_path / "published")
    assert found and (found["items"], counts(found), found["images"]) == (["a", "b"], (0, 1, 1), 2)


def test_plain_pictures_are_near_to_none_but_still_the_same_pixels() -> None:
    """A blue picture and a white one; two pages with other small text."""
    blue, white = (Image.new("RGB", (320, 240), shade) for shade in ((0, 0, 254), (255, 255, 255)))
    pages = [Image.new("RGB", (320, 240), "white") for _ in range(2)]
    for number, page in enumerate(pages):
        ImageDraw.Draw(page).text((100, 100), f"Total 4{number}.20", fill="black")
    images = [trained(jpeg_bytes(white)), trained(jpeg_bytes(pages[0])), *OTHERS]
    found, asked = compare([item(jpeg_bytes(blue), "a"), item(jpeg_bytes(pages[1]), "b")], images, bits=6)
    assert counts(found) == (0, 0, 0) and len(asked) == 2  # of one size: their pixels were compared
    assert counts(compare([item(png(read_image(jpeg_bytes(white))), "a")], images, bits=6)[0]) == (0, 1, 0)
    assert counts(compare([item(PHOTO, "a")], images, bits=64)[0]) == (0, 0, 1)  # to OTHERS alone
