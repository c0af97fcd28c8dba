"""Check a question on the original image and the crop, by the paper's four criteria."""

from r2i.core.ids import seed_of
from r2i.core.params import Question
from r2i.core.parse import ReplyError
from r2i.core.prompts import load_prompt
from r2i.core.provenance import call_of
from r2i.core.records import FAILED, OK, REJECTED
from r2i.core.tables import Row
from r2i.endpoint.base import Picture, Reply, Request
from r2i.question.reply import CHECKS, CHECKS_FORM, parse_checks


def build_check_request(row: Row, image: Picture, crop: Picture, params: Question, seed: int) -> Request:
    """The request to check one question (a row of QUESTIONS), with the original image and the crop."""
    prompt = load_prompt("question", "validate", params.prompts)
    return Request(
        prompt=prompt.fill(question=row["question"]), images=(image, crop), sampling=params.check,
        seed=seed_of(seed, "check", row["question_id"]), prompt_sha256=prompt.sha256, form=CHECKS_FORM,
    )  # fmt: skip


def apply_check(row: Row, request: Request, reply: Reply, params: Question) -> Row:
    """`row` with the columns that the reply to a check decides: checks, check, repaired, status, reason.

    A failed call and a reply that doesn't state all checks are `failed`: the question is neither valid nor invalid.
    A question is rejected with the first check that is false as the reason.
    """
    checks: list[bool] | None = None
    repaired = False
    status, reason = FAILED, f"check_{reply.reason}"
    if reply.status == OK:
        try:
            parsed, repaired = parse_checks(reply.text)
            checks = list(parsed)
            violated = next((check for check, passed in zip(CHECKS, checks, strict=True) if not passed), "")
            status, reason = (REJECTED, violated) if violated else (OK, "")
        except ReplyError:
            reason = "check_unparsable"
    check = call_of(params.teacher.kind, request, reply, params.max_pixels)
    return row | {
        "checks": checks, "check": check, "repaired": row["repaired"] or repaired, "status": status, "reason": reason
    }  # fmt: skip
