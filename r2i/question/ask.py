"""Question by question: written on the crop, then checked on the full image, without waiting for other regions."""

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
from r2i.endpoint.pictures import in_their_order
from r2i.question.check import ask_check, judge
from r2i.question.reply import CHECKS
from r2i.question.write import ask_questions, read_questions


def make_questions(
    regions: Sequence[Row],
    crops: Mapping[str, Picture],
    images: Mapping[str, Picture],
    model: Model,
    params: Question,
    seed: int,
    ledger: Ledger | None = None,
) -> list[Row]:
    """Rows of QUESTIONS for `regions` (rows of REGIONS that are ok), checked where `params` say so.

    Every region has a row: one whose reply holds no question has a single row with question "".
    `crops`: by region_id; `images`: the originals by image_id, in whose order the regions are gone through.
    """
    ordered = in_their_order(regions, images, lambda region: region["image_id"])
    jobs = (
        question_job(region, crops[region["region_id"]], images[region["image_id"]], model, params, seed)
        for region in ordered
    )
    return [row for rows in run_jobs(jobs, ledger, len(ordered)) for row in rows]


def question_job(
    region: Row, crop: Picture, image: Picture, model: Model, params: Question, seed: int
) -> Job[list[Row]]:
    """The rows of one region: one call writes its questions, then one call checks each of them."""
    request = ask_questions(region, crop, params, seed)
    ((reply,),) = yield [(model, request)]
    rows = read_questions(region, request, reply, params)
    written = [place for place, row in enumerate(rows) if row["status"] == OK]
    if not params.validate_ or not written:
        return rows
    requests = [ask_check(rows[place], image, crop, params, seed) for place in written]
    verdicts = yield [(model, request) for request in requests]
    for place, request, (reply,) in zip(written, requests, verdicts, strict=True):
        rows[place] = judge(rows[place], request, reply, params)
    return rows


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """The funnel, kept questions per region (a histogram that counts 0) and by dimension, checks that said no,
    questions with a mended reply."""
    kept = Counter({row["region_id"]: 0 for row in rows})
    kept.update(row["region_id"] for row in rows if row["status"] == OK)
    return {
        **count_statuses(rows),
        "regions": len(kept),
        "questions_per_region": histogram(kept.values()),
        "by_dimension": dict(Counter(row["dimension"] for row in rows if row["status"] == OK)),
        "check_said_no": {
            check: sum(1 for row in rows if row["checks"] and not row["checks"][place])
            for place, check in enumerate(CHECKS)
        },
        "repaired": sum(row["repaired"] for row in rows),
    }
