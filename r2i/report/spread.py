"""How regions, images, letters and questions are spread: counted from columns, a batch at a time."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from r2i.core.catalogue import BENCHMARK, IMAGES, REGIONS, TRAIN
from r2i.core.choices import LETTERS
from r2i.core.records import OK
from r2i.report.pick import batches, there

SHARES = (0.0, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.2, 1.0)  # box area over image area
SIDES = (0, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)  # pixels


@dataclass
class Letters:
    """How often each letter is right (or chosen), and how often it would be if all options were alike."""

    counts: Counter[str] = field(default_factory=Counter)
    expected: dict[str, float] = field(default_factory=dict)


@dataclass
class Spread:
    """Empty parts: their tables were not written."""

    areas: dict[str, list[int]] = field(default_factory=dict)  # ok, rejected -> counts by SHARES
    crop_sides: list[int] = field(default_factory=list)  # shorter side of kept boxes, counts by SIDES
    image_sides: list[int] = field(default_factory=list)  # longer side of kept images, counts by SIDES
    letters: dict[str, Letters] = field(default_factory=dict)
    questions: int = 0  # among kept training rows
    wordings: int = 0  # different question texts among them


def measure_spread() -> Spread:
    """Count every table that was written."""
    found = Spread()
    if there(REGIONS):
        _count_regions(found)
    if there(IMAGES):
        found.image_sides = _image_sides()
    if there(TRAIN):
        _count_train(found)
    if there(BENCHMARK):
        found.letters["benchmark"] = _benchmark_letters()
    return found


def _count_regions(found: Spread) -> None:
    areas = {status: np.zeros(len(SHARES) - 1, np.int64) for status in (OK, "rejected")}
    sides = np.zeros(len(SIDES), np.int64)
    for rows in batches(REGIONS, ["area_share", "box", "status"]):
        for status, counts in areas.items():
            counts += np.histogram(_numbers(rows.filter(pc.equal(rows["status"], status))["area_share"]), SHARES)[0]
        kept = rows.filter(pc.equal(rows["status"], OK))
        boxes = kept.filter(pc.equal(pc.list_value_length(kept["box"]), 4))["box"]
        flat = pc.list_flatten(boxes).to_numpy().reshape(-1, 4)  # (N, 4) xyxy, pixels
        sides += _by_side(np.minimum(flat[:, 2] - flat[:, 0], flat[:, 3] - flat[:, 1]))
    found.areas = {status: counts.tolist() for status, counts in areas.items()}
    found.crop_sides = sides.tolist()


def _image_sides() -> list[int]:
    sides = np.zeros(len(SIDES), np.int64)
    for rows in batches(IMAGES, ["width", "height", "status"]):
        kept = rows.filter(pc.equal(rows["status"], OK))
        sides += _by_side(np.maximum(_numbers(kept["width"]), _numbers(kept["height"])))
    return [int(count) for count in sides]


def _by_side(values: np.ndarray) -> np.ndarray:
    """Counts by SIDES; the last is open to above."""
    return np.histogram(values, [*SIDES, np.inf])[0]


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.drop_null().to_numpy(), dtype=np.float64)


def _count_train(found: Spread) -> None:
    """Letters and wordings of the kept questions, each once: it may be there in several views."""
    parts = []
    for rows in batches(TRAIN, ["question_id", "question", "label", "options", "status"]):
        kept = rows.filter(pc.equal(rows["status"], OK))
        counted = kept.append_column("many", pc.list_value_length(kept["options"]))
        parts.append(counted.select(["question_id", "question", "label", "many"]))
    whole = pa.concat_tables(parts) if parts else None
    if whole is None or not whole.num_rows:
        return
    once = whole.group_by(["question_id", "question", "label", "many"], use_threads=False).aggregate([])
    found.questions = once.num_rows
    found.wordings = pc.count_distinct(once["question"]).as_py()
    found.letters["training rows"] = Letters()
    _add_letters(found.letters["training rows"], once["label"], once["many"])


def _benchmark_letters() -> Letters:
    letters = Letters()
    for rows in batches(BENCHMARK, ["label", "options", "status"]):
        kept = rows.filter(pc.equal(rows["status"], OK))
        _add_letters(letters, kept["label"], pc.list_value_length(kept["options"]))
    return letters


def _add_letters(letters: Letters, labels: pa.ChunkedArray, many: pa.ChunkedArray) -> None:
    """Count the labels of multiple-choice rows, and 1/n for each letter of a row with n options."""
    closed = pc.and_(pc.not_equal(labels, ""), pc.greater(many, 1))
    for entry in pc.value_counts(labels.filter(closed)).to_pylist():
        letters.counts[entry["values"]] += entry["counts"]
    for entry in pc.value_counts(many.filter(closed)).to_pylist():
        for letter in LETTERS[: entry["values"]]:
            letters.expected[letter] = letters.expected.get(letter, 0.0) + entry["counts"] / entry["values"]
