"""How fast `sample` goes through photographs, and how its search for near duplicates grows.

`python bench/sample.py` writes bench/results/sample.json. Photographs: 3 000 JPEGs of 2 megapixels, made of
matplotlib's sample photograph. Measured: the stage as it is run, in a process of its own, nothing known from
before, its start and the table's writing counted; against one thread that opens each file, verifies it, opens
it again and hashes it. The table refers to the photographs, since the other keeps none either;
`embedding_seconds` is for one that holds them. `--scale 0.02` tries it with few.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import imagehash
import matplotlib.cbook
import numpy as np
import yaml
from PIL import Image

from bench.result import note_code, write_result
from r2i.sample.near import NearDuplicates

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results" / "sample.json"
PHOTOS, WIDTH, HEIGHT = 3000, 1632, 1224  # 2.0 megapixels
SIZES, QUERIES, BITS = (10_000, 100_000, 1_000_000), 1000, 4


def make_photos(folder: Path, count: int) -> None:
    """Tiles of one photograph, each turned, shifted and lit differently, so that none is a near duplicate by design."""
    folder.mkdir(parents=True)
    with Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as photo:
        tile = np.asarray(photo.convert("RGB").resize((WIDTH // 3, HEIGHT // 2)))
    for number in range(count):
        rng = np.random.default_rng(number)
        rows = []
        for _ in range(2):
            tiles = [np.roll(tile[:, :: rng.choice([-1, 1])], rng.integers(0, 500), axis=1) for _ in range(3)]
            rows.append(np.concatenate([(t * rng.uniform(0.3, 1)).astype(np.uint8) for t in tiles], axis=1))
        stamped = Image.fromarray(np.concatenate(rows))
        stamped.save(folder / f"{number:05d}.jpg", quality=88)


def run_stage(at: Path, count: int, embed: bool) -> tuple[float, dict[str, int]]:
    """Seconds of `stages/sample.py` over the folder, and the reasons of what was dropped."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["profile"] = "smoke"
    pools = [{"kind": "folder", "name": "photos", "path": "photos"}]
    values["profiles"]["smoke"]["sample"] = {
        "pools": pools, "images": count, "min_side": 1200, "workers": os.cpu_count() or 2, "shard_images": 256,
        "embed": embed,
    }  # fmt: skip
    (at / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    env.pop("DVC_ROOT", None)
    shutil.rmtree(at / ".r2i", ignore_errors=True)
    started = time.perf_counter()
    subprocess.run([sys.executable, str(ROOT / "stages" / "sample.py")], cwd=at, env=env, check=True)
    spent = time.perf_counter() - started
    return spent, json.loads((at / "metrics" / "sample.json").read_text(encoding="utf-8"))["reason"]


def run_naive(folder: Path) -> float:
    """Seconds of one thread that opens, verifies, opens again and hashes each file."""
    started = time.perf_counter()
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            image.verify()
        with Image.open(path) as image:
            imagehash.phash(image)
    return time.perf_counter() - started


def search(size: int) -> float:
    """Seconds of QUERIES searches among `size` hashes: half of them random, half 5 to 9 bits off, none found."""
    rng = random.Random(size)
    kept = [rng.getrandbits(64) for _ in range(size)]
    index = NearDuplicates(BITS)
    for word in kept:
        index.add(f"{word:016x}")
    queries = [rng.getrandbits(64) for _ in range(QUERIES // 2)]
    for word in rng.choices(kept, k=QUERIES - len(queries)):
        queries.append(word ^ sum(1 << bit for bit in rng.sample(range(64), rng.randint(5, 9))))
    texts = [f"{query:016x}" for query in queries]
    started = time.perf_counter()
    found = sum(index.has_near(text) for text in texts)
    spent = time.perf_counter() - started
    assert found == 0, found  # random hashes: about 20 bits apart
    return spent


def main(scale: float, results: Path) -> None:
    code = note_code(ROOT / "stages" / "sample.py")
    count = max(70, round(PHOTOS * scale))
    with tempfile.TemporaryDirectory(prefix="r2i-sample-") as folder:
        at = Path(folder)
        make_photos(at / "photos", count)
        naive = run_naive(at / "photos")  # first: it pays for a cold cache
        spent, reasons = run_stage(at, count, embed=False)
        embedding, _ = run_stage(at, count, embed=True)
    searches = {str(size): round(search(size), 4) for size in (round(size * scale) for size in SIZES)}
    found = {
        "images_per_s": round(count / spent, 1),
        "vs_naive": round(naive / spent, 2),
        "phash_search_s": searches,
        "images": count,
        "seconds": round(spent, 2),
        "embedding_seconds": round(embedding, 2),
        "naive_seconds": round(naive, 2),
        "dropped": reasons,
        "processes": os.cpu_count(),
    }
    write_result(results, found, code)
    print(json.dumps(found, indent=2, sort_keys=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of photographs and hashes")
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    main(chosen.scale, chosen.results)
