"""Ask the teacher, who sees the crop alone, for questions about it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from r2i.endpoint.base import Model, Reply, Request
from r2i.ids import make_id, seed_of
from r2i.metrics import count_statuses, histogram
from r2i.params import Question
from r2i.parse import ReplyError
from r2i.prompts import load_prompt
from r2i.question.reply import CHECKS, parse_questions
from r2i.records import FAILED, OK, REJECTED
from r2i.tables import Row
from r2i.text import normalise

LONGEST = 300  # characters of a question


def write_questions(regions: Sequence[Row], model: Model, params: Question, seed: int) -> list[Row]:
    """Rows of QUESTIONS for `regions` (rows of REGIONS that are ok), unchecked.

    Every region has a row: one whose reply holds no question has a single row with question "".
    """
    prompt = load_prompt("question", "write", params.prompts)
    requests = [
        Request(
            prompt=prompt.fill(count=params.per_crop), images=(region["crop"],), sampling=params.write,
            seed=seed_of(seed, "write", region["region_id"]), prompt_sha256=prompt.sha256,
        )
        for region in regions
    ]  # fmt: skip
    rows: list[Row] = []
    for region, (reply,) in zip(regions, model.complete(requests), strict=True):
        rows += read_questions(region, reply, params.per_crop, prompt.sha256)
    return rows


def read_questions(region: Row, reply: Reply, per_crop: int, prompt_sha256: str) -> list[Row]:
    """The rows of one region: a row for each question that was written, or one that says why there is none.

    Questions that are `empty`, `too_long`, a `duplicate`, or beyond `per_crop` (`too_many`) are rejected.
    """
    base = {
        "region_id": region["region_id"], "image_id": region["image_id"], "checks": None, "check_key": "",
        "model": reply.model, "prompt_sha256": prompt_sha256, "reply_key": reply.key,
    }  # fmt: skip
    status, reason, written = REJECTED, "nothing_to_ask", []
    if reply.status != OK:
        status, reason = FAILED, reply.reason
    else:
        try:
            written = parse_questions(reply.text)
        except ReplyError:
            status, reason = FAILED, "unparsable"
    if not written:
        nothing = {"question_id": make_id(region["region_id"], ""), "question": "", "dimension": ""}
        return [base | nothing | {"status": status, "reason": reason}]
    rows: list[Row] = []
    seen: set[str] = set()
    kept = 0
    for place, (question, dimension) in enumerate(written):
        same = normalise(question)
        fault = _fault(question, same, seen, kept, per_crop)
        # two rows of one region may hold the same text: the place keeps their ids apart
        name = (same,) if same not in seen else (same, place)
        seen.add(same)
        kept += not fault
        row = {"question_id": make_id(region["region_id"], *name), "question": question, "dimension": dimension}
        rows.append(base | row | {"status": REJECTED if fault else OK, "reason": fault})
    return rows


def _fault(question: str, same: str, seen: set[str], kept: int, per_crop: int) -> str:
    if not same:
        return "empty"
    if len(question) > LONGEST:
        return "too_long"
    if same in seen:
        return "duplicate"
    return "too_many" if kept >= per_crop else ""


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """The funnel, kept questions per region (a histogram that counts 0) and by dimension, checks that said no."""
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
    }
