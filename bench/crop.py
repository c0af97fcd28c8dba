"""What `crop` costs: image encoder passes, and Ray beside the local executor.

`python bench/crop.py` segments 160 pictures of 0.5 MP with the real package sam2 and a small model with random
weights on 2 cores (about two minutes) and writes bench/results/crop.json. Each executor runs in a process of its
own, with a state of its own. `--scale 0.1` is for trying the bench itself: it prints and writes nothing.

    encoder_passes_per_image   the most, over methods sam2 and teacher+sam2 (8 boxes on each image)
    ray_vs_local               wall time of 2 Ray workers over the local executor's, from the first image to the
                               last row written; a worker has one thread in both. Start-up is stated apart.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "crop")]

from tiny_sam2 import make_checkpoint  # noqa: E402 - needs the path

from bench.result import note_code, write_result  # noqa: E402
from r2i.core import records  # noqa: E402
from r2i.core.boxes import Box  # noqa: E402
from r2i.core.images import jpeg_bytes  # noqa: E402
from r2i.core.metrics import rounded  # noqa: E402
from r2i.core.params import Crop, Cut, Pool  # noqa: E402
from r2i.core.photos import Photos  # noqa: E402
from r2i.core.tables import write_table  # noqa: E402
from r2i.endpoint.pictures import read_images  # noqa: E402

RESULT = ROOT / "bench" / "results" / "crop.json"
IMAGES = 160
SIZE = (800, 600)
POINTS = 3  # on each side of the grid: an image takes about 0.3 s of one core
BOXES = 8  # that the teacher lists in an image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the images; below 1 nothing is written")
    parser.add_argument("--child", nargs=2, metavar=("PART", "FOLDER"), help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.child:
        part, folder = told.child
        print(json.dumps(passes(Path(folder)) if part == "passes" else walls(part, Path(folder))))
        return
    code = note_code()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        count = max(16, round(IMAGES * told.scale))
        make_images(folder, count)
        (folder / "model.json").write_text(json.dumps(make_checkpoint(folder)))
        result = {part: child(part, folder) for part in ("passes", "local", "ray")}
    result |= {
        "encoder_passes_per_image": max(result["passes"].values()),
        "ray_vs_local": result["ray"]["work_s"] / result["local"]["work_s"],
        "same_bytes": result["ray"].pop("table") == result["local"].pop("table"),
        "images": count,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
    }
    text = json.dumps(rounded(result, digits=3), indent=1, sort_keys=True)
    if told.scale >= 1:
        write_result(RESULT, rounded(result, digits=3), code)
    print(text)


def child(part: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", part, str(folder)]
    done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def make_images(folder: Path, count: int) -> None:
    """`count` pictures of soft blobs in a pool, and the table that refers to them."""
    (folder / "pool").mkdir()
    rows = []
    for number in range(count):
        rough = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        data = jpeg_bytes(Image.fromarray(rough).resize(SIZE, Image.Resampling.BICUBIC), 90)
        (folder / "pool" / f"{number}.jpg").write_bytes(data)
        reference = {"pool": "photos", "member": f"{number}.jpg", "size": len(data), "status": "ok", "reason": ""}
        rows.append(dict.fromkeys(records.IMAGES.names) | reference | {"image_id": hashlib.sha256(data).hexdigest()})
    write_table(folder / "images", rows, records.IMAGES)


def settings(folder: Path, **changes: Any) -> Crop:
    """Of the small model; what it finds with random weights would pass no real threshold."""
    model = json.loads((folder / "model.json").read_text())
    rules = {"points_per_side": POINTS, "min_score": 0.0, "min_side": 16, "per_image": 3, "max_area_share": 1.0}
    return Crop.model_validate({"method": "sam2"} | model | rules | changes)


class Stamped(Mapping[str, Any]):
    """Pictures; the time of the first load in any process is left in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.pictures, self.stamp = open_images(folder), folder / "began"

    def __getitem__(self, name: str) -> Any:
        if not self.stamp.exists():
            self.stamp.write_text("")
        return self.pictures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.pictures)

    def __len__(self) -> int:
        return len(self.pictures)


def walls(executor: str, folder: Path) -> dict[str, Any]:
    """Seconds of one executor on 2 cores: until the first image is read, and from there to the table."""
    from r2i.crop.run import regions_of_all

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    own = folder / executor
    own.mkdir()
    os.environ.pop("RAY_ADDRESS", None)
    began = time.time()
    with regions_of_all(partial(Stamped, folder), settings(folder, executor=executor), Cut(), state=own) as done:
        rows = done.rows()
        write_table(own / "regions", rows, records.REGIONS)
    ended = time.time()
    first = (folder / "began").stat().st_mtime
    (folder / "began").unlink()
    table = hashlib.sha256(b"".join(path.read_bytes() for path in sorted((own / "regions").iterdir()))).hexdigest()
    return {"start_s": first - began, "work_s": ended - first, "rows": len(rows), "table": table}


def passes(folder: Path) -> dict[str, float]:
    """Calls of the image encoder for each image, by method."""
    from sam2.modeling.backbones.image_encoder import ImageEncoder

    from r2i.crop.finders import Listing, Named
    from r2i.crop.run import regions_of_all

    calls = 0
    forward = ImageEncoder.forward

    def counted(self: Any, sample: Any) -> Any:
        nonlocal calls
        calls += len(sample)
        return forward(self, sample)

    ImageEncoder.forward = counted
    pictures = dict(list(open_images(folder).items())[:8])
    boxes = [Box(100 * n, 50 * n, 100 * n + 150, 50 * n + 200) for n in range(BOXES)]
    listing = Listing(tuple(Named(f"thing {n}", box) for n, box in enumerate(boxes)), (), "ok", "", {})
    found = {}
    for method in ("sam2", "teacher+sam2"):
        listings = None if method == "sam2" else dict.fromkeys(pictures, listing)
        calls = 0
        cfg = settings(folder, method=method, teacher={})
        with regions_of_all(partial(dict, pictures), cfg, Cut(), listings, folder / "passes") as done:
            assert any(row["status"] == "ok" for row in done.rows())
        found[method] = calls / len(pictures)
    return found


def open_images(folder: Path) -> Mapping[str, Any]:
    photos = Photos([Pool(kind="folder", name="photos", path=str(folder / "pool"))])
    return read_images(photos, folder=folder / "images")


if __name__ == "__main__":
    main()
