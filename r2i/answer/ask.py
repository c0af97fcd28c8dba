"""Ask every teacher, who sees the crop, each question several times."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from r2i.answer.reply import parse_answer
from r2i.endpoint.base import Model, Reply, Request
from r2i.ids import make_id, seed_of
from r2i.metrics import count_statuses, histogram
from r2i.params import Answer, Teacher
from r2i.prompts import load_prompt
from r2i.records import FAILED, OK
from r2i.tables import Row


def ask_teacher(
    questions: Sequence[Row], crops: Mapping[str, bytes], teacher: Teacher, model: Model, params: Answer, seed: int
) -> list[Row]:
    """Rows of ANSWERS: `teacher.samples` for each of `questions` (rows of QUESTIONS that are ok).

    `crops`: JPEG bytes by region_id; every teacher sees the same bytes. One request holds all
    samples of a question, so that a crop is sent once.
    """
    prompt = load_prompt("answer", "answer", params.prompts)
    requests = [
        Request(
            prompt=prompt.fill(question=question["question"]), images=(crops[question["region_id"]],),
            sampling=params.sampling, seed=seed_of(seed, teacher.name, question["question_id"]),
            n=teacher.samples, prompt_sha256=prompt.sha256,
        )
        for question in questions
    ]  # fmt: skip
    return [
        read_answer(question, teacher.name, sample, reply, prompt.sha256)
        for question, replies in zip(questions, model.complete(requests), strict=True)
        for sample, reply in zip(range(teacher.samples), replies, strict=True)
    ]


def read_answer(question: Row, teacher: str, sample: int, reply: Reply, prompt_sha256: str) -> Row:
    """The row of one sample. A failed call (a truncated reply is one) keeps its text and gives no answer."""
    answer, reason = parse_answer(reply.text) if reply.status == OK else ("", reply.reason)
    return {
        "answer_id": make_id(question["question_id"], teacher, sample),
        "question_id": question["question_id"],
        "image_id": question["image_id"],
        "teacher": teacher,
        "sample": sample,
        "reply": reply.text,
        "answer": answer,
        "model": reply.model,
        "prompt_sha256": prompt_sha256,
        "reply_key": reply.key,
        "status": FAILED if reason else OK,
        "reason": reason,
    }


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """The funnel, the same for each teacher, and how many questions have so many answers."""
    answered = Counter({row["question_id"]: 0 for row in rows})
    answered.update(row["question_id"] for row in rows if row["status"] == OK)
    teachers = sorted({row["teacher"] for row in rows})
    return {
        **count_statuses(rows),
        "questions": len(answered),
        "answers_per_question": histogram(answered.values()),
        "by_teacher": {name: count_statuses(row for row in rows if row["teacher"] == name) for name in teachers},
    }
