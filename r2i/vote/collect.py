"""Answers into one vote per question; a judge is asked only for what the rules leave open."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from r2i.core import paths
from r2i.core.catalogue import ANSWERS, QUESTIONS, VOTES
from r2i.core.errors import ParamsError, TableError
from r2i.core.metrics import count_statuses, histogram
from r2i.core.params import Endpoint, Params, Vote
from r2i.core.records import FAILED, OK
from r2i.core.shards import Counts, Shard
from r2i.core.tables import Row
from r2i.endpoint.flow import Job
from r2i.endpoint.shard_jobs import JobWork
from r2i.grading.equality import is_equal
from r2i.vote.count import (
    VoteCount,
    VoteResult,
    check_offered,
    count_samples,
    decide,
    group_answers,
    is_worth_judging,
)
from r2i.vote.judge import JudgedCount, judge_job

COUNTED = ["answer_id", "question_id", "teacher", "answer", "status", "reason"]  # not the replies' long texts


class VoteWork(JobWork[JudgedCount]):
    """Questions and answers → votes; the judge, where there is one, is asked for what the rules leave open."""

    stage, inputs, needed, output = "vote", (QUESTIONS, ANSWERS), QUESTIONS, VOTES

    def __init__(self, params: Params, workers: int = 1) -> None:
        super().__init__(params, workers)
        self.begun: dict[str, BegunVote] = {}  # by the shard's name

    def endpoints(self) -> dict[str, Endpoint]:
        params = self.params.chosen.vote
        return {"judge": params.endpoint} if params.judge == "llm" and params.endpoint else {}

    def start(self, shard: Shard) -> Iterable[Job[JudgedCount]]:
        params = self.params.chosen.vote
        questions, answers = shard.ok_rows(QUESTIONS), shard.rows(ANSWERS, COUNTED)
        counts = count_votes(questions, answers)
        judge = self.models.get("judge")
        asked = find_open_questions(questions, counts, params) if judge else []
        self.begun[shard.name] = BegunVote(questions, answers, counts, asked)
        return (judge_job(one, counts[one["question_id"]], judge, params, self.params.seed) for one in asked if judge)

    def finish(self, shard: Shard, results: Sequence[JudgedCount]) -> tuple[list[Row], Counts]:
        begun = self.begun[shard.name]
        judged = {question["question_id"]: count for question, count in zip(begun.asked, results, strict=True)}
        votes = make_votes(begun.questions, begun.counts, judged, self.params.chosen.vote)
        most = histogram(count.asked + count.saved for count in begun.counts.values())
        return votes, {**count_vote_rows(votes, begun.answers, judged), "most_samples": most}

    def release(self, shard: Shard) -> None:
        self.begun.pop(shard.name, None)


class BegunVote(NamedTuple):
    """A shard between its count and the judge's replies. `asked`: questions that the judge is asked about."""

    questions: Sequence[Row]
    answers: Sequence[Row]
    counts: Mapping[str, VoteCount]
    asked: Sequence[Row]


def count_votes(questions: Sequence[Row], answers: Sequence[Row]) -> dict[str, VoteCount]:
    """The votes on each of `questions` (rows of QUESTIONS that are ok), by question_id.

    `answers`: rows of ANSWERS. Raises TableError where a question has no answer rows at all.
    """
    samples = defaultdict(list)
    for row in answers:
        samples[row["question_id"]].append(row)
    ids = [question["question_id"] for question in questions]
    if missing := next((question_id for question_id in ids if question_id not in samples), None):
        raise TableError(f"{paths.ANSWERS} has no rows for question {missing}", "run `dvc repro answer`")
    return {question_id: count_samples(samples[question_id]) for question_id in ids}


def find_open_questions(questions: Sequence[Row], counts: Mapping[str, VoteCount], params: Vote) -> list[Row]:
    """Those that the rules leave open; with `judge_all`, all that have an answer."""

    def is_open(count: VoteCount) -> bool:
        return bool(count.groups) if params.judge_all else is_worth_judging(count, params.min_agreement)

    return [question for question in questions if is_open(counts[question["question_id"]])]


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
    if result.status == OK:
        result = check_offered(question["question"], count.groups[0].answer)
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


def count_vote_rows(votes: Sequence[Row], answers: Sequence[Row], judged: Mapping[str, JudgedCount]) -> Counts:
    """What `summarise` makes the metrics of, of one shard or of all."""
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
        "given": dict(given),
        "agreed": dict(agreed),
        "teachers_differ": _count_disagreements(answers),
        "judged": len(judged),
        "decided_by_rules": len(votes) - len(judged),
        "repaired": sum(count.repaired for count in judged.values()),
    }


def summarise(counts: Counts, min_agreement: int) -> dict[str, Any]:
    """The metrics of the stage.

    The funnel; how many samples agreed and how many groups there were (histograms); votes kept by dimension; for each
    teacher the share of its answers that are spelled as, or by the rules equal to, the vote's answer; how many
    questions the judge was asked about, how many it was spared, and how many of its replies were repaired. Raises
    ParamsError where no question has samples enough to reach `min_agreement`.
    """
    most = max((int(samples) for samples in counts["most_samples"]), default=0)
    if most < min_agreement:
        raise ParamsError(f"vote.min_agreement is {min_agreement}, but no question was asked over {most} times",
                          "lower it, or raise the teachers' `samples`")  # fmt: skip
    agreement = {name: counts["agreed"].get(name, 0) / given for name, given in sorted(counts["given"].items())}
    shown = {name: value for name, value in counts.items() if name not in ("given", "agreed", "most_samples")}
    return {**shown, "teacher_agreement": agreement}


def _count_disagreements(answers: Sequence[Row]) -> int:
    """Questions on which the teachers' own most common answers are not all the same."""
    by_question: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in answers:
        if row["status"] == OK:
            by_question[row["question_id"]][row["teacher"]].append(row["answer"])
    modes = ([group_answers(given)[0] for given in teachers.values()] for teachers in by_question.values())
    return sum(not all(is_equal(groups[0].answer, group.answer) for group in groups) for groups in modes)
