"""What the report needs of all predictions of a model, in one pass: who was right, which letters, which zooms."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from r2i.core import paths
from r2i.core.catalogue import BENCHMARK, Listed
from r2i.core.choices import LETTERS
from r2i.core.records import OK, PREDICTIONS
from r2i.report.pick import batches, there

COLUMNS = ("item_id", "view", "sample", "label", "predicted", "correct", "zoom_box", "status", "sampling")
_OUTCOME = pa.schema([("item_id", pa.string()), ("right", pa.bool_())])
_ZOOM = pa.schema([("item_id", pa.string()), ("zoom_box", PREDICTIONS.field("zoom_box").type)])
TRAINED = {"fixed": (False, True), "broken": (True, False), "still wrong": (False, False)}  # right before, right after
COMPARED = {"second alone": (False, True), "first alone": (True, False), "wrong with both": (False, False)}
ALONE = {"read in the crop alone": (False, True), "wrong in both views": (False, False)}  # right in full view, in crop


@dataclass(frozen=True)
class Replies:
    """Greedy replies in the full view and the crop, and the boxes of the zoom view."""

    outcomes: pa.Table  # item_id, right: as scored: unread replies are wrong; calls that failed are left out
    crops: pa.Table  # the same, of the crop view
    letters: Counter[str]  # full view, multiple-choice items; replies that were read as no letter are left out
    zooms: pa.Table  # item_id, zoom_box
    temperatures: frozenset[float] = frozenset()  # at which its sampled replies were drawn


def predictions_of(model: str) -> Listed:
    return Listed(f"predictions of {model}", paths.PREDICTIONS / model, PREDICTIONS, f"evaluate@{model}")


def read_replies(model: str, required: bool = True) -> Replies:
    """Raises TableError where the table is missing, unless it is not `required`: then nothing is in it."""
    outcomes, crops, zooms = [_OUTCOME.empty_table()], [_OUTCOME.empty_table()], [_ZOOM.empty_table()]
    letters: Counter[str] = Counter()
    sampling: set[str] = set()
    listed = predictions_of(model)
    for rows in batches(listed, COLUMNS) if required or there(listed) else ():
        came = rows.filter(pc.equal(rows["status"], OK))
        sampling |= set(pc.unique(came.filter(pc.greater(came["sample"], 0))["sampling"]).to_pylist())
        zoom = came.filter(pc.equal(came["view"], "zoom"))
        zooms.append(pa.table([zoom[name] for name in _ZOOM.names], schema=_ZOOM))
        full, crop = (_greedy(came, view) for view in ("full", "crop"))
        outcomes.append(_outcomes(full))
        crops.append(_outcomes(crop))
        _count_letters(letters, full)
    drawn_at = frozenset(known for text in sampling if (known := _temperature(text)) is not None)
    return Replies(pa.concat_tables(outcomes), pa.concat_tables(crops), letters, pa.concat_tables(zooms), drawn_at)


def _temperature(sampling: str) -> float | None:
    """None where the text, which may be anybody's, tells none."""
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        return float(json.loads(sampling)["temperature"])
    return None


def _greedy(came: pa.Table, view: str) -> pa.Table:
    return came.filter(pc.and_(pc.equal(came["view"], view), pc.equal(came["sample"], 0)))


def _outcomes(rows: pa.Table) -> pa.Table:
    return pa.table([rows["item_id"], pc.fill_null(rows["correct"], False)], schema=_OUTCOME)


def _count_letters(letters: Counter[str], full: pa.Table) -> None:
    closed = full.filter(pc.not_equal(pc.fill_null(full["label"], ""), ""))
    for entry in pc.value_counts(closed["predicted"]).to_pylist():
        if entry["values"] and entry["values"] in set(LETTERS):
            letters[entry["values"]] += entry["counts"]


def items_by_kind(replies: Sequence[Replies], trained: bool = True) -> dict[str, list[str]]:
    """Ids of the items that are worth a look, by what became of them; kinds that no item is of are left out.

    Of two models: which is right in the full view (`trained`: the second came of the first). Of one: what it misses
    in the full view, by whether it reads it in the crop; where no item has a crop, all that it gets wrong.
    """
    if not replies:
        return {}
    first = replies[0]
    if len(replies) > 1:
        kinds, second = TRAINED if trained else COMPARED, replies[1].outcomes
    elif first.crops.num_rows:
        kinds, second = ALONE, first.crops
    else:
        kinds, second = {"wrong": (False, False)}, first.outcomes
    pairs = first.outcomes.join(second, "item_id", join_type="inner", right_suffix="_after")
    found = {}
    for kind, (before, after) in kinds.items():
        rows = pairs.filter(pc.and_(pc.equal(pairs["right"], before), pc.equal(pairs["right_after"], after)))
        if rows.num_rows:
            found[kind] = rows["item_id"].to_pylist()
    return found


def zooms_given(replies: Iterable[Replies]) -> bool:
    """Whether the zoom view showed each item's own box: no model chose it (`zoom.box: oracle`)."""
    zooms = pa.concat_tables([_ZOOM.empty_table(), *(found.zooms for found in replies)])
    if not zooms.num_rows or zooms["zoom_box"].null_count or not there(BENCHMARK):
        return False
    boxes: dict[str, object] = {}
    for rows in batches(BENCHMARK, ["item_id", "box"]):
        boxes.update(zip(rows["item_id"].to_pylist(), rows["box"].to_pylist(), strict=True))
    return all(boxes.get(row["item_id"]) == row["zoom_box"] for row in zooms.to_pylist())
