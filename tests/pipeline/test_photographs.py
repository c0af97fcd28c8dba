"""Real photographs through `sample` and `crop`, as the stages run them: those that scikit-image ships."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import skimage
import yaml
from crop.tiny_sam2 import make_checkpoint
from PIL import Image
from pycocotools import mask as coco

from r2i.core import paths, records
from r2i.core.boxes import Box
from r2i.core.drawing import make_crop
from r2i.core.images import read_image
from r2i.core.params import Cut, load_params
from r2i.core.photos import REFERENCE, Photos
from r2i.core.tables import Row, read_table

ROOT = Path(__file__).parents[2]
PHOTOGRAPHS = Path(skimage.__file__).parent / "data"
IN_TAR = ("astronaut.png", "rocket.jpg", "coffee.png", "chelsea.png")


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures and a tar shard, as they come: PNG, JPEG, TIFF; RGB, RGBA and grey."""
    folder = tmp_path_factory.mktemp("pools")
    (folder / "photos").mkdir()
    (folder / "shards").mkdir()
    with tarfile.open(folder / "shards" / "one.tar", "w") as tar:
        for name in IN_TAR:
            tar.add(PHOTOGRAPHS / name, name)
    for path in PHOTOGRAPHS.iterdir():
        if path.suffix in {".png", ".jpg", ".tif"} and path.name not in IN_TAR:
            shutil.copy(path, folder / "photos")
    return folder


def run(folder: Path, pools: Path, crop: dict[str, Any], images: int = 100) -> None:
    """`sample` and `crop`, of that many photographs at most."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    profile = params["profiles"]["smoke"]
    profile["sample"] = {
        "pools": [
            {"kind": "folder", "name": "photos", "path": str(pools / "photos")},
            {"kind": "tar", "name": "shards", "path": str(pools / "shards")},
        ],
        "images": images, "min_side": 200, "embed": False,
    }  # fmt: skip
    profile["crop"] = {"min_side": 24, "per_image": 4, "choose": "diverse"} | crop
    profile["drawing"]["cut"] |= {"margin": 0.0, "square": False}
    (folder / "params.yaml").write_text(yaml.safe_dump(params | {"profile": "smoke"}), encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_ROOT": str(folder), "OMP_NUM_THREADS": "1"}
    for stage in ("sample", "crop"):
        subprocess.run([sys.executable, ROOT / "stages" / f"{stage}.py"], cwd=folder, env=env, check=True)


def tables(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Row], dict[str, Image.Image], list[Row]]:
    """Image rows by source, pictures by image_id, region rows that are ok."""
    monkeypatch.chdir(folder)
    images = read_table(paths.IMAGES, records.IMAGES, "sample", ["source", "mode", "reason", *REFERENCE])
    photos = Photos.of(load_params())
    pictures = {row["image_id"]: read_image(photos.jpeg(row)) for row in images if row["status"] == "ok"}
    regions = read_table(paths.REGIONS, records.REGIONS, "crop")
    return {row["source"]: row for row in images}, pictures, [row for row in regions if row["status"] == "ok"]


def test_photographs_are_chosen_and_cropped_where_they_lie(
    pools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, pools, {"method": "contours", "min_score": 0.3})
    images, pictures, regions = tables(tmp_path, monkeypatch)
    assert all(images[f"shards/one.tar!{name}"]["reason"] == "" for name in IN_TAR)
    stereo = {images[f"photos/motorcycle_{side}.png"]["reason"] for side in ("left", "right")}
    assert stereo == {"", "near_duplicate"}  # one scene seen twice
    assert images["photos/page.png"]["reason"] == "too_small"
    assert images["photos/multipage.tif"]["reason"] == "animated"
    assert images["photos/horse.png"]["mode"] == "RGBA"
    assert all(row["image"] is None for row in images.values())  # nothing was copied
    assert len(regions) >= 20
    for row in regions:
        again = make_crop(pictures[row["image_id"]], Box(*row["box"]), Cut(upscale=2))
        assert row["crop"] == again  # the box that is in the table is the box that was cut
        assert row["mask"] is None
    assert json.loads(Path("metrics/crop.json").read_text())["images"] == len(pictures)


def test_sam2_finds_its_regions_in_photographs(pools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real package with random weights: the regions mean nothing, the path is that of released weights."""
    loose = {"method": "sam2", "min_score": 0.0, "min_side": 4, "max_area_share": 1.0, "points_per_side": 4}
    run(tmp_path, pools, loose | make_checkpoint(tmp_path), images=6)
    _, pictures, regions = tables(tmp_path, monkeypatch)
    assert len({row["image_id"] for row in regions}) == len(pictures)
    for row in regions:
        image = pictures[row["image_id"]]
        assert row["mask"]["size"] == [image.height, image.width]
        left, top, width, height = coco.toBbox({"size": row["mask"]["size"], "counts": row["mask"]["counts"].encode()})
        assert [left, top, left + width, top + height] == row["box"]  # tight, and without margin
        assert Image.open(BytesIO(row["crop"])).size == (2 * width, 2 * height)
