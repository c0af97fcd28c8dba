"""What `crop` costs: image encoder passes, and Ray beside the local executor.

`python bench/crop.py` segments 160 pictures of 0.5 MP with the real package sam2 and a small model with random
weights on 2 cores (about two minutes) and writes bench/results/crop.json. Each executor runs in a process of its
own, from the beginning. `--scale 0.1` is for trying the bench itself: it prints and writes nothing.

    encoder_passes_per_image   the most, over methods sam2 and teacher+sam2 (8 boxes on each image)
    ray_vs_local               wall time of 2 Ray workers over that of one process, without Ray's start-up, which is
                               stated apart; a worker has one thread in both
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "crop")]

from tiny_sam2 import make_checkpoint  # noqa: E402 - needs the path

from bench.result import note_code, write_result  # noqa: E402
from r2i.core import records  # noqa: E402
from r2i.core.boxes import Box  # noqa: E402
from r2i.core.catalogue import IMAGES, REGIONS  # noqa: E402
from r2i.core.images import jpeg_bytes  # noqa: E402
from r2i.core.metrics import rounded  # noqa: E402
from r2i.core.params import Crop, Cut, Pool, load_params  # noqa: E402
from r2i.core.photos import Photos  # noqa: E402
from r2i.core.shards import cut_shards  # noqa: E402
from r2i.core.tables import write_table  # noqa: E402
from r2i.endpoint.pictures import read_images  # noqa: E402

RESULT = ROOT / "bench" / "results" / "crop.json"
COUNT = 160
SHARD_IMAGES = 10
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
        count = max(16, round(COUNT * told.scale))
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
    cut = cut_shards((row["image_id"] for row in rows), SHARD_IMAGES)
    write_table(folder / IMAGES.folder, rows, records.IMAGES, cut)


def settings(folder: Path, **changes: Any) -> Crop:
    """Of the small model; what it finds with random weights would pass no real threshold."""
    model = json.loads((folder / "model.json").read_text())
    rules = {"method": "sam2", "min_score": 0.0, "min_side": 16, "per_image": 3, "max_area_share": 1.0}
    grid = {} if "teacher" in changes else {"points_per_side": POINTS}
    return Crop.model_validate(model | rules | grid | changes)


def walls(executor: str, folder: Path) -> dict[str, Any]:
    """Seconds of one executor on 2 cores, a Ray's start apart."""
    from r2i.core.executors import Task, run_tasks
    from r2i.core.shards import make_table
    from r2i.crop.run import CropWork

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    os.environ.pop("RAY_ADDRESS", None)
    params = write_params(folder, executor)
    began = time.perf_counter()
    run_tasks(Task(do_nothing, (), ["a", "b"]), load_params(params).chosen.execution)
    started = time.perf_counter()
    counts = make_table(CropWork, params)
    ended = time.perf_counter()
    shutil.rmtree(".r2i")
    table = hashlib.sha256(b"".join(path.read_bytes() for path in REGIONS.parts())).hexdigest()
    start_s = (started - began) * (executor == "ray")
    return {"start_s": start_s, "work_s": ended - started - start_s, "rows": counts["rows"], "table": table}


def do_nothing(names: list[str], workers: int) -> None:
    """What a worker's start costs."""


def write_params(folder: Path, executor: str) -> Path:
    """mini's, with the pictures and the segmenter of this bench."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    mini = values["profiles"]["mini"]
    mini["execution"] = {"executor": executor}
    mini["sample"] |= {"pools": [{"kind": "folder", "name": "photos", "path": "pool"}]}
    mini["crop"] = settings(folder).model_dump(mode="json", exclude_unset=True)
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def passes(folder: Path) -> dict[str, float]:
    """Calls of the image encoder for each image, by method."""
    from sam2.modeling.backbones.image_encoder import ImageEncoder

    from r2i.crop.finders import Listing, Named, make_finder
    from r2i.crop.regions import find_regions_of

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
    for method, asked in (("sam2", {}), ("teacher+sam2", {"teacher": {}})):
        calls = 0
        cfg = settings(folder, method=method, **asked)
        finder = make_finder(cfg, Cut(), dict.fromkeys(pictures, listing))
        rows = [row for name, picture in pictures.items()
                for row in find_regions_of(name, picture.load(), finder, cfg, Cut())]  # fmt: skip
        assert any(row["status"] == "ok" for row in rows)
        found[method] = calls / len(pictures)
    return found


def open_images(folder: Path) -> Mapping[str, Any]:
    photos = Photos([Pool(kind="folder", name="photos", path=str(folder / "pool"))])
    return read_images(photos, folder=folder / IMAGES.folder)


if __name__ == "__main__":
    main()
