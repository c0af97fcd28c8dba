"""Each region's questions: written on the crop, then checked on the full image, without waiting for other regions."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from r2i.core.metrics import count_statuses, histogram
from r2i.core.params import Question
from r2i.core.records import OK
from r2i.core.tables import Row
from r2i.endpoint.base import Model, Picture
from r2i.endpoint.flow import Job, run_jobs
from r2i.endpoint.ledger import Ledger
from r2i.endpoint.pictures import sort_by_picture
from r2i.question.check import apply_check, build_check_request
from r2i.question.reply import CHECKS
from r2i.question.write import build_write_request, read_questions


def make_questions(
    regions: Sequence[Row],
    crops: Mapping[str, Picture],
    images: Mapping[str, Picture],
    model: Model,
    params: Question,
    seed: int,
    ledger: Ledger | None = None,
) -> list[Row]:
    """Rows of QUESTIONS about `regions` (rows of REGIONS that are ok), checked if `params.validate_`.

    Every region has a row: one whose reply holds no question has a single row with question "".
    `crops`: by region_id; `images`: the originals by image_id, in whose order the regions are processed.
    """
    ordered = sort_by_picture(regions, images, lambda region: region["image_id"])
    jobs = (
        question_job(region, crops[region["region_id"]], images[region["image_id"]], model, params, seed)
        for region in ordered
    )
    return [row for rows in run_jobs(jobs, ledger, len(ordered)) for row in rows]


def question_job(
    region: Row, crop: Picture, image: Picture, model: Model, params: Question, seed: int
) -> Job[list[Row]]:
    """The rows of one region: one call writes its questions, then a call for each of them checks it."""
    request = build_write_request(region, crop, params, seed)
    ((reply,),) = yield [(model, request)]
    rows = read_questions(region, request, reply, params)
    written = [place for place, row in enumerate(rows) if row["status"] == OK]
    if not params.validate_ or not written:
        return rows
    requests = [build_check_request(rows[place], image, crop, params, seed) for place in written]
    replies = yield [(model, request) for request in requests]
    for place, request, (reply,) in zip(written, requests, replies, strict=True):
        rows[place] = apply_check(rows[place], request, reply, params)
    return rows


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """The metrics of the stage.

    The funnel; questions per region (a histogram that counts 0) and by dimension, of those that are ok; questions that
    each check rejects; questions with a repaired reply.
    """
    per_region = Counter({row["region_id"]: 0 for row in rows})
    per_region.update(row["region_id"] for row in rows if row["status"] == OK)
    return {
        **count_statuses(rows),
        "regions": len(per_region),
        "questions_per_region": histogram(per_region.values()),
        "by_dimension": dict(Counter(row["dimension"] for row in rows if row["status"] == OK)),
        "check_said_no": {
            check: sum(1 for row in rows if row["checks"] and not row["checks"][place])
            for place, check in enumerate(CHECKS)
        },
        "repaired": sum(row["repaired"] for row in rows),
    }
