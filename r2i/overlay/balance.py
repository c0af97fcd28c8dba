"""No dimension may crowd out the others: what is over the limit is known once all shards are made."""

from collections import defaultdict
from pathlib import Path

from r2i.core.catalogue import TRAIN
from r2i.core.ids import make_id, unit_of
from r2i.core.records import OK, REJECTED
from r2i.core.shards import Counts, rewrite_part
from r2i.core.tables import Row, part_name, read_table, table_parts
from r2i.endpoint.pictures import read_pictures
from r2i.overlay.rows import NO_VIEW, count_train_rows

DECIDING = ["row_id", "question_id", "dimension", "status", "reason"]
NO_PICTURE = [name for name in TRAIN.schema.names if name != "image"]


def limit_dimensions(folder: Path, counts: dict[str, Counts], most: int | None, tries: int, seed: int) -> None:
    """Drop kept questions (`over_limit`) beyond `most` of one dimension; which ones follows from a hash of their ids.

    `folder`: the table of train rows while it is made; `counts`: by the shard's name, of shards that change counted
    anew. `most` None: nothing is dropped.
    """
    if most is None:
        return
    dropped = _over_limit(folder, most, seed)
    for path, ids in dropped.items():
        rows = _rewritten(path, ids)
        counts[part_name(path)] |= count_train_rows(rows, tries)
        rewrite_part(path, rows, TRAIN.schema)


def _over_limit(folder: Path, most: int, seed: int) -> dict[Path, set[str]]:
    """By the shard's file, the questions that are one too many."""
    groups: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in table_parts(folder, TRAIN.schema, TRAIN.stage):
        for row in read_table(path, TRAIN.schema, TRAIN.stage, DECIDING, allow_empty=True):
            if row["status"] == OK or row["reason"] == NO_VIEW:  # that one is left out by its draw alone
                groups[row["dimension"]][row["question_id"]] = path
    dropped: dict[Path, set[str]] = defaultdict(set)
    for files in groups.values():
        ranked = sorted(files, key=lambda question_id: unit_of(seed, "dimension limit", question_id))
        for question_id in ranked[most:]:
            dropped[files[question_id]].add(question_id)
    return dropped


def _rewritten(path: Path, dropped: set[str]) -> list[Row]:
    """The rows of a shard; a question that is dropped has one row, without an image."""
    rows = read_table(path, TRAIN.schema, TRAIN.stage, NO_PICTURE, allow_empty=True)
    shown = [row["row_id"] for row in rows if row["status"] == OK and row["question_id"] not in dropped]
    pictures = read_pictures(path, TRAIN.schema, TRAIN.stage, "image", shown)
    kept = [row | {"image": pictures[row["row_id"]].load if row["row_id"] in pictures else None} for row in rows
            if row["question_id"] not in dropped]  # fmt: skip
    return kept + [drop_question(row) for row in {row["question_id"]: row for row in rows}.values()
                   if row["question_id"] in dropped]  # fmt: skip


def drop_question(row: Row) -> Row:
    """The one row of a question that is over the limit, out of any of its rows."""
    return row | {
        "row_id": make_id(row["question_id"], "boxed"), "view": "boxed", "image": None, "prompt": "",
        "status": REJECTED, "reason": "over_limit",
    }  # fmt: skip
