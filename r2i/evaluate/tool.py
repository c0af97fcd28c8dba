"""The zoom view as a conversation: the model calls for regions, turn after turn, and answers when it has seen enough.

The call is that of Qwen-Agent's `image_zoom_in_tool`: a box in thousandths of one of the pictures shown so far, so that
it means the same whatever size a server gave the picture. A region of a region is cut out of the whole picture.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from r2i.core.boxes import Box, place_box
from r2i.core.ids import seed_of
from r2i.core.images import read_size
from r2i.core.params import Cut, Zoom
from r2i.core.parse import ReplyError, is_box, read_json
from r2i.core.prompts import load_prompt
from r2i.core.records import OK
from r2i.endpoint.base import Model, Picture, Reply, Request, Turn
from r2i.endpoint.flow import Job
from r2i.evaluate.plan import Ask
from r2i.evaluate.rows import Row, Tokens, came, reply_row, tokens_of
from r2i.evaluate.views import cut_picture
from r2i.evaluate.zoom import LOOK_FAILED, widen

CALL = "<tool_call>"
LEAST_PIXELS = 512 * 512  # of a region that is shown, as the tool has it


@dataclass
class Talk:
    """One sample's conversation so far."""

    before: tuple[Turn, ...]
    images: list[Picture]
    regions: list[Box]
    """Of each image, in pixels of the whole picture."""
    text: str
    """That is said next."""
    tokens: Tokens = (0, 0)
    first: str = ""
    """The model's first reply."""
    row: Row | None = field(default=None)

    @property
    def box(self) -> Box | None:
        """The region that was shown last."""
        return self.regions[-1] if len(self.regions) > 1 else None


def tool_job(model: Model, kind: str, ask: Ask, zoom: Zoom, cut: Cut) -> Job[list[Row]]:
    """The rows of one ask, each sample a conversation of its own with at most `zoom.turns` looks."""
    turns = zoom.turns or 1
    prompt = load_prompt("evaluate", "tool", ask.style).fill(turns=turns, prompt=ask.prompt)
    width, height = read_size(ask.item["image"].load())
    talks = [Talk((), list(ask.pictures), [Box(0, 0, width, height)], prompt) for _ in range(ask.n)]
    for turn in range(turns + 1):
        open_talks = [(at, talk) for at, talk in enumerate(talks) if talk.row is None]
        if not open_talks:
            break
        if turn == 0:  # all samples ask the same: one request
            requests = [next_request(ask, talks[0], ask.seed, ask.n)]
            replies = list((yield [(model, requests[0])])[0])
            requests *= ask.n
        else:
            requests = [next_request(ask, talk, seed_of(ask.seed, "turn", turn, at)) for at, talk in open_talks]
            replies = [reply for (reply,) in (yield [(model, request) for request in requests])]
        spent = tokens_of(replies) if turn == 0 else [tokens_of([reply])[0] for reply in replies]
        for (at, talk), request, reply, tokens in zip(open_talks, requests, replies, spent, strict=True):
            hear(talk, ask, at, kind, request, reply, tokens, turns - turn, cut)
    return [talk.row for talk in talks if talk.row is not None]


def next_request(ask: Ask, talk: Talk, seed: int, n: int = 1) -> Request:
    return Request(
        prompt=talk.text, images=tuple(talk.images), sampling=ask.sampling, seed=seed, n=n,
        prompt_sha256=ask.prompt_sha256, before=talk.before,
        text_first=bool(ask.protocol and ask.protocol.text_first),
    )  # fmt: skip


def hear(
    talk: Talk, ask: Ask, at: int, kind: str, request: Request, reply: Reply, tokens: Tokens, left: int, cut: Cut
) -> None:
    """What a reply makes of its conversation: a row where it answers or failed, else the next turn. `left`: looks."""
    talk.first = talk.first or reply.text
    talk.tokens = (talk.tokens[0] + tokens[0], talk.tokens[1] + tokens[1]) if talk.tokens and tokens else None
    calls = left > 0 and reply.status == OK and CALL in reply.text
    if not calls:
        seen: Row = {"first_reply": talk.first if talk.before else "", "zoom_box": talk.box}
        row = reply_row(ask, ask.samples[at], kind, request, reply, talk.tokens, len(talk.images), **seen)
        talk.row = row if came(reply) or not left else row | {"reason": LOOK_FAILED + reply.reason}
        return
    shown = len(talk.images) - sum(turn.images for turn in talk.before)
    talk.before += (Turn("user", talk.text, shown), Turn("assistant", reply.text))
    box = find_region(reply.text, talk.regions)
    if box is None:
        talk.text = load_prompt("evaluate", "tool_fault", ask.style).text
    else:
        talk.text = load_prompt("evaluate", "tool_result", ask.style).fill(number=len(talk.images))
        talk.images.append(ask.sized(cut_picture(ask.item["image"], box, enlarge(cut, box))))
        talk.regions.append(box)
    if left == 1:
        talk.text += " " + load_prompt("evaluate", "tool_last", ask.style).text


def find_region(text: str, regions: list[Box]) -> Box | None:
    """The region that the last call of a reply names, in pixels of the whole picture; None where it names none."""
    try:
        told = read_json(text.rpartition(CALL)[2].partition("</tool_call>")[0], "{", _is_call).value["arguments"]
    except ReplyError:
        return None
    index = told.get("img_idx", 0)
    if index not in range(len(regions)):
        return None
    around = regions[int(index)]
    width, height = around[2] - around[0], around[3] - around[1]
    box, _ = place_box(list(told["bbox_2d"]), "thousandths", width, height)
    if box is None:
        return None
    whole = regions[0]
    moved = Box(box[0] + around[0], box[1] + around[1], box[2] + around[0], box[3] + around[1])
    return widen(moved, whole[2], whole[3])


def _is_call(value: Any) -> bool:
    arguments = value.get("arguments") if isinstance(value, dict) else None
    return (
        isinstance(arguments, dict)
        and is_box(arguments.get("bbox_2d"))
        and isinstance(arguments.get("img_idx", 0), int | float)
        and not isinstance(arguments.get("img_idx", 0), bool)
    )


def enlarge(cut: Cut, box: Box) -> Cut:
    """`cut`, with as much enlargement as makes the region LEAST_PIXELS large."""
    area = max(1, (box[2] - box[0]) * (box[3] - box[1]))
    return cut.model_copy(update={"upscale": max(cut.upscale, math.ceil(math.sqrt(LEAST_PIXELS / area)))})
