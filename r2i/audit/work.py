"""The audit of each shard, kept as counts, and the metrics that all of them give."""

from collections.abc import Callable, Iterable
from typing import Any

from pyarrow.parquet import ParquetFile

from r2i.audit.measure import (
    as_shares,
    audit_answers,
    audit_questions,
    audit_regions,
    audit_train,
    audit_votes,
    find_contamination,
)
from r2i.audit.oracle import Oracle
from r2i.core.catalogue import ANSWERS, BENCHMARK, IMAGES, QUESTIONS, REGIONS, TRAIN, TRUTH, VOTES, Listed
from r2i.core.params import Params
from r2i.core.records import OK
from r2i.core.shards import Counts, MadeShard, Shard, ShardWork
from r2i.core.tables import Row

COLUMNS = {
    IMAGES: "image_id width height status",
    REGIONS: "region_id image_id box status",
    QUESTIONS: "question_id region_id image_id question checks status",
    ANSWERS: "answer_id question_id image_id teacher answer status",
    VOTES: "question_id region_id image_id question answer agree status",
    TRAIN: "row_id question_id region_id image_id question answer dimension status reason",
}


class AuditWork(ShardWork):
    """All tables from regions to train rows → counts of what is true in them.

    A table without rows, of a stage that was left out, is not audited: nothing is said of it.
    """

    stage, needed, output = "audit", None, None

    def __init__(self, params: Params, workers: int = 1) -> None:
        super().__init__(params, workers)
        self.inputs = tuple(table for table in (TRUTH, *COLUMNS) if _has_rows(table) or table == TRUTH)

    def run(self, shards: Iterable[Shard], done: Callable[[Shard, MadeShard], None]) -> None:
        for shard in shards:
            truth = shard.rows(TRUTH)
            done(shard, MadeShard((), count_true(truth, shard) if truth else {}))


def _has_rows(table: Listed) -> bool:
    return any(ParquetFile(path).metadata.num_rows for path in table.parts())


def count_true(truth: list[Row], shard: Shard) -> Counts:
    """What is true of the rows about rendered images, whose `truth` it is. Of a table that is left out: nothing."""
    rendered = {row["image_id"] for row in truth}

    def read(table: Listed) -> list[Row]:
        rows = shard.rows(table, COLUMNS[table].split()) if table.name in shard.files else []
        return [row for row in rows if row["image_id"] in rendered]

    regions, questions = read(REGIONS), read(QUESTIONS)
    oracle = Oracle(truth, regions, {row["image_id"]: (row["width"], row["height"]) for row in read(IMAGES)})
    audits = {
        REGIONS: lambda: audit_regions(oracle, regions),
        QUESTIONS: lambda: audit_questions(oracle, questions),
        ANSWERS: lambda: audit_answers(oracle, read(ANSWERS), {row["question_id"]: row for row in questions}),
        VOTES: lambda: audit_votes(oracle, read(VOTES)),
        TRAIN: lambda: audit_train(oracle, read(TRAIN)),
    }
    return {table.folder.name: audit() for table, audit in audits.items() if table.name in shard.files}


def summarise(counts: Counts) -> dict[str, Any]:
    """The metrics of the stage; without rendered images only those of contamination."""
    contamination = find_contamination(_hashes(IMAGES), _hashes(BENCHMARK))
    return {"available": bool(counts), "contamination": contamination, **as_shares(counts)}


def _hashes(table: Listed) -> dict[str, str | None]:
    """Perceptual hashes by image_id, of rows that are ok."""
    batches = table.batches(["image_id", "phash", "status"])
    rows = (row for batch in batches for row in zip(*(column.to_pylist() for column in batch.columns), strict=True))
    return {image_id: phash for image_id, phash, status in rows if status == OK}
