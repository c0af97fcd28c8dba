"""Rows that did not go on: a few of every reason, with what there is to see of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from r2i.core.catalogue import ANSWERS, IMAGES, PIPELINE, QUESTIONS, REGIONS, Listed
from r2i.core.photos import REFERENCE, Photos
from r2i.core.records import OK
from r2i.report.charts import percent
from r2i.report.pick import Draw, Row, batches, by, fetch, fetch_there, there
from r2i.report.text import words

EACH = 3  # rows of a reason
MOST = 12  # reasons of a stage that have examples: the most common ones
REPLY = 300  # characters

Dropped = dict[str, dict[str, list[Row]]]
"""stage -> `status: reason` -> rows, each with `facts` [(name, text)], `picture` (bytes or None) and `box`."""


@dataclass(frozen=True)
class View:
    """Columns of a table that tell why one of its rows was dropped."""

    columns: tuple[str, ...]

    def facts(self, row: Mapping[str, Any]) -> list[tuple[str, str]]:
        return [(words(name), text) for name in self.columns if (text := _text(row.get(name), name))]


VIEWS = {
    "sample": View(("source", "format", "mode", "width", "height", "size")),
    "crop": View(("name", "score", "area_share", "box")),
    "question": View(("question", "dimension", "checks")),
    "answer": View(("question", "teacher", "reply")),
    "vote": View(("question", "groups", "agree", "valid", "asked")),
    "overlay": View(("question", "answer", "options", "agree", "right", "tries")),
}


def pick_dropped(seed: int) -> Dropped:
    """A few rows of every reason of every table that was written."""
    found: Dropped = {}
    for listed in PIPELINE:
        if there(listed):
            chosen = _draw(listed, seed)
            wanted = [one for ids in chosen.values() for one in ids]
            rows = _with_picture(listed, fetch(listed, listed.key, wanted, listed.light))
            shown = {row[listed.key]: _shown(listed.stage, row) for row in rows}
            found[listed.stage] = {reason: [shown[one] for one in ids] for reason, ids in chosen.items()}
    return found


def _draw(listed: Listed, seed: int) -> dict[str, list[str]]:
    """Ids by `status: reason`, of the reasons that most rows have."""
    counts: Counter[str] = Counter()
    draws: dict[str, Draw] = {}
    for rows in batches(listed, [listed.key, "status", "reason"]):
        lost = rows.filter(pc.not_equal(rows["status"], OK))
        lost = lost.append_column("why", pc.binary_join_element_wise(lost["status"], lost["reason"], ": "))
        for entry in pc.value_counts(lost["why"]).to_pylist():
            why = entry["values"]
            counts[why] += entry["counts"]
            draw = draws.setdefault(why, Draw(EACH, seed, "report", listed.stage, why))
            draw.add(lost.filter(pc.equal(lost["why"], why))[listed.key].to_pylist())
    common = sorted(counts, key=lambda why: (-counts[why], why))[:MOST]
    return {why: draws[why].ids() for why in common}


def _with_picture(listed: Listed, rows: Sequence[Row]) -> list[Row]:
    """Each row with the crop it is about; a region that has none with its image and box, an image with itself, where
    its pool is here. Questions join answers."""
    found = [dict(row) for row in rows]
    if listed is ANSWERS:
        questions = fetch_there(QUESTIONS, "question_id", _ids(found, "question_id"), ["region_id", "question"])
        asked = by(questions, "question_id")
        found = [{**asked.get(row["question_id"], {}), **row} for row in found]
    if listed in (IMAGES, REGIONS):
        images = by(fetch_there(IMAGES, "image_id", _ids(found, "image_id"), REFERENCE), "image_id")
        photos = Photos.here()
        shown = {name: photos.shown(image) for name, image in images.items()}
        return [{**row, "picture": shown.get(row["image_id"])} for row in found]
    crops = by(fetch_there(REGIONS, "region_id", _ids(found, "region_id"), ["crop"]), "region_id")
    return [{**row, "picture": crops.get(row.get("region_id") or "", {}).get("crop")} for row in found]


def _ids(rows: Sequence[Row], key: str) -> list[str]:
    return [row[key] for row in rows if row.get(key)]


def _shown(stage: str, row: Row) -> Row:
    box = row.get("box") if stage == "crop" else None
    return {"facts": VIEWS[stage].facts(row), "picture": row.get("picture"), "box": box}


def _text(value: object, name: str = "") -> str:
    """A cell in one line: lists joined, groups of a vote with their counts, verdicts in words, shares in percent."""
    if value is None or value == []:
        return ""
    if isinstance(value, list):
        return ", ".join(_text(one) for one in value)
    if isinstance(value, Mapping):
        return f"{value.get('answer')} × {value.get('count')}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return percent(value) if name.endswith("share") else f"{value:.3g}"
    text = str(value).strip()
    return text if len(text) <= REPLY else f"{text[:REPLY]} …"
