"""Does a run cost what changed, or what is there? No change, another threshold, 1 % more images; all replies replayed.

`python bench/labs.py` clones this working tree into a temporary folder for each size, with a pool of rendered
pictures and all models behind a local server that answers at once; runs the DAG up to `overlay` (no training), then

1. again: nothing to do;
2. with another `vote.min_agreement`: no call may be made;
3. with 1 % more images (and the old threshold): calls and shards.

Writes bench/results/labs.json and the table of docs/labs.md. `--rows 1000 100000`: rows of the answer table, the sizes.
About a quarter of an hour.
"""

import argparse
import json
import math
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ROOT = Path(__file__).parent.parent
# not bench itself, whose labs.py would hide tests/labs
sys.path[:] = [str(ROOT), str(ROOT / "tests"), *(path for path in sys.path if Path(path).resolve() != ROOT / "bench")]

from clone import clone, digests  # noqa: E402
from labs.lab import environment  # noqa: E402 - needs the path

from bench.endpoint_parts.plan import Plan  # noqa: E402
from bench.endpoint_parts.serving import Served, serving  # noqa: E402
from bench.result import note_code, write_result  # noqa: E402
from r2i.core.images import jpeg_bytes  # noqa: E402
from r2i.core.metrics import rounded  # noqa: E402
from r2i.mini.world import render_scene  # noqa: E402

RESULT = ROOT / "bench" / "results" / "labs.json"
DOCS = ROOT / "docs" / "labs.md"
BEGIN, END = "<!-- costs: written by bench/labs.py -->\n", "<!-- end of costs -->"
STEPS = {
    "first": "the first run", "no_op": "again", "threshold": "another `vote.min_agreement`",
    "one_percent": "1 % more images",
}  # fmt: skip
REGIONS, QUESTIONS, SAMPLES = 3, 4, 8  # of an image (at most), a region, a question
SHARD_IMAGES = 16
STAGES = ("sample", "crop", "question", "answer", "vote", "overlay")
WRITTEN = [{"question": f"what color is the dot {number}?", "dimension": "color"} for number in range(QUESTIONS)]
CHECKED = dict.fromkeys(("answerable_from_crop", "one_clear_answer", "same_in_both", "names_target"), True)
SCRIPT = (  # the first part that a prompt of style `mini` holds decides
    ("wrong answers", json.dumps(["green", "yellow", "black"])),
    ("choose", *(f"<answer> {letter}</answer>" for letter in "ABCD")),
    (" check", json.dumps(CHECKED)),
    (" answer", *("<answer>red</answer>",) * 8, *("<answer>blue</answer>",) * 2),
    ("questions", json.dumps(WRITTEN)),
)


@dataclass
class Lab:
    """A clone with one size of pool."""

    folder: Path
    server: Served

    def add_images(self, start: int, count: int) -> None:
        pool = self.folder / "pools" / "photos"
        pool.mkdir(parents=True, exist_ok=True)
        for number in range(start, start + count):
            picture = jpeg_bytes(render_scene(np.random.default_rng([11, number])).image)
            (pool / f"{number}.jpg").write_bytes(picture)

    def set_params(self, images: int, min_agreement: int) -> None:
        values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        profile = values["profiles"]["smoke"]
        remote = {"kind": "openai", "model": "m", "base_url": self.server.url, "enforce_form": False}
        pool = {"kind": "folder", "name": "photos", "path": "pools/photos", "version": None}
        profile["sample"] |= {
            "pools": [pool],
            "images": images,
            "near_duplicate_bits": -1,
            "shard_images": SHARD_IMAGES,
        }
        profile["crop"] |= {"per_image": REGIONS}
        profile["question"] |= {"teacher": remote, "per_crop": QUESTIONS}
        profile["answer"]["teachers"] = [
            {"name": name, "endpoint": remote | {"model": name}, "samples": SAMPLES // 2} for name in ("a", "b")
        ]
        profile["vote"] |= {"min_agreement": min_agreement}
        profile["overlay"] |= {"teacher": remote, "student": remote, "per_dimension": None}
        made = {"seed": 0, "profile": "smoke", "profiles": {"smoke": profile}}
        (self.folder / "params.yaml").write_text(yaml.safe_dump(made, sort_keys=False), encoding="utf-8")

    def repro(self) -> dict[str, Any]:
        """Seconds, of each stage that ran too, calls that were paid, and shards before and after."""
        before, calls = digests(self.folder / "data"), self.server.counts()["served"]
        began, stages = time.perf_counter(), {}
        command = [sys.executable, "-m", "dvc", "repro", "overlay"]
        with subprocess.Popen(
            command, cwd=self.folder, env=environment(self.folder), stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout
            for line in process.stdout:
                if found := re.match(r"Running stage '(\w+)'", line):
                    stages[found[1]] = time.perf_counter()
        if process.returncode:
            raise RuntimeError(f"dvc repro failed in {self.folder}")
        ended, after = time.perf_counter(), digests(self.folder / "data")
        times = [*stages.values(), ended]
        shards = [name for name in after if not name.startswith("truth/")]
        return {
            "seconds": ended - began,
            "stages_s": {name: end - at for name, at, end in zip(stages, times, times[1:], strict=False)},
            "calls": self.server.counts()["served"] - calls,
            "shards": len(shards),
            "shards_rewritten": sum(after[name] != before.get(name) for name in shards),
            "rows": self.count("answer", "rows"),
            "train_rows": self.count("overlay", "rows"),
        }

    def count(self, stage: str, name: str) -> int:
        found: int = json.loads((self.folder / "metrics" / f"{stage}.json").read_text(encoding="utf-8"))[name]
        return found


def measure(folder: Path, rows: int) -> dict[str, Any]:
    """One size. The 1 % is at least one image."""
    images = math.ceil(rows / (REGIONS * QUESTIONS * SAMPLES))
    more = max(1, round(images / 100))
    with serving(Plan(capacity=10_000, script=SCRIPT)) as server:
        lab = Lab(clone(folder), server)
        lab.add_images(0, images)
        lab.set_params(images, 6)
        steps = {"first": lab.repro(), "no_op": lab.repro()}
        lab.set_params(images, 7)
        steps["threshold"] = lab.repro()
        lab.set_params(images, 6)
        steps["back"] = lab.repro()  # from the run-cache
        lab.add_images(images, more)
        lab.set_params(images + more, 6)
        steps["one_percent"] = lab.repro()
    return {"images": images, "more_images": more, **steps}


def summarise(sizes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    largest = sizes[max(sizes, key=int)]
    first, more = largest["first"], largest["one_percent"]
    return {
        "noop_s": largest["no_op"]["seconds"],
        "threshold_s": {size: found["threshold"]["seconds"] for size, found in sizes.items()},
        "threshold_calls": {size: found["threshold"]["calls"] for size, found in sizes.items()},
        "one_percent": {
            "calls_share": more["calls"] / first["calls"],
            "shards_rewritten_share": more["shards_rewritten"] / more["shards"],
            "images_share": largest["more_images"] / largest["images"],
            "seconds": more["seconds"],
            "first_seconds": first["seconds"],
        },
        "sizes": sizes,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }


def costs(result: dict[str, Any]) -> str:
    """The table of docs/labs.md."""
    head = "".join(
        f" {found['first']['rows']:,} answers: time | calls | shards |" for found in result["sizes"].values()
    )
    lines = [f"| `dvc repro overlay` |{head}", "|---" * (1 + 3 * len(result["sizes"])) + "|"]
    for step, name in STEPS.items():
        cells = [found[step] for found in result["sizes"].values()]
        told = [f"{cell['seconds']:.0f} s | {cell['calls']:,} | {cell['shards_rewritten']}" for cell in cells]
        lines.append(f"| {name} | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


def update_docs(result: dict[str, Any]) -> None:
    before, rest = DOCS.read_text(encoding="utf-8").split(BEGIN)
    DOCS.write_text(f"{before}{BEGIN}{costs(result)}{END}{rest.split(END)[1]}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 100_000])
    args = parser.parse_args()
    scripts = [ROOT / "stages" / f"{name}.py" for name in STAGES]
    code = note_code(*scripts, ROOT / "bench" / "endpoint_parts" / "server.py", profiles=["smoke"])
    sizes = {}
    with tempfile.TemporaryDirectory(prefix="r2i-labs-") as made:
        for rows in args.rows:
            sizes[str(rows)] = measure(Path(made) / str(rows), rows)
            write_result(RESULT, rounded(summarise(sizes), 3), code)
            print(json.dumps(rounded(sizes[str(rows)], 1), indent=1), flush=True)
    update_docs(summarise(sizes))


if __name__ == "__main__":
    main()
