"""Ask the teacher, who sees the crop alone, for questions about it."""

from r2i.core.ids import make_id, seed_of
from r2i.core.params import Question
from r2i.core.parse import ReplyError
from r2i.core.prompts import load_prompt
from r2i.core.provenance import call_of
from r2i.core.records import FAILED, OK, REJECTED
from r2i.core.tables import Row
from r2i.core.text import normalise
from r2i.endpoint.base import Picture, Reply, Request
from r2i.question.reply import QUESTIONS_FORM, parse_questions

LONGEST = 300  # characters of a question


def ask_questions(region: Row, crop: Picture, params: Question, seed: int) -> Request:
    """What is asked about one region (a row of REGIONS), with its crop."""
    prompt = load_prompt("question", "write", params.prompts)
    return Request(
        prompt=prompt.fill(count=params.per_crop), images=(crop,), sampling=params.write,
        seed=seed_of(seed, "write", region["region_id"]), prompt_sha256=prompt.sha256, form=QUESTIONS_FORM,
    )  # fmt: skip


def read_questions(region: Row, request: Request, reply: Reply, params: Question) -> list[Row]:
    """The rows of one region, unchecked: a row for each question that was written, or one that says why there is none.

    Questions that are `empty`, `too_long`, a `duplicate`, or beyond `per_crop` (`too_many`) are rejected.
    """
    status, reason = REJECTED, "nothing_to_ask"
    written: list[tuple[str, str]] = []
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
        nothing = {"question_id": make_id(region["region_id"], ""), "question": "", "dimension": ""}
        return [base | nothing | {"status": status, "reason": reason}]
    rows: list[Row] = []
    seen: set[str] = set()
    kept = 0
    for place, (question, dimension) in enumerate(written):
        same = normalise(question)
        fault = _fault(question, same, seen, kept, params.per_crop)
        # two rows of one region may hold the same text: the place keeps their ids apart
        name = (same,) if same not in seen else (same, place)
        seen.add(same)
        kept += not fault
        row = {"question_id": make_id(region["region_id"], *name), "question": question, "dimension": dimension}
        rows.append(base | row | {"status": REJECTED if fault else OK, "reason": fault})
    return rows


def _fault(question: str, same: str, seen: set[str], kept: int, per_crop: int) -> str:
    if not same:
        return "empty"
    if len(question) > LONGEST:
        return "too_long"
    if same in seen:
        return "duplicate"
    return "too_many" if kept >= per_crop else ""
