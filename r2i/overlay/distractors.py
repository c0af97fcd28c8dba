"""Ask the teacher, who sees the crop, for wrong answers until there are enough distinct ones."""

from r2i.core.choices import shuffle_options
from r2i.core.ids import seed_of
from r2i.core.params import Overlay
from r2i.core.parse import Parsed, ReplyError
from r2i.core.prompts import load_prompt
from r2i.core.provenance import call_of
from r2i.core.records import FAILED, OK, REJECTED
from r2i.endpoint.base import Model, Picture, Reply, Request
from r2i.endpoint.flow import Job
from r2i.overlay.item import Item
from r2i.overlay.reply import DISTRACTORS_FORM, choose_distinct, parse_distractors

ROUNDS = 3


def add_options(item: Item, shown: tuple[Picture, ...], model: Model, params: Overlay, seed: int) -> Job[None]:
    """Give `item` its distractors, options and label, or drop it where it stays short of distractors.

    `shown`: to the teacher. An item that is short after one round is asked again with another seed, and the rounds'
    proposals are put together. Short after ROUNDS rounds: failed (`distractors_<reason>`) where a call or a
    reply was lost on the way, else rejected (`too_few_distractors`).
    """
    if item.options:  # a reviewer wrote them
        return
    fault = ""
    while len(item.distractors) < params.distractors and item.rounds < ROUNDS:
        request = ask_distractors(item, shown, params, seed)
        ((reply,),) = yield [(model, request)]
        item.rounds += 1
        item.distractor_calls.append(call_of(params.teacher.kind, request, reply))
        try:
            proposals, repaired = _read(reply)
        except ReplyError as error:
            fault = fault or str(error)
            continue
        item.repaired += repaired
        item.distractors = choose_distinct(item.answer, item.distractors + proposals)[: params.distractors]
    if len(item.distractors) >= params.distractors:
        item.options, item.label = shuffle_options(item.answer, item.distractors, item.question_id)
    elif fault:
        item.drop(FAILED, f"distractors_{fault}")
    else:
        item.drop(REJECTED, "too_few_distractors")


def ask_distractors(item: Item, shown: tuple[Picture, ...], params: Overlay, seed: int) -> Request:
    """What is asked in this round: the seed follows from the rounds before."""
    prompt = load_prompt("overlay", "distractors", params.prompts)
    return Request(
        prompt=prompt.fill(question=item.vote["question"], answer=item.answer, count=params.distractors),
        images=shown, sampling=params.write, seed=seed_of(seed, "distractors", item.rounds, item.question_id),
        prompt_sha256=prompt.sha256, form=DISTRACTORS_FORM,
    )  # fmt: skip


def _read(reply: Reply) -> Parsed[list[str]]:
    if reply.status != OK:
        raise ReplyError(reply.reason)
    return parse_distractors(reply.text)
