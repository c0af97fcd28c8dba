"""Ask the teacher for questions about a region: its crop is all that it sees, or the full image, as params say."""

from r2i.core.errors import ParamsError
from r2i.core.ids import make_id, seed_of
from r2i.core.params import Question
from r2i.core.parse import ReplyError
from r2i.core.prompts import load_prompt
from r2i.core.provenance import call_of
from r2i.core.records import FAILED, OK, REJECTED
from r2i.core.tables import Row
from r2i.core.text import normalise
from r2i.endpoint.base import Picture, Reply, Request
from r2i.question.reply import QUESTIONS_FORM, WrittenQuestion, parse_questions

MAX_LENGTH = 300  # characters of a question


def build_write_request(region: Row, picture: Picture, image: Picture, params: Question, seed: int) -> Request:
    """The request for questions about one region (a row of REGIONS), with the picture that the teacher sees.

    Where the style's prompt names the region's `{box}`, the full image follows. Raises ParamsError where that is scaled
    down: the box is in its own pixels.
    """
    prompt = load_prompt("question", "write", params.prompts)
    shown = {"box": list(region["box"])} if "{box}" in prompt.text else {}
    if shown and params.max_pixels is not None:
        raise ParamsError(
            f"question.prompts {params.prompts} names boxes in pixels of the image as it is", "leave max_pixels out"
        )
    return Request(
        prompt=prompt.fill(count=params.per_crop, **shown), images=(picture, image) if shown else (picture,),
        sampling=params.write,
        seed=seed_of(seed, "write", region["region_id"]), prompt_sha256=prompt.sha256, form=QUESTIONS_FORM,
    )  # fmt: skip


def read_questions(region: Row, request: Request, reply: Reply, params: Question) -> list[Row]:
    """The rows of one region, unchecked: one for each question that was written, or one that says why there is none.

    Questions that are `empty`, `too_long`, a `duplicate`, or beyond `per_crop` (`too_many`) are rejected.
    """
    status, reason = REJECTED, "nothing_to_ask"
    written: list[WrittenQuestion] = []
    repaired = False
    if reply.status != OK:
        status, reason = FAILED, reply.reason
    else:
        try:
            written, repaired = parse_questions(reply.text)
        except ReplyError:
            status, reason = FAILED, "unparsable"
    base = {"region_id": region["region_id"], "image_id": region["image_id"], "checks": None, "check": None}
    base |= {"repaired": repaired, **call_of(params.teacher.kind, request, reply, params.max_pixels)}
    if not written:
        blank = {"question_id": make_id(region["region_id"], ""), "question": "", "dimension": ""}
        return [base | blank | {"status": status, "reason": reason}]
    rows: list[Row] = []
    seen: set[str] = set()
    accepted = 0
    for place, (question, dimension) in enumerate(written):
        form = normalise(question)
        is_repeated = form in seen
        reason = _reason_to_reject(question, form, is_repeated, accepted, params.per_crop)
        # two rows of one region may hold the same text: the place keeps their ids apart
        name = (form, place) if is_repeated else (form,)
        seen.add(form)
        accepted += not reason
        row = {"question_id": make_id(region["region_id"], *name), "question": question, "dimension": dimension}
        rows.append(base | row | {"status": REJECTED if reason else OK, "reason": reason})
    return rows


def _reason_to_reject(question: str, form: str, is_repeated: bool, accepted: int, per_crop: int) -> str:
    """Empty where it is accepted. `form`: the normalised question; `accepted`: questions of the region so far."""
    if not form:
        return "empty"
    if len(question) > MAX_LENGTH:
        return "too_long"
    if is_repeated:
        return "duplicate"
    return "too_many" if accepted >= per_crop else ""
