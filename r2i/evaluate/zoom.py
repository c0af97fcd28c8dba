"""The zoom view: the model says where to look, sees that region beside the whole picture, and answers.

Qwen3-VL writes boxes in thousandths of the picture; the prompt asks every model for these. Qwen2.5-VL was taught
pixels of the picture as it was resized, and does not always obey: read its zoom boxes with that in mind.
"""

from typing import Any, NamedTuple

from r2i.core.boxes import Box, clip, place_box
from r2i.core.drawing import frame_box
from r2i.core.ids import seed_of
from r2i.core.images import read_size
from r2i.core.params import Cut, Sampling, Zoom
from r2i.core.parse import ReplyError, is_box, make_form, read_json, strict_object
from r2i.core.prompts import has_prompt, load_prompt
from r2i.core.records import OK
from r2i.endpoint.base import Model, Reply, Request
from r2i.endpoint.flow import Job
from r2i.evaluate.plan import Ask
from r2i.evaluate.rows import Row, Tokens, came, rejected_rows, reply_row, tokens_of
from r2i.evaluate.views import cut_picture

LEAST_SIDE = 28  # pixels: a vision token of Qwen2.5-VL; a smaller box is widened
MOST_ASPECT = 100  # longest side / shortest side; models refuse 200
LOOK_FAILED = "look_"  # before the reason of a row whose first step failed
LOOK_FORM = make_form(
    "region",
    strict_object(bbox_2d={"type": "array", "items": {"type": "integer"}, "minItems": 4, "maxItems": 4}),
)


class Step(NamedTuple):
    """The second step of one sample. `box`: of the full image, what is shown enlarged; None: nothing is."""

    request: Request
    box: Box | None
    forwards: int


def zoom_job(model: Model, kind: str, ask: Ask, zoom: Zoom, cut: Cut) -> Job[list[Row]]:
    """The rows of one ask in the zoom view. `kind`: of the endpoint; `cut`: how a region is shown, as in training."""
    if zoom.box == "oracle" and not ask.item["box"]:
        return rejected_rows(ask, "no_box")
    look = look_request(ask, zoom)
    (looks,) = yield [(model, look)]
    steps = {at: second_step(ask, at, reply, zoom, cut) for at, reply in enumerate(looks) if came(reply)}
    answers: dict[int, Reply] = {}
    if steps:
        given = yield [(model, step.request) for step in steps.values()]
        answers = {at: reply for at, (reply,) in zip(steps, given, strict=True)}
    rows = []
    for at, (first, spent) in enumerate(zip(looks, tokens_of(looks), strict=True)):
        sample = ask.samples[at]
        if at not in steps:
            failed = reply_row(ask, sample, kind, look, first, None, 0)
            rows.append(failed | {"reason": LOOK_FAILED + first.reason})
            continue
        request, box, forwards = steps[at]
        tokens = _sum(spent, tokens_of([answers[at]])[0])
        seen: Row = {"first_reply": first.text, "zoom_box": box}
        rows.append(reply_row(ask, sample, kind, request, answers[at], tokens, forwards, **seen))
    return rows


def look_request(ask: Ask, zoom: Zoom) -> Request:
    """The first step: where to look. It is sampled as the answer is."""
    prompt = load_prompt("evaluate", "look", ask.style)
    sampling = Sampling(**ask.sampling.model_dump() | {"max_tokens": zoom.max_tokens})
    return Request(
        prompt=prompt.fill(question=ask.item["question"]), images=ask.pictures, sampling=sampling,
        seed=ask.seed, n=ask.n, prompt_sha256=prompt.sha256, form=LOOK_FORM,
    )  # fmt: skip


def second_step(ask: Ask, at: int, reply: Reply, zoom: Zoom, cut: Cut) -> Step:
    """Ask the question again with the region enlarged, or with the full view alone where no region was named.

    A style with a prompt `zoomed` sees both pictures; one without it (mini, which never learned to answer about two)
    sees the region alone. A picture that both steps show counts once: engines keep its features.
    """
    item = ask.item
    box = choose_box(item, reply, zoom, cut)
    text, images = ask.prompt, list(ask.pictures)
    if box:
        region = ask.sized(cut_picture(item["image"], box, cut))
        both = has_prompt("evaluate", "zoomed", ask.style)
        images = [*ask.pictures, region] if both else [region]
        text = f"{load_prompt('evaluate', 'zoomed', ask.style).text}\n\n{text}" if both else text
    request = Request(
        prompt=text, images=tuple(images), sampling=ask.sampling, seed=seed_of(ask.seed, "answer", at),
        prompt_sha256=ask.prompt_sha256, text_first=bool(ask.protocol and ask.protocol.text_first),
    )  # fmt: skip
    return Step(request, box, 2 if box else 1)


def choose_box(item: Row, reply: Reply, zoom: Zoom, cut: Cut) -> Box | None:
    """Box of the full image, pixels, with its context; None where the reply names none.

    `oracle`: the item's own box as it is (the benchmark gave it its context), whatever was said.
    """
    if zoom.box == "oracle":
        return Box(*item["box"])
    if reply.status != OK:  # cut off or empty: half a box is none
        return None
    try:
        said = parse_box(reply.text)
    except ReplyError:
        return None
    width, height = read_size(item["image"].load())
    box, _ = place_box(said, "thousandths", width, height)
    return widen(frame_box(box, cut, width, height), width, height) if box else None


def parse_box(text: str) -> list[float]:
    """The four numbers of the last JSON object in `text` that has a `bbox_2d`. Raises ReplyError."""
    return list(read_json(text, "{", _has_box).value["bbox_2d"])


def _has_box(value: Any) -> bool:
    return isinstance(value, dict) and is_box(value.get("bbox_2d"))


def widen(box: Box, width: int, height: int) -> Box:
    """A box with no side shorter than LEAST_SIDE, nor than its other side / MOST_ASPECT, as far as the image goes."""
    least = max(LEAST_SIDE, -(-max(box[2] - box[0], box[3] - box[1]) // MOST_ASPECT))
    left, right = _stretch(box[0], box[2], least, width)
    top, bottom = _stretch(box[1], box[3], least, height)
    return clip(Box(left, top, right, bottom), width, height)


def _stretch(start: int, end: int, least: int, size: int) -> tuple[int, int]:
    """The span grown to `least` about its middle, moved onto 0 .. size."""
    if end - start >= least:
        return start, end
    start = max(0, min((start + end - least) // 2, size - least))
    return start, start + least


def _sum(first: Tokens, second: Tokens) -> Tokens:
    return (first[0] + second[0], first[1] + second[1]) if first and second else None
