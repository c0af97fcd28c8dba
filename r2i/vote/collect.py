"""Answers into one vote per question; a judge is asked only for what the rules leave open."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from r2i.core import paths
from r2i.core.errors import ParamsError, TableError
from r2i.core.metrics import count_statuses, histogram
from r2i.core.params import Vote
from r2i.core.records import FAILED, OK
from r2i.core.tables import Row
from r2i.endpoint.base import Model
from r2i.endpoint.flow import run_jobs
from r2i.endpoint.ledger import Ledger
from r2i.grading.equality import is_equal
from r2i.vote.count import VoteCount, VoteResult, count_samples, decide, group_answers, is_worth_judging
from r2i.vote.judge import JudgedCount, judge_job


def count_votes(questions: Sequence[Row], answers: Sequence[Row], params: Vote) -> dict[str, VoteCount]:
    """The votes on each of `questions` (rows of QUESTIONS that are ok), by question_id.

    `answers`: rows of ANSWERS. Raises TableError where a question has no answer rows at all, ParamsError where no
    question has samples enough to reach `min_agreement`.
    """
    samples = defaultdict(list)
    for row in answers:
        samples[row["question_id"]].append(row)
    ids = [question["question_id"] for question in questions]
    if missing := next((question_id for question_id in ids if question_id not in samples), None):
        raise TableError(f"{paths.ANSWERS} has no rows for question {missing}", "run `dvc repro answer`")
    counts = {question_id: count_samples(samples[question_id]) for question_id in ids}
    most = max((count.asked + count.saved for count in counts.values()), default=0)
    if most < params.min_agreement:
        raise ParamsError(f"vote.min_agreement is {params.min_agreement}, but no question was asked over {most} times",
                          "lower it, or raise the teachers' `samples`")  # fmt: skip
    return counts


def judge_votes(
    questions: Sequence[Row],
    counts: Mapping[str, VoteCount],
    judge: Model | None,
    params: Vote,
    seed: int,
    ledger: Ledger | None = None,
) -> dict[str, JudgedCount]:
    """Ask the judge about what the rules leave open; with `judge_all`, about every question that has an answer.

    By question_id. Without a judge there are none.
    """
    if judge is None:
        return {}

    def is_open(count: VoteCount) -> bool:
        return bool(count.groups) if params.judge_all else is_worth_judging(count, params.min_agreement)

    open_questions = [question for question in questions if is_open(counts[question["question_id"]])]
    jobs = (judge_job(question, counts[question["question_id"]], judge, params, seed) for question in open_questions)
    judged = run_jobs(jobs, ledger, len(open_questions))
    return {question["question_id"]: count for question, count in zip(open_questions, judged, strict=True)}


def make_votes(
    questions: Sequence[Row], counts: Mapping[str, VoteCount], judged: Mapping[str, JudgedCount], params: Vote
) -> list[Row]:
    """Rows of VOTES: one for each of `questions`, by the judge's groups where it was asked."""
    ids = [question["question_id"] for question in questions]
    return [
        _vote(question, counts[question_id], judged.get(question_id), params.min_agreement)
        for question_id, question in zip(ids, questions, strict=True)
    ]


def _vote(question: Row, count: VoteCount, judged: JudgedCount | None, min_agreement: int) -> Row:
    count = judged.count if judged else count
    result = VoteResult(FAILED, judged.fault) if judged and judged.fault else decide(count, min_agreement)
    copied = ("question_id", "region_id", "image_id", "question", "dimension")
    return {name: question[name] for name in copied} | {
        "answer": count.groups[0].answer if count.groups else "",
        "agree": count.agree,
        "valid": count.valid,
        "asked": count.asked,
        "groups": [{"answer": group.answer, "count": group.count} for group in count.groups],
        "judge": judged.call if judged else None,
        "status": result.status,
        "reason": result.reason,
    }


def summarise(votes: Sequence[Row], answers: Sequence[Row], judged: Mapping[str, JudgedCount]) -> dict[str, Any]:
    """The metrics of the stage.

    The funnel; how many samples agreed and how many groups there were (histograms); votes kept by dimension; for each
    teacher the share of its answers that are spelled as, or by the rules equal to, the vote's answer; how many
    questions the judge was asked about, how many it was spared, and how many of its replies were repaired.
    """
    winner = {vote["question_id"]: vote["answer"] for vote in votes}
    given: Counter[str] = Counter()
    agreed: Counter[str] = Counter()
    for row in answers:
        if row["status"] == OK and row["question_id"] in winner:
            given[row["teacher"]] += 1
            agreed[row["teacher"]] += is_equal(row["answer"], winner[row["question_id"]])
    return {
        **count_statuses(votes),
        "agree": histogram(vote["agree"] for vote in votes),
        "groups": histogram(len(vote["groups"]) for vote in votes),
        "kept_by_dimension": histogram(vote["dimension"] for vote in votes if vote["status"] == OK),
        "teacher_agreement": {name: agreed[name] / given[name] for name in sorted(given)},
        "teachers_differ": _count_disagreements(answers),
        "judged": len(judged),
        "decided_by_rules": len(votes) - len(judged),
        "repaired": sum(count.repaired for count in judged.values()),
    }


def _count_disagreements(answers: Sequence[Row]) -> int:
    """Questions on which the teachers' own most common answers are not all the same."""
    by_question: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in answers:
        if row["status"] == OK:
            by_question[row["question_id"]][row["teacher"]].append(row["answer"])
    modes = ([group_answers(given)[0] for given in teachers.values()] for teachers in by_question.values())
    return sum(not all(is_equal(groups[0].answer, group.answer) for group in groups) for groups in modes)
