"""Validate each question on the original image and the crop, by the paper's four criteria."""

from collections.abc import Mapping, Sequence

from r2i.endpoint.base import Model, Reply, Request
from r2i.ids import seed_of
from r2i.params import Question
from r2i.parse import ReplyError
from r2i.prompts import load_prompt
from r2i.question.reply import CHECKS, parse_verdict
from r2i.records import FAILED, OK, REJECTED
from r2i.tables import Row


def check_questions(
    rows: Sequence[Row],
    crops: Mapping[str, bytes],
    images: Mapping[str, bytes],
    model: Model,
    params: Question,
    seed: int,
) -> list[Row]:
    """`rows` of QUESTIONS with the verdict on each that is ok; the others as they are.

    `crops`: JPEG bytes by region_id; `images`: JPEG bytes of the originals by image_id.
    """
    prompt = load_prompt("question", "validate", params.prompts)
    asked = [row for row in rows if row["status"] == OK]
    requests = [
        Request(
            prompt=prompt.fill(question=row["question"]),
            images=(images[row["image_id"]], crops[row["region_id"]]), sampling=params.check,
            seed=seed_of(seed, "check", row["question_id"]), prompt_sha256=prompt.sha256,
        )
        for row in asked
    ]  # fmt: skip
    judged = {
        row["question_id"]: row | judge(reply) for row, (reply,) in zip(asked, model.complete(requests), strict=True)
    }
    return [judged.get(row["question_id"], row) for row in rows]


def judge(reply: Reply) -> Row:
    """The columns that a validation reply decides: checks, check_key, status, reason.

    A failed call and a reply that states no verdict are `failed`: neither valid nor invalid. A
    question is rejected with the first check that is false as the reason.
    """
    checks: list[bool] | None = None
    status, reason = FAILED, f"check_{reply.reason}"
    if reply.status == OK:
        try:
            checks = list(parse_verdict(reply.text))
            first = next((check for check, said in zip(CHECKS, checks, strict=True) if not said), "")
            status, reason = (REJECTED, first) if first else (OK, "")
        except ReplyError:
            reason = "check_unparsable"
    return {"checks": checks, "check_key": reply.key, "status": status, "reason": reason}
