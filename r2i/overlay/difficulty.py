"""Measure how hard a boxed question is for the student."""

from collections.abc import Sequence

from r2i.core.choices import LETTERS, adapt_prompt, mcq_prompt
from r2i.core.ids import seed_of
from r2i.core.params import Overlay
from r2i.core.parse import last_span
from r2i.core.prompts import load_prompt
from r2i.core.provenance import call_of
from r2i.core.reasoning import read_final
from r2i.core.records import FAILED, OK, REJECTED
from r2i.endpoint.base import Model, Picture, Reply, Request
from r2i.endpoint.flow import Job
from r2i.grading.flexible import grade_flexibly
from r2i.overlay.item import Item


def try_student(item: Item, student: Model, params: Overlay, seed: int) -> Job[None]:
    """Let the student answer the boxed question `tries` times; drop it where it is too easy or not measured."""
    assert item.boxed is not None
    request = ask_student(item, item.boxed, params, seed)
    (replies,) = yield [(student, request)]
    item.try_calls = [call_of(params.student.kind, request, reply, params.max_pixels) for reply in replies]
    score_tries(item, replies, params.drop_at)


def ask_student(item: Item, boxed: Picture, params: Overlay, seed: int) -> Request:
    """All tries are one request, so that the image is sent once."""
    prompt = mcq_prompt(item.vote["question"], item.options, params.prompts)
    return Request(
        prompt=adapt_prompt(prompt, "boxed", params.prompts),
        images=(boxed.within(params.max_pixels),), sampling=params.attempt,
        seed=seed_of(seed, "attempt", item.question_id), n=params.tries,
        prompt_sha256=load_prompt("core", "choose", params.prompts).sha256,
    )  # fmt: skip


def score_tries(item: Item, replies: Sequence[Reply], drop_at: int) -> None:
    """Count the tries that were right; failed calls are neither right nor wrong.

    Replies are read as evaluation reads them: who knows the answer and boxes it has not found the question hard. One
    that is cut by length or leaves its span open is the student's own failure and counts as wrong.
    Any other failed call leaves the question unmeasured: failed (`student_<reason>`), not hard.
    """
    lost = [reply.reason for reply in replies if reply.status != OK and reply.reason != "truncated"]
    item.tries = len(replies) - len(lost)
    item.right = sum(_is_right(reply.text, item) for reply in replies if reply.status == OK)
    if lost:
        item.drop(FAILED, f"student_{min(lost)}")
    elif item.right >= drop_at:
        item.drop(REJECTED, "too_easy")


def _is_right(reply: str, item: Item) -> bool:
    final = read_final(reply)
    if "<answer>" in final and last_span(final) is None:
        return False
    gold = {"options": item.options, "label": item.label, "answer": item.options[LETTERS.index(item.label)]}
    return grade_flexibly(final, gold).correct is True
