"""Ask every teacher, who sees the crop, each question several times."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from r2i.answer.reply import parse_answer
from r2i.core.ids import make_id, seed_of
from r2i.core.metrics import count_statuses, histogram
from r2i.core.params import Answer, Teacher
from r2i.core.prompts import load_prompt
from r2i.core.provenance import NO_CALL, call_of
from r2i.core.records import ABSTAINED, FAILED, NOT_ASKED, OK, REJECTED
from r2i.core.tables import Row
from r2i.core.text import normalise
from r2i.endpoint.base import Model, Picture, Reply, Request
from r2i.endpoint.flow import Job, run_jobs
from r2i.endpoint.ledger import Ledger
from r2i.endpoint.pictures import in_their_order


def ask_teachers(
    questions: Sequence[Row],
    crops: Mapping[str, Picture],
    models: Sequence[Model],
    params: Answer,
    seed: int,
    ledger: Ledger | None = None,
) -> list[Row]:
    """Rows of ANSWERS: every teacher's samples for each of `questions` (rows of QUESTIONS that are ok).

    `crops`: by region_id, in whose order the questions are gone through; every teacher sees the same bytes.
    `models`: one for each of `params.teachers`.
    """
    ordered = in_their_order(questions, crops, lambda question: question["region_id"])
    teachers = list(zip(params.teachers, models, strict=True))
    jobs = (answer_job(question, crops[question["region_id"]], teachers, params, seed) for question in ordered)
    return [row for rows in run_jobs(jobs, ledger, len(ordered)) for row in rows]


def answer_job(
    question: Row, crop: Picture, teachers: Sequence[tuple[Teacher, Model]], params: Answer, seed: int
) -> Job[list[Row]]:
    """The rows of one question: all teachers at once, or one after the other while agreement is within reach."""
    asks = [(teacher, model, ask_teacher(question, crop, teacher, params, seed)) for teacher, model in teachers]
    turns = [asks] if params.skip_below is None else [[ask] for ask in asks]
    rows: list[Row] = []
    for turn in turns:
        to_come = sum(teacher.samples for teacher, _ in teachers) - len(rows)
        if rows and params.skip_below is not None and within_reach(rows, to_come) < params.skip_below:
            rows += [skip_answer(question, teacher.name, i) for teacher, _, _ in turn for i in range(teacher.samples)]
            continue
        replies = yield [(model, request) for _, model, request in turn]
        for (teacher, _, request), given in zip(turn, replies, strict=True):
            rows += [
                read_answer(question, teacher, sample, request, reply, params)
                for sample, reply in zip(range(teacher.samples), given, strict=True)
            ]
    return rows


def ask_teacher(question: Row, crop: Picture, teacher: Teacher, params: Answer, seed: int) -> Request:
    """All samples of a question are one request, so that a crop is sent once."""
    prompt = load_prompt("answer", "answer", params.prompts)
    return Request(
        prompt=prompt.fill(question=question["question"]), images=(crop,), sampling=params.sampling,
        seed=seed_of(seed, teacher.name, question["question_id"]), n=teacher.samples, prompt_sha256=prompt.sha256,
    )  # fmt: skip


def within_reach(rows: Sequence[Row], to_come: int) -> int:
    """The most samples that can still agree: the largest group so far, the lost calls, and those to come."""
    groups = Counter(normalise(row["answer"]) for row in rows if row["status"] == OK)
    lost = sum(1 for row in rows if row["status"] == FAILED and row["reason"] not in ABSTAINED)
    return max(groups.values(), default=0) + lost + to_come


def read_answer(question: Row, teacher: Teacher, sample: int, request: Request, reply: Reply, params: Answer) -> Row:
    """The row of one sample. A failed call (a truncated reply is one) keeps its text and gives no answer."""
    answer, reason = parse_answer(reply.text) if reply.status == OK else ("", reply.reason)
    said = {"reply": reply.text, "answer": answer, "status": FAILED if reason else OK, "reason": reason}
    call = call_of(teacher.endpoint.kind, request, reply, params.max_pixels)
    return _row(question, teacher.name, sample) | said | call


def skip_answer(question: Row, teacher: str, sample: int) -> Row:
    """The row of a sample that was never asked for."""
    nothing = {"reply": "", "answer": "", "status": REJECTED, "reason": NOT_ASKED}
    return _row(question, teacher, sample) | nothing | NO_CALL


def _row(question: Row, teacher: str, sample: int) -> Row:
    return {
        "answer_id": make_id(question["question_id"], teacher, sample),
        "question_id": question["question_id"],
        "image_id": question["image_id"],
        "teacher": teacher,
        "sample": sample,
    }


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """The funnel, the same for each teacher, how many questions have so many answers, and what was saved:
    samples that were not asked for, and the questions that they belong to."""
    answered = Counter({row["question_id"]: 0 for row in rows})
    answered.update(row["question_id"] for row in rows if row["status"] == OK)
    teachers = sorted({row["teacher"] for row in rows})
    saved = [row["question_id"] for row in rows if row["reason"] == NOT_ASKED]
    return {
        **count_statuses(rows),
        "questions": len(answered),
        "answers_per_question": histogram(answered.values()),
        "by_teacher": {name: count_statuses(row for row in rows if row["teacher"] == name) for name in teachers},
        "not_asked": {"questions": len(set(saved)), "samples": len(saved)},
    }
