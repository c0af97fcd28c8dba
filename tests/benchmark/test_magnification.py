"""How much a crop enlarges its region is measured, not believed."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from benchmark.made_files import import_all, put_parquet, struct
from PIL import Image

from r2i.benchmark.magnification import magnification_of
from r2i.core.boxes import Box
from r2i.score.magnification import stratum_of

BOX = Box(30, 20, 90, 60)


def photograph() -> Image.Image:
    """Smooth patches that differ from place to place, 160 x 120 pixels."""
    small = np.random.default_rng(3).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((160, 120), Image.Resampling.BICUBIC)


def png(image: Image.Image) -> bytes:
    held = BytesIO()
    image.save(held, "PNG")
    return held.getvalue()


@pytest.mark.parametrize(("scale", "stratum"), [(1, "native"), (2, "twofold"), (3.5, "other"), (0.5, "other")])
def test_pixels_of_the_crop_for_one_of_the_region(scale: float, stratum: str) -> None:
    image = photograph()
    crop = image.crop(BOX).resize((round(60 * scale), round(40 * scale)))
    found = magnification_of(image, BOX, crop)
    assert found == pytest.approx(scale) and stratum_of(found) == stratum


def test_a_crop_of_something_else_has_none() -> None:
    image = photograph()
    context = image.crop((0, 0, 120, 80))  # of twice the region's size, natively: no twofold crop of the region
    assert magnification_of(image, BOX, context) is None
    assert magnification_of(image, BOX, image.crop((30, 20, 90, 90))) is None  # of another proportion
    off_by_one = image.crop((30, 20, 91, 60))
    assert magnification_of(image, BOX, off_by_one) == pytest.approx(1.0, abs=0.02)  # a cutter that rounds up
    assert stratum_of(None) == "unknown"


def test_published_crops_are_measured_and_cut_ones_known(tmp_path: Path) -> None:
    image = photograph()
    crops = {"native": image.crop(BOX), "twofold": image.crop(BOX).resize((120, 80)), "cut": None}
    rows = [
        {"id": name, "image": struct(png(image)), "crop_image": struct(png(crop)) if crop else None,
         "query": f"{name}?", "response": "4", "bbox": list(BOX)}
        for name, crop in crops.items()
    ]  # fmt: skip
    items, found = import_all("zoombench", put_parquet(tmp_path / "MicroPercept" / "test.parquet", rows))
    measured = {item["question"]: item["magnification"] for item in items}
    assert measured == pytest.approx({"native?": 1.0, "twofold?": 2.0, "cut?": 2.0}, abs=0.01)
    assert found.sources["zoombench"]["magnification"] == {"native": 1, "twofold": 2}
    assert {item["group"] for item in items} == {"perception"}
