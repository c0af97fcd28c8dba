"""Rows that are shown whole: training rows, benchmark items that changed, items with their attention."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from r2i.core import paths
from r2i.core.catalogue import ANSWERS, BENCHMARK, REGIONS, TRAIN, VOTES, Listed
from r2i.core.records import ATTENTION, OK
from r2i.report.pick import Draw, Row, batches, by, fetch, fetch_there, grouped, there
from r2i.report.replies import predictions_of


def attention_of(model: str) -> Listed:
    return Listed(f"attention of {model}", paths.ATTENTION / model, ATTENTION, f"evaluate@{model}")


def pick_train_rows(seed: int, count: int) -> list[Row]:
    """Kept training rows, boxed ones where there are any, with crop, teachers' answers and vote.

    [] where there is no such table; parts of a row whose tables are missing are empty: rows may come from others.
    """
    if not there(TRAIN):
        return []
    boxed, any_view = (Draw(count, seed, "report", "train") for _ in range(2))
    for rows in batches(TRAIN, ["row_id", "view", "status"]):
        kept = rows.filter(pc.equal(rows["status"], OK))
        any_view.add(kept["row_id"].to_pylist())
        boxed.add(kept.filter(pc.equal(kept["view"], "boxed"))["row_id"].to_pylist())
    wanted = boxed.ids() or any_view.ids()
    columns = [name for name in TRAIN.schema.names if name not in ("prompt", "distractor_calls", "try_calls")]
    chosen = by(fetch(TRAIN, "row_id", wanted, columns), "row_id")
    regions = [row["region_id"] for row in chosen.values()]
    crops = by(fetch_there(REGIONS, "region_id", regions, ["crop", "area_share", "name"]), "region_id")
    questions = [row["question_id"] for row in chosen.values()]
    votes = by(
        fetch_there(VOTES, "question_id", questions, ["agree", "valid", "asked", "groups", "judge"]), "question_id"
    )
    said = ["teacher", "sample", "answer", "status", "reason"]
    answers = grouped(fetch_there(ANSWERS, "question_id", questions, said), "question_id")
    return [
        {
            **row,
            "region": crops.get(row["region_id"], {}),
            "vote": votes.get(row["question_id"], {}),
            "answers": sorted(answers.get(row["question_id"], []), key=lambda a: (a["teacher"], a["sample"])),
        }
        for row in (chosen[one] for one in wanted)
    ]


def pick_examples(
    seed: int, count: int, models: Sequence[str], kinds: Mapping[str, list[str]]
) -> tuple[dict[str, list[Row]], dict[str, int]]:
    """A few benchmark items of each kind (`items_by_kind`), drawn at random.

    Returns (chosen items by kind with all predictions of `models`, number of all items by kind).
    """
    chosen, totals = {}, {}
    for kind, ids in kinds.items():
        draw = Draw(count, seed, "report", kind)
        draw.add(ids)
        chosen[kind], totals[kind] = draw.ids(), len(ids)
    wanted = [item for items in chosen.values() for item in items]
    items = by(fetch(BENCHMARK, "item_id", wanted, BENCHMARK.schema.names), "item_id")
    columns = ["view", "sample", "reply", "predicted", "correct", "status"]
    said = {model: grouped(fetch(predictions_of(model), "item_id", wanted, columns), "item_id") for model in models}
    shown = {
        kind: [{**items[item], **{model: said[model][item] for model in models}} for item in ids if item in items]
        for kind, ids in chosen.items()
    }
    return shown, totals


def pick_looks(seed: int, count: int, models: Sequence[str]) -> list[Row]:
    """Benchmark items whose attention was measured, in all of `models` that have any, each with their `looks`.

    Empty where it was not measured: in an older run, or on a server.
    """
    measured = {model: ids for model in models if len(ids := _measured(model))}
    draw = Draw(count, seed, "report", "looks")
    draw.add(set.intersection(*(set(ids.to_pylist()) for ids in measured.values())) if measured else ())
    wanted = draw.ids()
    if not wanted:
        return []
    looks = {model: _looks(model, wanted) for model in measured}
    items = by(fetch(BENCHMARK, "item_id", wanted, ["image", "box", "question", "dimension"]), "item_id")
    seen = [item for item in wanted if item in items and items[item]["box"]]
    return [{**items[item], "looks": {model: looks[model][item] for model in measured}} for item in seen]


def _measured(model: str) -> pa.Array:
    """Ids of the items whose attention was measured, each once."""
    listed = attention_of(model)
    found = [
        rows.filter(pc.equal(rows["status"], OK))["item_id"]
        for rows in (batches(listed, ["item_id", "status"]) if there(listed) else ())
    ]
    return pc.unique(pa.chunked_array([chunk for part in found for chunk in part.chunks], pa.string()))


def _looks(model: str, wanted: Iterable[str]) -> dict[str, list[Row]]:
    """The measured layers of each wanted item, in order."""
    columns = ["layer", "coverage", "grid", "frame", "map", "status"]
    rows = [row for row in fetch(attention_of(model), "item_id", wanted, columns) if row["status"] == OK]
    return {item: sorted(found, key=lambda row: int(row["layer"])) for item, found in grouped(rows, "item_id").items()}


def greedy(rows: Iterable[Mapping[str, Any]], view: str) -> Mapping[str, Any] | None:
    """The first reply in a view; None where it was not asked."""
    return next((row for row in rows if row["view"] == view and row["sample"] == 0), None)
