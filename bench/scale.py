"""Memory and seconds of the data stages as tables grow: what follows the size, and what follows the change alone.

`python bench/scale.py` renders scenes into a folder of JPEGs and runs the stages from `sample` to `audit` on them. A
server of ours answers with a thousand characters: 100 000 answers, then 1 000 000. At the larger size follow one per
cent more images, one changed reply, another threshold, two workers and Ray; at a small one `kill -9` at random moments.
About half an hour on 2 quiet cores; `--answers 2000 8000` is a trial. Writes bench/results/scale.json. `--memory` runs
the stages once at both sizes, prints peaks and seconds, and writes nothing. `--keep FOLDER` leaves the larger run;
`--workers FOLDER` compares one worker, two and Ray in such a run again, and puts that beside the other figures; so does
`--sample` of that stage alone and one per cent more images.

Peaks are of one process, as the system reports them (maximum resident set). Shares are of the first run's seconds.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.endpoint_parts.plan import Plan
from bench.endpoint_parts.serving import Served, serving
from bench.result import MEASURED, Record, merge_result, note_code, write_result
from r2i.core import paths, records
from r2i.core.images import jpeg_bytes, sha256
from r2i.core.metrics import rounded
from r2i.core.tables import read_table, write_part
from r2i.mini.world import Thing, render_scene
from r2i.sample.choose import truth_rows
from r2i.sample.pools import Offer

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "bench" / "results" / "scale.json"
STAGES = ("sample", "crop", "question", "answer", "vote", "overlay", "benchmark", "audit")
PARTS = ("scale", "workers", "sample")  # of the result, each with the code that it was measured with, if not by `scale`
ASKING = ("question", "answer", "overlay")
PER_IMAGE = 72  # answers: three regions, three questions, eight samples
KILLS = 20
TURNS = 2
SEED = 11
THOUGHT = "The plate is small, so it is read digit by digit. " * 20  # a thousand characters
QUESTIONS = str([{"question": f"what digit is on the {color} square?", "dimension": "ocr"}
                 for color in ("red", "blue", "green")]).replace("'", '"')  # fmt: skip
SCRIPT = (
    ("wrong answers", '["3", "8", "1"]'),
    ("questions", QUESTIONS),
    ("choose", *(f"<answer>{letter}</answer>" for letter in "ABCD")),
    ("answer", *(f"{THOUGHT}<answer>{digit}</answer>" for digit in (5, 5, 5, 5, 5, 4, 6, 7, 8, 9))),
)


class Ran(NamedTuple):
    """A stage's run. `peak_mb`: of its first process."""

    seconds: float
    peak_mb: float


class Place:
    """A folder with params of its own, in which stages run."""

    def __init__(self, folder: Path, params: dict[str, Any]) -> None:
        self.folder, self.params = folder, params
        self.things: dict[str, tuple[Thing, ...]] = {}  # what the scenes show, by image_id

    @classmethod
    def make(cls, folder: Path, server: Served, images: int, shard_images: int) -> "Place":
        """A new one, with `images` in its pool."""
        folder.mkdir(parents=True)
        params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        params["profile"] = "smoke"
        remote = {"kind": "openai", "model": "bench", "base_url": server.url, "concurrency": 64}
        smoke = params["profiles"]["smoke"]
        smoke["crop"]["per_image"] = 3
        smoke["question"] |= {"teacher": remote, "validate": False}
        smoke["answer"]["teachers"] = [{"name": "teacher", "endpoint": remote, "samples": 8}]
        smoke["overlay"] |= {"teacher": remote, "student": remote, "per_dimension": None}
        smoke["sample"]["shard_images"] = shard_images
        place = cls(folder, params)
        place.add_images(images)
        return place

    @classmethod
    def kept_in(cls, folder: Path) -> "Place":
        """One that --keep left."""
        return cls(folder.resolve(), yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8")))

    def add_images(self, count: int) -> None:
        """Further files in the pool, whose names come after those that are there."""
        pool = self.folder / "pool"
        pool.mkdir(exist_ok=True)
        for number in range(len(self.things), len(self.things) + count):
            scene = render_scene(np.random.default_rng([SEED, number]))
            data = jpeg_bytes(scene.image)
            (pool / f"{number:07d}.jpg").write_bytes(data)
            self.things[sha256(data)] = scene.things
        sample = self.params["profiles"]["smoke"]["sample"]
        pools = [{"kind": "folder", "name": "scenes", "path": "pool"}]
        sample |= {"pools": pools, "images": len(self.things), "embed": False}
        self.write()

    def write_truth(self) -> None:
        """What the scenes show, as `sample` writes it of rendered pools: what the audit compares with."""
        shutil.rmtree(self.folder / paths.TRUTH)
        (self.folder / paths.TRUTH).mkdir()
        for path in (self.folder / paths.IMAGES).glob("*.parquet"):
            ids = [row["image_id"] for row in read_table(path, records.IMAGES, "sample", ["image_id"])]
            rows = [row for name in ids for row in truth_rows(Offer(name, "scenes", "", things=self.things[name]))]
            ordered = sorted(rows, key=lambda row: row["thing_id"])
            write_part(self.folder / paths.TRUTH / path.name, ordered, records.TRUTH)

    def set(self, section: str, **values: Any) -> None:
        self.params["profiles"]["smoke"].setdefault(section, {}).update(values)
        self.write()

    def write(self) -> None:
        (self.folder / "params.yaml").write_text(yaml.safe_dump(self.params), encoding="utf-8")

    def start(self, stage: str) -> subprocess.Popen[bytes]:
        env = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
        with (self.folder / "log").open("ab") as log:
            command = [sys.executable, str(ROOT / "stages" / f"{stage}.py")]
            return subprocess.Popen(command, cwd=self.folder, env=env, stdout=log, stderr=log, start_new_session=True)

    def run(self, stage: str) -> Ran:
        started = time.perf_counter()
        process = self.start(stage)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{stage} failed in {self.folder}:\n{(self.folder / 'log').read_text()[-3000:]}")
        ran = Ran(time.perf_counter() - started, usage.ru_maxrss / 1024)
        print(f"{self.folder.name}: {stage} {ran.seconds:.1f} s, {ran.peak_mb:.0f} MB", flush=True)
        if stage == "sample":
            self.write_truth()
        return ran

    def run_all(self) -> dict[str, Ran]:
        return {stage: self.run(stage) for stage in STAGES}

    def forget(self, *stages: str) -> None:
        for stage in stages:
            shutil.rmtree(self.folder / ".r2i" / "shards" / stage, ignore_errors=True)

    def digest(self, folder: Path) -> str:
        total = hashlib.sha256()
        for path in sorted((self.folder / folder).glob("*.parquet")):
            total.update(path.name.encode() + path.read_bytes())
        return total.hexdigest()

    def kept(self, stage: str) -> dict[str, int]:
        """Whole kept shards, with an inode that a shard made again would not have."""
        files = (self.folder / ".r2i" / "shards" / stage).glob("*/*.json")
        return {path.stem: path.with_suffix(".parquet").stat().st_ino for path in files}


def change_one_reply(place: Place) -> None:
    """One answer of the last shard is another."""
    path = sorted((place.folder / paths.ANSWERS).glob("*.parquet"))[-1]
    rows = read_table(path, records.ANSWERS, "answer")
    rows[0] |= {"answer": "12", "reply": "<answer>12</answer>"}
    path.unlink()  # the kept shard is the same file
    write_part(path, rows, records.ANSWERS)


def measure_growth(place: Place, first: dict[str, Ran], images: int) -> dict[str, Any]:
    """What follows the change, at a size that has been run once."""
    place.set("vote", min_agreement=7)
    threshold = place.run("vote")
    place.set("vote", min_agreement=6)
    place.run("vote")
    place.add_images(max(1, images // 100))
    more = place.run_all()
    change_one_reply(place)
    reply = {stage: place.run(stage) for stage in ("vote", "overlay", "audit")}
    return {
        "vote_1000000_s": threshold.seconds,
        "one_percent_share": {stage: ran.seconds / first[stage].seconds for stage, ran in more.items()},
        "one_percent_s": {stage: ran.seconds for stage, ran in more.items()},
        "one_reply_share": {stage: ran.seconds / first[stage].seconds for stage, ran in reply.items()},
        "one_reply_s": {stage: ran.seconds for stage, ran in reply.items()},
        "full_s": {stage: ran.seconds for stage, ran in first.items()},
    }


def measure_sample(place: Place, images: int) -> dict[str, float]:
    """`sample` of a new pool, and with one per cent more images."""
    first = place.run("sample").seconds
    place.add_images(max(1, images // 100))
    more = place.run("sample").seconds
    return {"full_s": first, "one_percent_s": more, "one_percent_share": more / first}


def measure_workers(place: Place) -> dict[str, Any]:
    """`overlay` with all replies in the store: one worker, two, and Ray; the same bytes."""
    start = "from r2i.core.ray_tasks import connected_ray\nwith connected_ray():\n    pass"
    began = time.perf_counter()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", start], check=True, env=env, cwd=place.folder)
    ray_start = time.perf_counter() - began
    seconds: dict[str, list[float]] = {"one": [], "two": [], "ray": []}
    digests = set()
    ways = {"one": {"executor": "local", "workers": 1}, "two": {"executor": "local", "workers": 2},
            "ray": {"executor": "ray", "workers": 1}}  # fmt: skip
    for _ in range(TURNS):
        for way, execution in ways.items():
            place.set("execution", **execution)
            place.forget("overlay")
            seconds[way].append(place.run("overlay").seconds)
            digests.add(place.digest(paths.TRAIN))
    place.set("execution", **ways["one"])
    best = {way: min(times) for way, times in seconds.items()}
    return {
        "workers_2": best["two"] / best["one"],
        "ray_2": (best["ray"] - ray_start) / best["one"],
        "ray_start_s": ray_start,
        "overlay_s": best,
        "same_bytes": len(digests) == 1,
    }


def measure_kills(place: Place) -> dict[str, Any]:
    """`kill -9` of the process group at random moments; the next run ends it."""
    outs = {"question": paths.QUESTIONS, "answer": paths.ANSWERS, "overlay": paths.TRAIN}
    drawn = random.Random(SEED)
    calm, right = {}, {}
    for stage in ASKING:
        place.forget(stage)
        calm[stage] = place.run(stage).seconds
        right[stage] = place.digest(outs[stage])
    twice = differ = in_mid = 0
    for number in range(KILLS):
        stage = ASKING[number % len(ASKING)]
        place.forget(stage)
        process = place.start(stage)
        time.sleep(drawn.uniform(0.3, 1.0) * calm[stage])
        with_group = os.getpgid(process.pid) if process.poll() is None else None
        if with_group:
            os.killpg(with_group, signal.SIGKILL)
        process.wait()
        whole = place.kept(stage)
        place.run(stage)
        after = place.kept(stage)
        in_mid += bool(whole) and len(whole) < len(after)
        twice += sum(after[key] != inode for key, inode in whole.items())
        differ += place.digest(outs[stage]) != right[stage]
    return {"tried": KILLS, "amid_shards": in_mid, "shards_twice": twice, "bytes_differ": differ}


def put_beside(out: Path, found: dict[str, Any], code: Record, part: str) -> None:
    """Beside the figures of a whole run, and of the parts that were measured again since."""
    measured = json.loads(out.read_text(encoding="utf-8"))[MEASURED]
    merge_result(out, found, code, part, [name for name in PARTS if name in measured])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, nargs=2, default=[100_000, 1_000_000])
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--memory", action="store_true", help="peaks alone; nothing is written")
    parser.add_argument("--keep", type=Path, help="a folder that is made: the larger run stays there")
    parser.add_argument("--workers", type=Path, help="a folder that --keep made: one worker, two and Ray alone")
    parser.add_argument("--sample", action="store_true", help="one per cent more images for `sample` alone")
    given = parser.parse_args()
    code = note_code(*(ROOT / "stages" / f"{stage}.py" for stage in STAGES), profiles=["smoke"])
    if given.workers:
        found = rounded(measure_workers(Place.kept_in(given.workers)), 3)
        put_beside(given.out, found, code, "workers")
        print(found)
        return
    found = {"peak_mb": {stage: {} for stage in STAGES}, "answers": {}}
    with tempfile.TemporaryDirectory() as scratch, serving(Plan(capacity=4096, script=SCRIPT)) as server:
        if given.sample:
            images = given.answers[-1] // PER_IMAGE
            measured = measure_sample(Place.make(Path(scratch) / "sample", server, images, shard_images=128), images)
            before = json.loads(given.out.read_text(encoding="utf-8"))
            told = {key: before[key] | {"sample": round(value, 3)} for key, value in measured.items()}
            put_beside(given.out, told, code, "sample")
            print(measured)
            return
        for size in given.answers:
            images = max(8, size // PER_IMAGE)
            place = Place.make(Path(scratch) / str(size), server, images, shard_images=128)
            first = place.run_all()
            for stage, ran in first.items():
                found["peak_mb"][stage][str(size)] = ran.peak_mb
            found["answers"][str(size)] = sum(
                len(read_table(path, records.ANSWERS, "answer", ["answer_id"], allow_empty=True))
                for path in (place.folder / paths.ANSWERS).glob("*.parquet")
            )
            if size == given.answers[-1] and not given.memory:
                found |= measure_growth(place, first, images)
                found |= measure_workers(place)
            if size == given.answers[-1] and given.keep:
                shutil.move(place.folder, given.keep)
            else:
                shutil.rmtree(place.folder)
        if not given.memory:
            small = Place.make(Path(scratch) / "kills", server, 60, shard_images=4)
            small.run_all()
            found["kills"] = measure_kills(small)
    less, more = map(str, given.answers)
    found["peak_ratio"] = {stage: peaks[more] / peaks[less] for stage, peaks in found["peak_mb"].items()}
    if not given.memory:
        write_result(given.out, rounded(found, 3), code)
    print({name: value for name, value in rounded(found, 3).items() if name != "measured"})


if __name__ == "__main__":
    main()
