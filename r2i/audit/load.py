"""The tables that the audit reads, shard by shard and without the pictures, and what it makes of them."""

from typing import Any

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
    """All audits of the run in `data/`; without rendered images only the one for contamination."""
    found: dict[str, Any] = {}
    images: list[Row] = []
    for shard in track(list_shards((IMAGES, TRUTH, *COLUMNS)), "audit"):
        rows = shard.ok_rows(IMAGES, ["image_id", "phash", "status"])
        images += [{"image_id": row["image_id"], "phash": row["phash"]} for row in rows]
        if truth := shard.rows(TRUTH):
            audited = _compare_with(truth, shard)
            found = pool_shares(found, audited) if found else audited
    contamination = find_contamination(images, _benchmark_hashes())
    return {"available": bool(found), "contamination": contamination, **found}


def _compare_with(truth: list[Row], shard: Shard) -> dict[str, Any]:
    rendered = {row["image_id"] for row in truth}

    def read(table: Listed) -> list[Row]:
        return [row for row in shard.rows(table, COLUMNS[table].split()) if row["image_id"] in rendered]

    regions, questions = read(REGIONS), read(QUESTIONS)
    oracle = Oracle(truth, regions)
    return {
        "regions": audit_regions(oracle, regions),
        "questions": audit_questions(oracle, questions),
        "answers": audit_answers(oracle, read(ANSWERS), {row["question_id"]: row for row in questions}),
        "votes": audit_votes(oracle, read(VOTES)),
        "train": audit_train(oracle, read(TRAIN)),
    }


def _benchmark_hashes() -> list[Row]:
    """`image_id` and `phash` of every benchmark image that is ok, each decoded once."""
    hashes: dict[str, str | None] = {}
    columns = ["image_id", "image", "status"]
    for row in iter_rows(paths.BENCHMARK, records.BENCHMARK, "benchmark", columns):
        if row["status"] == records.OK and row["image_id"] not in hashes:
            hashes[row["image_id"]] = perceptual_hash(read_image(row["image"]))
    return [{"image_id": image_id, "phash": phash} for image_id, phash in hashes.items()]
