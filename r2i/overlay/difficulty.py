"""Draw the box on the full image and measure how hard the question is for the student."""

from collections.abc import Mapping, Sequence

from r2i.endpoint.base import Model, Reply, Request
from r2i.errors import ImageError
from r2i.ids import seed_of
from r2i.images import draw_box, jpeg_bytes, read_image
from r2i.mcq import mcq_prompt
from r2i.overlay.item import Item, still_ok
from r2i.params import Overlay
from r2i.progress import track
from r2i.prompts import ROOT, load_prompt
from r2i.records import FAILED, OK, REJECTED
from r2i.reward import grade


def boxed_prompt(question: str, options: list[str], style: str) -> str:
    """The multiple-choice prompt for a boxed image: with `boxed.txt` at its end where the style has one."""
    prompt = mcq_prompt(question, options, style)
    if not (ROOT / "overlay" / "prompts" / style / "boxed.txt").is_file():
        return prompt
    return f"{prompt}\n{load_prompt('overlay', 'boxed', style).text}"


def draw_boxes(items: Sequence[Item], images: Mapping[str, bytes], params: Overlay) -> None:
    """Set `boxed` (JPEG bytes) on every item; one whose image can't be read fails with the reason."""
    for item in track(still_ok(items), "overlay: draw boxes"):
        try:
            image = read_image(images[item.vote["image_id"]])
        except ImageError as error:
            item.drop(FAILED, error.cause)
        else:
            item.boxed = jpeg_bytes(draw_box(image, item.box, params.expand, params.line))


def try_student(items: Sequence[Item], student: Model, params: Overlay, seed: int) -> None:
    """Let the student answer each boxed question `tries` times; drop what is too easy or not measured."""
    asked = still_ok(items)
    requests = [
        Request(
            prompt=boxed_prompt(item.vote["question"], item.options, params.prompts),
            images=(item.boxed or b"",), sampling=params.attempt,
            seed=seed_of(seed, "attempt", item.question_id), n=params.tries,
            prompt_sha256=load_prompt("mcq", "choose", params.prompts).sha256,
        )
        for item in asked
    ]  # fmt: skip
    for item, replies in zip(asked, student.complete(requests), strict=True):
        score_tries(item, replies, params.drop_at)


def score_tries(item: Item, replies: Sequence[Reply], drop_at: int) -> None:
    """Count the tries that were right; failed calls are neither right nor wrong.

    A reply cut by length or without a closed span is the student's own failure and counts as wrong.
    Any other failed call leaves the question unmeasured: failed (`student_<reason>`), not hard.
    """
    lost = [reply.reason for reply in replies if reply.status != OK and reply.reason != "truncated"]
    item.tries = len(replies) - len(lost)
    item.right = sum(grade(reply.text, item.label, item.options).correct for reply in replies if reply.status == OK)
    if lost:
        item.drop(FAILED, f"student_{min(lost)}")
    elif item.right >= drop_at:
        item.drop(REJECTED, "too_easy")
