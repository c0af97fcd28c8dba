"""The tables that the audit reads, without the pictures, and what it makes of them."""

from typing import Any

from r2i.audit.measure import (
    audit_answers,
    audit_questions,
    audit_regions,
    audit_train,
    audit_votes,
    find_contamination,
)
from r2i.audit.oracle import Oracle
from r2i.core import paths, records
from r2i.core.images import perceptual_hash, read_image
from r2i.core.tables import Row, iter_rows, read_table


def audit_run() -> dict[str, Any]:
    """All audits of the run in `data/`; without rendered images only the one for contamination."""
    images = [row for row in _read("IMAGES", "sample", "image_id phash status") if row["status"] == records.OK]
    contamination = find_contamination(images, _benchmark_hashes())
    known = {row["image_id"] for row in images}
    truth = [
        row for row in read_table(paths.TRUTH, records.TRUTH, "sample", allow_empty=True) if row["image_id"] in known
    ]
    if not truth:
        return {"available": False, "contamination": contamination}
    return {"available": True, "contamination": contamination, **_compare_with(truth)}


def _compare_with(truth: list[Row]) -> dict[str, Any]:
    rendered = {row["image_id"] for row in truth}
    regions = _read("REGIONS", "crop", "region_id image_id box status", rendered)
    questions = _read("QUESTIONS", "question", "question_id region_id image_id question checks status", rendered)
    answers = _read("ANSWERS", "answer", "answer_id question_id image_id teacher answer status", rendered)
    votes = _read("VOTES", "vote", "question_id region_id image_id question answer agree status", rendered)
    train = _read(
        "TRAIN", "overlay", "row_id question_id region_id image_id question answer dimension status reason", rendered
    )
    oracle = Oracle(truth, regions)
    return {
        "regions": audit_regions(oracle, regions),
        "questions": audit_questions(oracle, questions),
        "answers": audit_answers(oracle, answers, {row["question_id"]: row for row in questions}),
        "votes": audit_votes(oracle, votes),
        "train": audit_train(oracle, train),
    }


def _read(name: str, made_by: str, columns: str, images: set[str] | None = None) -> list[Row]:
    rows = read_table(getattr(paths, name), getattr(records, name), made_by, columns.split(), allow_empty=True)
    return [row for row in rows if images is None or row["image_id"] in images]


def _benchmark_hashes() -> list[Row]:
    """`image_id` and `phash` of every benchmark image that is ok, each decoded once."""
    hashes: dict[str, str | None] = {}
    columns = ["image_id", "image", "status"]
    for row in iter_rows(paths.BENCHMARK, records.BENCHMARK, "benchmark", columns):
        if row["status"] == records.OK and row["image_id"] not in hashes:
            hashes[row["image_id"]] = perceptual_hash(read_image(row["image"]))
    return [{"image_id": image_id, "phash": phash} for image_id, phash in hashes.items()]
