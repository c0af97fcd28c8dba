"""What a benchmark is made of: sizes, regions, answers, the bias of its letters, duplicates, seen images."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from r2i.benchmark.views import image_size
from r2i.core import paths
from r2i.core.boxes import Box, area_share
from r2i.core.choices import LETTERS
from r2i.core.contamination import contamination
from r2i.core.metrics import count_statuses, histogram
from r2i.core.params import Params
from r2i.core.records import BENCHMARK, OK
from r2i.core.tables import Row, iter_rows
from r2i.core.text import careful_form, normalise
from r2i.importing.digest import checked_folder

COMMON = 10  # answers named
_COLUMNS = (
    "item_id image_id cluster_id image crop_made box question options answer label dimension source status reason"
).split()


def inspect_benchmark(folder: Path, run: Params | None = None) -> dict[str, Any]:
    """All of it for the table in `folder`, pictures one row group at a time.

    `run`: its training images are compared, where `folder` is its benchmark and it has got so far; else
    `contamination` is null. Raises TableError where the table is missing or of another schema.
    """
    found = describe_items(iter_rows(folder, BENCHMARK, "benchmark", _COLUMNS))
    overlap = None
    if run and folder == paths.BENCHMARK:
        rows = run.chosen.train.rows if run.chosen.has("train") else None
        bits = run.chosen.benchmark.contamination_bits
        overlap = contamination(run, bits, checked_folder(rows) if rows else None)
    return {**found, "unused_columns": _unused_columns(folder), "contamination": overlap}


def _unused_columns(folder: Path) -> dict[str, list[str]]:
    """By source, the columns that nothing was read from, as the stage noted them; of another table nobody knows."""
    file = paths.metrics("benchmark")
    if folder != paths.BENCHMARK or not file.is_file():
        return {}
    sources = json.loads(file.read_text(encoding="utf-8")).get("sources", {})
    return {name: columns for name, of in sources.items() if (columns := of.get("unused_columns"))}


def describe_items(rows: Iterable[Row]) -> dict[str, Any]:
    """The same without the training images, of rows of records.BENCHMARK (columns _COLUMNS)."""
    light = [_without_picture(row) for row in rows]
    kept = [row for row in light if row["status"] == OK]
    sides = {row["image_id"]: row["size"] for row in kept}.values()
    return {
        **count_statuses(light),
        "images": len(sides),
        "clusters": len({row["cluster_id"] for row in kept}),
        "source": histogram(row["source"] for row in kept),
        "dimension": histogram(row["dimension"] for row in kept),
        "with_box": sum(bool(row["box"]) for row in kept),
        "crops": {
            "published": sum(row["crop_made"] is False for row in kept),
            "made": sum(row["crop_made"] is True for row in kept),
        },
        "width": spread([size[0] for size in sides]),
        "height": spread([size[1] for size in sides]),
        "area_share": spread([area_share(Box(*row["box"]), *row["size"]) for row in kept if row["box"]]),
        "options": histogram(len(row["options"]) for row in kept),
        "answers": _answers(kept),
        "letters": letter_bias(kept),
        "duplicates": find_duplicates(kept),
    }


def _without_picture(row: Row) -> Row:
    size = image_size(row) if row["status"] == OK else None
    return {name: value for name, value in row.items() if name != "image"} | {"size": size}


def spread(values: list[float]) -> dict[str, float] | None:
    """Least, quartiles and most of some numbers; None: there are none."""
    if not values:
        return None
    low, middle, high = quantiles(values, method="inclusive") if len(values) > 1 else [median(values)] * 3
    return {"min": min(values), "q1": low, "median": middle, "q3": high, "max": max(values)}


def _answers(kept: list[Row]) -> dict[str, Any]:
    """How many different right answers there are, and the most common of them, as they are mostly spelled."""
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for row in kept:
        spellings[careful_form(row["answer"])][row["answer"]] += 1
    counts = [(min(said, key=lambda text: (-said[text], text)), said.total()) for said in spellings.values()]
    common = sorted(counts, key=lambda pair: (-pair[1], pair[0]))[:COMMON]
    return {"different": len(counts), "common": dict(common)}


def letter_bias(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Where the right option stands, and how likely so uneven a spread is by chance.

    Pearson's chi-square against equal shares, for each number of options on its own; the statistics and their
    degrees of freedom add up. Items of one cluster are counted as if they were independent. `always`: accuracy of
    the best guess that names one letter always.
    """
    from scipy.stats import chi2

    by_options: dict[int, Counter[str]] = defaultdict(Counter)
    for row in rows:
        if row["options"] and row["label"]:
            by_options[len(row["options"])][row["label"]] += 1
    statistic, freedom = 0.0, 0
    for count, letters in by_options.items():
        expected = letters.total() / count
        statistic += sum((letters[letter] - expected) ** 2 / expected for letter in LETTERS[:count])
        freedom += count - 1
    totals: Counter[str] = sum(by_options.values(), Counter())
    return {
        "counts": {letter: totals[letter] for letter in LETTERS if totals[letter]},
        "always": max(totals.values()) / totals.total() if totals else None,
        "chi2": statistic if freedom else None,
        "degrees": freedom,
        "p": float(chi2.sf(statistic, freedom)) if freedom else None,
    }


def find_duplicates(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Items beyond the first: on one image; with one question on it; and of these with the options in another order."""
    images: Counter[str] = Counter()
    questions: dict[tuple[str, str], Counter[tuple[str, ...]]] = defaultdict(Counter)
    for row in rows:
        images[row["image_id"]] += 1
        question = normalise(row["question"]) or row["question"]
        questions[row["image_id"], question][tuple(row["options"])] += 1
    asked_again = [orders for orders in questions.values() if orders.total() > 1]
    return {
        "same_image": sum(count - 1 for count in images.values()),
        "same_question": sum(orders.total() - 1 for orders in asked_again),
        "cycled_options": sum(_reordered(orders) for orders in asked_again),
    }


def _reordered(orders: Counter[tuple[str, ...]]) -> int:
    """Orders of one set of options beyond the first."""
    sets = Counter(tuple(sorted(order)) for order in orders if order)
    return sum(count - 1 for count in sets.values())
