"""What the report needs of all predictions of a model, in one pass: who was right, which letters, which zooms."""

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from r2i.core import paths
from r2i.core.catalogue import Listed
from r2i.core.choices import LETTERS
from r2i.core.records import OK, PREDICTIONS, REJECTED
from r2i.report.pick import batches, there

COLUMNS = ("prediction_id", "item_id", "view", "sample", "label", "predicted", "correct", "zoom_box", "status")
_OUTCOME = pa.schema([("item_id", pa.string()), ("right", pa.bool_())])
_ZOOM = pa.schema([("prediction_id", pa.string()), ("zoom_box", PREDICTIONS.field("zoom_box").type)])


@dataclass(frozen=True)
class Replies:
    """Greedy replies in the full view, and the boxes of the zoom view."""

    outcomes: pa.Table  # item_id, right: as scored: a reply that no rule could read, and a failed call, are wrong
    letters: Counter[str]  # of multiple-choice items; replies that were read as no letter are left out
    zooms: pa.Table  # prediction_id, zoom_box


def predictions_of(model: str) -> Listed:
    return Listed(f"predictions of {model}", paths.PREDICTIONS / model, PREDICTIONS, f"evaluate@{model}")


def read_replies(model: str, required: bool = True) -> Replies:
    """Raises TableError where the table is missing, unless it is not `required`: then nothing is in it."""
    outcomes, zooms = [_OUTCOME.empty_table()], [_ZOOM.empty_table()]
    letters: Counter[str] = Counter()
    listed = predictions_of(model)
    for rows in batches(listed, COLUMNS) if required or there(listed) else ():
        came = rows.filter(pc.equal(rows["status"], OK))
        zoom = came.filter(pc.equal(came["view"], "zoom"))
        zooms.append(pa.table([zoom[name] for name in _ZOOM.names], schema=_ZOOM))
        full = rows.filter(pc.and_(pc.equal(rows["view"], "full"), pc.equal(rows["sample"], 0)))
        full = full.filter(pc.not_equal(full["status"], REJECTED))
        outcomes.append(pa.table([full["item_id"], pc.fill_null(full["correct"], False)], schema=_OUTCOME))
        _count_letters(letters, full.filter(pc.equal(full["status"], OK)))
    return Replies(pa.concat_tables(outcomes), letters, pa.concat_tables(zooms))


def _count_letters(letters: Counter[str], full: pa.Table) -> None:
    closed = full.filter(pc.not_equal(pc.fill_null(full["label"], ""), ""))
    for entry in pc.value_counts(closed["predicted"]).to_pylist():
        if entry["values"] and entry["values"] in set(LETTERS):
            letters[entry["values"]] += entry["counts"]


def same_zooms(before: Replies, after: Replies) -> bool:
    """Whether the zoom view showed both models one region of every item: no model chose it (`zoom.box: oracle`)."""
    one, other = before.zooms, after.zooms
    if not one.num_rows or one.num_rows != other.num_rows or one["zoom_box"].null_count or other["zoom_box"].null_count:
        return False
    return bool(one.sort_by("prediction_id").equals(other.sort_by("prediction_id")))
