"""Ask every teacher each question several times, on the crop or the full image, and read the answers."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from r2i.core.catalogue import ANSWERS, IMAGES, QUESTIONS, REGIONS, Listed
from r2i.core.ids import make_id, seed_of
from r2i.core.metrics import count_statuses, histogram
from r2i.core.names import TeacherView
from r2i.core.params import Answer, Endpoint, Params, Teacher
from r2i.core.parse import last_boxed, last_span
from r2i.core.photos import Photos
from r2i.core.prompts import load_prompt
from r2i.core.provenance import NO_CALL, call_of
from r2i.core.reasoning import boxed_by_tokens, drop_tokens, read_final
from r2i.core.records import ABSTAINED, FAILED, NOT_ASKED, OK, REJECTED
from r2i.core.shards import Counts, Shard
from r2i.core.tables import Row
from r2i.core.text import is_no_answer, strip_markup
from r2i.endpoint.base import Model, Picture, Reply, Request
from r2i.endpoint.flow import Job
from r2i.endpoint.pictures import read_images, read_pictures, sort_by_picture
from r2i.endpoint.shard_jobs import JobWork
from r2i.grading.equality import group_equal
from r2i.grading.phrases import is_stand_in

MAX_LENGTH = 300  # characters of an answer
PICTURE: dict[TeacherView, str] = {"crop": "region_id", "full": "image_id"}
"""What names the picture that a question is answered on."""


class ConnectedTeacher(NamedTuple):
    """A teacher's params and its model."""

    params: Teacher
    model: Model


class ParsedAnswer(NamedTuple):
    """The answer in a reply, or an empty one and the reason why there is none."""

    answer: str
    reason: str = ""


class AnswerWork(JobWork[list[Row]]):
    """Regions and questions → answers, by the teachers of the section `answer`."""

    stage, needed, output = "answer", QUESTIONS, ANSWERS
    inputs: tuple[Listed, ...] = (REGIONS, QUESTIONS)

    def __init__(self, params: Params, workers: int = 1) -> None:
        super().__init__(params, workers)
        if params.chosen.answer.view == "full":
            self.inputs = (IMAGES, REGIONS, QUESTIONS)

    def endpoints(self) -> dict[str, Endpoint]:
        return {teacher.name: teacher.endpoint for teacher in self.params.chosen.answer.teachers}

    def start(self, shard: Shard) -> Iterable[Job[list[Row]]]:
        params = self.params.chosen.answer
        questions = shard.ok_rows(QUESTIONS)
        ids = [question[PICTURE[params.view]] for question in questions]
        if params.view == "full":
            pictures = read_images(Photos.of(self.params), ids, params.max_pixels, shard.files[IMAGES.name])
        else:
            pictures = read_pictures(shard.files[REGIONS.name], REGIONS.schema, "crop", "crop", ids, params.max_pixels)
        return answer_jobs(questions, pictures, list(self.models.values()), params, self.params.seed)

    def finish(self, shard: Shard, results: Sequence[list[Row]]) -> tuple[list[Row], Counts]:
        rows = [row for result in results for row in result]
        return rows, count_answers(rows)


def answer_jobs(
    questions: Sequence[Row], pictures: Mapping[str, Picture], models: Sequence[Model], params: Answer, seed: int
) -> Iterator[Job[list[Row]]]:
    """For each of `questions` (rows of QUESTIONS that are ok) its rows of ANSWERS: every teacher's samples.

    `pictures`: crops by region_id or full images by image_id, as `params.view` says, in whose order the questions are
    processed; every teacher sees the same bytes.
    `models`: one for each of `params.teachers`.
    """
    teachers = [ConnectedTeacher(*pair) for pair in zip(params.teachers, models, strict=True)]
    name = PICTURE[params.view]
    for question in sort_by_picture(questions, pictures, lambda question: question[name]):
        yield answer_job(question, pictures[question[name]], teachers, params, seed)


def answer_job(
    question: Row, picture: Picture, teachers: Sequence[ConnectedTeacher], params: Answer, seed: int
) -> Job[list[Row]]:
    """The rows of one question: all teachers at once, or one after the other while agreement is within reach."""
    turns = [list(teachers)] if params.skip_below is None else [[teacher] for teacher in teachers]
    rows: list[Row] = []
    for turn in turns:
        remaining = sum(teacher.params.samples for teacher in teachers) - len(rows)
        if rows and params.skip_below is not None and within_reach(rows, remaining) < params.skip_below:
            for teacher in turn:
                rows += [skip_answer(question, teacher.params.name, sample) for sample in range(teacher.params.samples)]
            continue
        requests = [build_answer_request(question, picture, teacher.params, params, seed) for teacher in turn]
        replies = yield [(teacher.model, request) for teacher, request in zip(turn, requests, strict=True)]
        for teacher, request, samples in zip(turn, requests, replies, strict=True):
            rows += [
                read_answer(question, teacher.params, sample, request, reply, params)
                for sample, reply in zip(range(teacher.params.samples), samples, strict=True)
            ]
    return rows


def build_answer_request(question: Row, picture: Picture, teacher: Teacher, params: Answer, seed: int) -> Request:
    """The request to one teacher. All its samples are one request, so that the picture is sent once."""
    prompt = load_prompt("answer", "answer", params.prompts)
    return Request(
        prompt=prompt.fill(question=question["question"]), images=(picture,), sampling=params.sampling,
        seed=seed_of(seed, teacher.name, question["question_id"]), n=teacher.samples, prompt_sha256=prompt.sha256,
    )  # fmt: skip


def within_reach(rows: Sequence[Row], remaining: int) -> int:
    """How many samples can still agree: the largest group so far, the failed calls, and the `remaining` samples."""
    groups = [group.total() for group in group_equal(row["answer"] for row in rows if row["status"] == OK)]
    lost = sum(1 for row in rows if row["status"] == FAILED and row["reason"] not in ABSTAINED)
    return max(groups, default=0) + lost + remaining


def read_answer(question: Row, teacher: Teacher, sample: int, request: Request, reply: Reply, params: Answer) -> Row:
    """The row of one sample. A failed call (a truncated reply is one) keeps its text and gives no answer."""
    answer, reason = parse_answer(reply.text) if reply.status == OK else ParsedAnswer("", reply.reason)
    columns = {"reply": reply.text, "answer": answer, "status": FAILED if reason else OK, "reason": reason}
    call = call_of(teacher.endpoint.kind, request, reply, params.max_pixels)
    return _row(question, teacher.name, sample) | columns | call


def parse_answer(text: str) -> ParsedAnswer:
    """The answer that a reply states.

    Reasoning is removed first. The last `<answer>` span counts, else the last `\\boxed{}`, else GLM's box; one that is
    not closed is no answer (`no_answer`), and neither is a stand-in such as "None". Markup and special tokens are
    removed, so that the vote and the options see the plain text, else as it was said. `too_long`: over MAX_LENGTH
    characters, which is no short answer.
    """
    text = read_final(text)
    boxed = last_boxed(text) if "\\boxed{" in text else boxed_by_tokens(text)
    span = last_span(text) if "<answer>" in text else boxed
    span = (last_boxed(span) or span) if span else ""  # a box inside the span
    answer = " ".join(strip_markup(drop_tokens(span)).split())
    if is_no_answer(answer) or is_stand_in(answer):
        return ParsedAnswer("", "no_answer")
    return ParsedAnswer(answer) if len(answer) <= MAX_LENGTH else ParsedAnswer("", "too_long")


def skip_answer(question: Row, teacher: str, sample: int) -> Row:
    """The row of a sample that was not asked for."""
    columns = {"reply": "", "answer": "", "status": REJECTED, "reason": NOT_ASKED}
    return _row(question, teacher, sample) | columns | NO_CALL


def _row(question: Row, teacher: str, sample: int) -> Row:
    return {
        "answer_id": make_id(question["question_id"], teacher, sample),
        "question_id": question["question_id"],
        "image_id": question["image_id"],
        "teacher": teacher,
        "sample": sample,
    }


def count_answers(rows: Sequence[Row]) -> Counts:
    """The metrics of the stage, of one shard or of all.

    The funnel, for each teacher too; how many questions have so many answers (a histogram); samples that were not
    asked for, and the questions that they belong to.
    """
    answered = Counter({row["question_id"]: 0 for row in rows})
    answered.update(row["question_id"] for row in rows if row["status"] == OK)
    teachers = sorted({row["teacher"] for row in rows})
    skipped = [row["question_id"] for row in rows if row["reason"] == NOT_ASKED]
    return {
        **count_statuses(rows),
        "questions": len(answered),
        "answers_per_question": histogram(answered.values()),
        "by_teacher": {name: count_statuses(row for row in rows if row["teacher"] == name) for name in teachers},
        "not_asked": {"questions": len(set(skipped)), "samples": len(skipped)},
    }
