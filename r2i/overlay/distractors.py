"""Ask the teacher, who sees the crop, for wrong answers until there are enough distinct ones."""

from collections.abc import Mapping, Sequence

from r2i.endpoint.base import Model, Reply, Request
from r2i.ids import seed_of
from r2i.mcq import shuffle_options
from r2i.overlay.item import Item, still_ok
from r2i.overlay.reply import choose_distinct, parse_distractors
from r2i.params import Overlay
from r2i.parse import ReplyError
from r2i.prompts import load_prompt
from r2i.records import FAILED, OK, REJECTED

ROUNDS = 3


def add_options(items: Sequence[Item], crops: Mapping[str, bytes], model: Model, params: Overlay, seed: int) -> None:
    """Give every item its distractors, options and label; drop those that stay short of distractors.

    Items that are short after one round are asked again with another seed, and the rounds' proposals
    are put together. Short after ROUNDS rounds: failed (`distractors_<reason>`) where a call or a
    reply was lost on the way, else rejected (`too_few_distractors`). `crops`: JPEG bytes by region_id.
    """
    faults: dict[str, str] = {}
    for attempt in range(ROUNDS):
        short = [item for item in still_ok(items) if len(item.distractors) < params.distractors]
        _ask_round(short, crops, model, params, seed, attempt, faults)
    for item in still_ok(items):
        if len(item.distractors) >= params.distractors:
            item.options, item.label = shuffle_options(item.answer, item.distractors, item.question_id)
        elif fault := faults.get(item.question_id):
            item.drop(FAILED, f"distractors_{fault}")
        else:
            item.drop(REJECTED, "too_few_distractors")


def _ask_round(
    items: Sequence[Item], crops: Mapping[str, bytes], model: Model, params: Overlay, seed: int, attempt: int,
    faults: dict[str, str],
) -> None:  # fmt: skip
    if not items:
        return
    prompt = load_prompt("overlay", "distractors", params.prompts)
    requests = [
        Request(
            prompt=prompt.fill(question=item.vote["question"], answer=item.answer, count=params.distractors),
            images=(crops[item.vote["region_id"]],), sampling=params.write,
            seed=seed_of(seed, "distractors", attempt, item.question_id), prompt_sha256=prompt.sha256,
        )
        for item in items
    ]  # fmt: skip
    for item, (reply,) in zip(items, model.complete(requests), strict=True):
        item.rounds += 1
        try:
            proposals = item.distractors + _read(reply)
        except ReplyError as error:
            faults.setdefault(item.question_id, str(error))
            continue
        item.distractors = choose_distinct(item.answer, proposals)[: params.distractors]


def _read(reply: Reply) -> list[str]:
    if reply.status != OK:
        raise ReplyError(reply.reason)
    return parse_distractors(reply.text)
