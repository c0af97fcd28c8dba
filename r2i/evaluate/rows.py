"""A reply becomes a row of PREDICTIONS, with all that it takes to score it again."""

from collections.abc import Sequence
from typing import Any

from r2i.core.ids import make_id
from r2i.core.provenance import NO_CALL, call_of
from r2i.core.records import FAILED, OK, REJECTED
from r2i.endpoint.base import Reply, Request, canonical
from r2i.evaluate.plan import Ask
from r2i.grading import NONE
from r2i.grading.flexible import grade_flexibly

Row = dict[str, Any]
CAME = frozenset({"truncated", "empty"})  # reasons of replies that the model did give: scored like any other
COPIED = ("item_id", "image_id", "cluster_id", "source", "dimension", "question", "options", "answer", "label")
Tokens = tuple[int, int] | None
"""In and out; None: the endpoint does not tell."""


def came(reply: Reply) -> bool:
    """Whether the model replied. If not the call failed, which is neither right nor wrong."""
    return reply.status == OK or reply.reason in CAME


def tokens_of(replies: Sequence[Reply]) -> list[Tokens]:
    """Of the replies to one request: the prompt's tokens stand on the first, as it was read once."""
    if not any(reply.tokens_in or reply.tokens_out for reply in replies):
        return [None] * len(replies)
    return [(reply.tokens_in, reply.tokens_out) for reply in replies]


def blank_row(ask: Ask, sample: int) -> Row:
    """The row of a reply that is not there yet."""
    return {
        "prediction_id": make_id(ask.item["item_id"], ask.view, sample),
        **{name: ask.item[name] for name in COPIED},
        "view": ask.view, "sample": sample, "reply": "", "first_reply": "", "zoom_box": None,
        "predicted": "", "rule": NONE, "correct": None, "verdict": None, **NO_CALL,
        "tokens_in": None, "tokens_out": None, "vision_forwards": None, "status": OK, "reason": "",
    }  # fmt: skip


def rejected_rows(ask: Ask, reason: str) -> list[Row]:
    """The rows of an item that has no such view: nothing is asked."""
    return [blank_row(ask, sample) | {"status": REJECTED, "reason": reason} for sample in ask.samples]


def reply_row(
    ask: Ask, sample: int, kind: str, request: Request, reply: Reply, tokens: Tokens, forwards: int, **more: Any
) -> Row:
    """The row of one reply, scored by the rules. A failed call is a failed row, never a wrong answer.

    `kind`: of the endpoint; `forwards`: images that the vision tower read; `more`: columns of the zoom view.
    """
    row = blank_row(ask, sample) | call_of(kind, request, reply) | more
    row["sampling"] = canonical(request.sampling.model_dump() | {"seed": request.seed})
    if not came(reply):
        return row | {"status": FAILED, "reason": reply.reason}
    row |= {"reply": reply.text, "vision_forwards": forwards}
    if tokens:
        row |= {"tokens_in": tokens[0], "tokens_out": tokens[1]}
    verdict = grade_flexibly(reply.text, row)
    return row | {"predicted": verdict.predicted, "rule": verdict.rule, "correct": verdict.correct}
