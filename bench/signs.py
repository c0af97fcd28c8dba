"""Signs: text in real photographs through the whole pipeline, read by readers that come with their packages.

`make signs` runs the profile `signs` in a clone (.r2i/signs): photographs that packages ship, and composed pictures
whose texts are known (bench/signs_parts/compose.py); then a benchmark of the held-out images, the readers on it, and
the report. `PHOTOS=folder` takes your photographs instead, and composes nothing. Writes bench/results/signs.json:
minutes, kept rows; how many of them are right, of all and of those that became the benchmark's gold; each reader's
accuracy in the full and the crop view, and the gap; 95 % intervals, clustered by image. A row is right where its label
is what stands there, but for case and the marks at its ends, and its question means that text and no other. Composed
pictures: by the truth; photographs: by bench/signs_read.csv, where a person wrote what stands in them.
Five to ten minutes on 2 cores.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parent.parent
# not bench itself, whose labs.py would hide tests/labs
sys.path[:] = [str(ROOT), str(ROOT / "tests"), *(path for path in sys.path if Path(path).resolve() != ROOT / "bench")]

from clone import clone  # noqa: E402 - needs the path

from bench.result import STAGES, note_code, write_result  # noqa: E402
from bench.signs_parts.photographs import gather  # noqa: E402
from r2i.audit.oracle import Oracle  # noqa: E402
from r2i.core.catalogue import IMAGES, REGIONS, TRAIN, TRUTH, predictions_of  # noqa: E402
from r2i.core.params import READERS, load_params  # noqa: E402
from r2i.core.records import OK  # noqa: E402
from r2i.core.tables import Row, read_table  # noqa: E402
from r2i.core.text import same_answer  # noqa: E402
from r2i.overlay.item import HELD_OUT_IMAGE  # noqa: E402
from r2i.score.clustered import clustered_mean, difference_interval, share_interval  # noqa: E402

RESULT = ROOT / "bench" / "results" / "signs.json"
READ = ROOT / "bench" / "signs_read.csv"
FOLDER = ROOT / ".r2i" / "signs"
DOWNLOADS = ROOT / ".r2i" / "signs-downloads"
PROFILE, POOLS = "signs", Path("data/pools/signs")
PICTURES, SEED = 40, 24
RIGHT, MISPLACED, MISREAD = "right", "wrong place", "wrong label"
TITLES = {"rapidocr": "RapidOCR", "tesseract": "Tesseract"}


def prepare(folder: Path, photos: Path | None) -> None:
    """The clone on the profile, its models the readers, and its pools."""
    clone(folder, PROFILE)
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["models"] = {
        name: {"from": "server", "needs": "data/benchmark/items", "title": TITLES[name]} for name in READERS
    }
    pools = params["profiles"][PROFILE]["sample"]["pools"]
    if photos:
        params["profiles"][PROFILE]["sample"]["pools"] = [{**pools[0], "path": str(photos.resolve())}]
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    if not photos and not (folder / POOLS).is_dir():
        from bench.signs_parts.compose import compose

        grounds = gather(folder / POOLS / "photographs", DOWNLOADS)
        compose(folder / POOLS / "composed", grounds, PICTURES, SEED)


def run(folder: Path, *command: str) -> None:
    """A command in the clone, on this Python; raises SystemExit where it fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(folder), "DVC_NO_ANALYTICS": "1", "OMP_NUM_THREADS": "1"}
    if code := subprocess.run(command, cwd=folder, env=env).returncode:
        sys.exit(f"{' '.join(command)} ended with {code}; what there is lies in {folder}")


def run_all(folder: Path) -> None:
    r2i = (sys.executable, "-m", "r2i.cli.main")
    run(folder, "dvc", "repro", "overlay")
    shutil.rmtree(folder / "data" / "benchmarks" / PROFILE, ignore_errors=True)
    run(folder, *r2i, "benchmark", "build", PROFILE, "--unreviewed", "--unseen-images")
    run(folder, "dvc", "repro")
    run(folder, *r2i, "summary")


def kept_rows(folder: Path) -> list[Row]:
    """A row for each question that became a train row or was held out, by its id. `pool`, `member`: of its image."""
    columns = ("pool", "member")
    origin = {row["image_id"]: {name: row[name] for name in columns}
              for row in _read(folder, IMAGES, ["image_id", *columns])}  # fmt: skip
    names = ["question_id", "region_id", "image_id", "box", "question", "answer", "options", "status", "reason"]
    rows = [row for row in _read(folder, TRAIN, names) if row["status"] == OK or row["reason"] == HELD_OUT_IMAGE]
    once = {row["question_id"]: row | origin[row["image_id"]] for row in rows}
    return [once[name] for name in sorted(once)]


def _read(folder: Path, table: Any, names: Sequence[str]) -> list[Row]:
    return read_table(folder / table.folder, table.schema, table.stage, list(names), allow_empty=True)


def precision(verdicts: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Share of right rows with its interval. `label`: of right labels, wherever the question says that they stand.

    `verdicts`: RIGHT, MISPLACED or another, and the image.
    """
    if not verdicts:
        return {"value": None, "ci95": None, "label": None, "n": 0, "images": 0}
    mean = clustered_mean(np.array([told == RIGHT for told, _ in verdicts], float), [image for _, image in verdicts])
    label = sum(told in (RIGHT, MISPLACED) for told, _ in verdicts) / len(verdicts)
    return {"value": mean.value, "ci95": list(share_interval(mean)), "label": label, "n": mean.n,
            "images": mean.clusters}  # fmt: skip


def by_truth(folder: Path, rows: Sequence[Row]) -> dict[str, str | None]:
    """By the question's id, the verdict on a row about a composed picture: by what was drawn, and where."""
    truth, regions = _read(folder, TRUTH, TRUTH.schema.names), _read(folder, REGIONS, ["region_id", "image_id", "box"])
    images = _read(folder, IMAGES, ["image_id", "width", "height"])
    oracle = Oracle(truth, regions, {row["image_id"]: (row["width"], row["height"]) for row in images})

    def verdict(row: Row) -> str:
        if oracle.is_right(row, row["answer"]):
            return RIGHT
        return MISPLACED if same_answer(oracle.text_in(row["region_id"]) or "", row["answer"]) else MISREAD

    return {row["question_id"]: verdict(row) for row in rows if row["pool"] == "composed"}


def by_hand(rows: Sequence[Row]) -> dict[str, str | None]:
    """By the question's id, the verdict on a row about a photograph; None where nobody has read it."""
    with READ.open(encoding="utf-8", newline="") as file:
        read = {(line["image"], line["question"], line["label"]): line["verdict"] for line in csv.DictReader(file)}
    return {row["question_id"]: read.get((row["member"], row["question"], row["answer"]))
            for row in rows if row["pool"] == "photographs"}  # fmt: skip


def judge(folder: Path, rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """`label_precision` of all rows and `gold_precision` of those that became items of the benchmark."""
    gold = [row for row in rows if row["reason"] == HELD_OUT_IMAGE]
    found: dict[str, dict[str, Any]] = {"label_precision": {}, "gold_precision": {}}
    for name, verdicts in (("composed", by_truth(folder, rows)), ("by_hand", by_hand(rows))):
        for key, about in (("label_precision", rows), ("gold_precision", gold)):
            told = [(verdicts[row["question_id"]], row["image_id"]) for row in about if row["question_id"] in verdicts]
            known = [(verdict, image) for verdict, image in told if verdict]
            found[key][name] = precision(known) | ({"unread": len(told) - len(known)} if name == "by_hand" else {})
    return found


def reader_scores(folder: Path, name: str) -> dict[str, Any]:
    """Accuracy in both views, and the gap with its interval over the items that were scored in both."""
    found: dict[str, dict[str, Row]] = {"full": {}, "crop": {}}
    for row in _read(folder, predictions_of(name), ["item_id", "cluster_id", "view", "correct", "status"]):
        if row["view"] in found and row["correct"] is not None:
            found[row["view"]][row["item_id"]] = row
    both = sorted(found["full"].keys() & found["crop"].keys())
    full, crop = (np.array([found[view][item]["correct"] for item in both], float) for view in ("full", "crop"))
    gap = clustered_mean(crop - full, [found["full"][item]["cluster_id"] for item in both])
    return {"full": float(full.mean()), "crop": float(crop.mean()), "gap": gap.value,
            "ci95": list(difference_interval(gap)), "n": gap.n, "images": gap.clusters}  # fmt: skip


def measure(folder: Path) -> dict[str, Any]:
    rows = kept_rows(folder)
    return {
        "rows": len(rows),
        "images": len({row["image_id"] for row in rows}),
        **judge(folder, rows),
        "engines": {name: reader_scores(folder, name) for name in READERS},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="your photographs, in place of those that packages ship")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the clone")
    parser.add_argument("--keep", action="store_true", help="go on in the folder as it is, and record nothing")
    told = parser.parse_args()
    if told.photos and not told.photos.is_dir():
        parser.error(f"no folder {told.photos}")
    code = note_code(*STAGES, profiles=[PROFILE])
    folder = told.folder.resolve()
    if not told.keep:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    prepare(folder, told.photos)
    load_params(folder / "params.yaml")
    run_all(folder)
    minutes = round((time.monotonic() - began) / 60, 1)
    print(f"report: {folder / 'data/report/report.html'}; rows to train on: {folder / TRAIN.folder}")
    if told.photos:
        print(json.dumps({name: reader_scores(folder, name) for name in READERS}, indent=1))
        return
    values = {"minutes": minutes, **measure(folder)}
    print(json.dumps(values, indent=1))
    if not told.keep:
        write_result(RESULT, values, code)


if __name__ == "__main__":
    main()
