"""The tables that the audit reads, shard by shard and without the pictures, and what it makes of them."""

from collections.abc import Collection
from typing import Any

from pyarrow.parquet import ParquetFile

from r2i.audit.measure import (
    audit_answers,
    audit_questions,
    audit_regions,
    audit_train,
    audit_votes,
    find_contamination,
    pool_shares,
)
from r2i.audit.oracle import Oracle
from r2i.core import paths, records
from r2i.core.catalogue import ANSWERS, IMAGES, QUESTIONS, REGIONS, TRAIN, TRUTH, VOTES, Listed
from r2i.core.images import perceptual_hash, read_image
from r2i.core.progress import track
from r2i.core.shards import Shard, list_shards
from r2i.core.tables import Row, iter_rows

COLUMNS = {
    REGIONS: "region_id image_id box status",
    QUESTIONS: "question_id region_id image_id question checks status",
    ANSWERS: "answer_id question_id image_id teacher answer status",
    VOTES: "question_id region_id image_id question answer agree status",
    TRAIN: "row_id question_id region_id image_id question answer dimension status reason",
}


def audit_run() -> dict[str, Any]:
    """All audits of the run in `data/`; without rendered images only the one for contamination.

    A table without rows, of a stage that was left out, is not audited: nothing is said of it.
    """
    found: dict[str, Any] = {}
    images: list[Row] = []
    made = [table for table in (IMAGES, TRUTH, *COLUMNS) if _has_rows(table) or table not in COLUMNS]
    for shard in track(list_shards(made), "audit"):
        rows = shard.ok_rows(IMAGES, ["image_id", "phash", "status"])
        images += [{"image_id": row["image_id"], "phash": row["phash"]} for row in rows]
        if truth := shard.rows(TRUTH):
            audited = _compare_with(truth, shard, made)
            found = pool_shares(found, audited) if found else audited
    contamination = find_contamination(images, _benchmark_hashes())
    return {"available": bool(found), "contamination": contamination, **found}


def _has_rows(table: Listed) -> bool:
    return any(ParquetFile(path).metadata.num_rows for path in table.parts())


def _compare_with(truth: list[Row], shard: Shard, made: Collection[Listed]) -> dict[str, Any]:
    rendered = {row["image_id"] for row in truth}

    def read(table: Listed) -> list[Row]:
        rows = shard.rows(table, COLUMNS[table].split()) if table in made else []
        return [row for row in rows if row["image_id"] in rendered]

    regions, questions = read(REGIONS), read(QUESTIONS)
    oracle = Oracle(truth, regions)
    audits = {
        REGIONS: lambda: audit_regions(oracle, regions),
        QUESTIONS: lambda: audit_questions(oracle, questions),
        ANSWERS: lambda: audit_answers(oracle, read(ANSWERS), {row["question_id"]: row for row in questions}),
        VOTES: lambda: audit_votes(oracle, read(VOTES)),
        TRAIN: lambda: audit_train(oracle, read(TRAIN)),
    }
    return {table.folder.name: audit() for table, audit in audits.items() if table in made}


def _benchmark_hashes() -> list[Row]:
    """`image_id` and `phash` of every benchmark image that is ok, each decoded once."""
    hashes: dict[str, str | None] = {}
    columns = ["image_id", "image", "status"]
    for row in iter_rows(paths.BENCHMARK, records.BENCHMARK, "benchmark", columns):
        if row["status"] == records.OK and row["image_id"] not in hashes:
            hashes[row["image_id"]] = perceptual_hash(read_image(row["image"]))
    return [{"image_id": image_id, "phash": phash} for image_id, phash in hashes.items()]
