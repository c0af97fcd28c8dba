"""Turn answers into one vote per question; ask a judge only for what the rules leave open."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from r2i import paths
from r2i.endpoint.base import Model, Reply, Request
from r2i.errors import ParamsError, TableError
from r2i.ids import seed_of
from r2i.metrics import count_statuses, histogram
from r2i.params import Vote
from r2i.parse import ReplyError
from r2i.prompts import load_prompt
from r2i.records import FAILED, OK
from r2i.tables import Row
from r2i.text import normalise
from r2i.vote.count import Tally, decide, group_answers, merge_groups, tally, worth_judging
from r2i.vote.reply import parse_groups


def collect_votes(
    questions: Sequence[Row], answers: Sequence[Row], params: Vote, seed: int, judge: Model | None = None
) -> list[Row]:
    """Rows of VOTES: one for each of `questions` (rows of QUESTIONS that are ok).

    Raises TableError where a question has no answer rows at all, ParamsError where no question was
    asked often enough to reach `min_agreement`.
    """
    by_question = defaultdict(list)
    for row in answers:
        by_question[row["question_id"]].append((row["answer"], row["status"], row["reason"]))
    for question in questions:
        if question["question_id"] not in by_question:
            raise TableError(f"{paths.ANSWERS} has no rows for question {question['question_id']}",
                             "run `dvc repro answer`")  # fmt: skip
    tallies = {question["question_id"]: tally(by_question[question["question_id"]]) for question in questions}
    most = max((count.asked for count in tallies.values()), default=0)
    if most < params.min_agreement:
        raise ParamsError(f"vote.min_agreement is {params.min_agreement}, but no question was asked over {most} times",
                          "lower it, or raise the teachers' `samples`")  # fmt: skip
    faults: dict[str, str] = {}
    if judge is not None:
        faults = judge_groups(questions, tallies, params, seed, judge)
    return [_vote(question, tallies[question["question_id"]], params, faults) for question in questions]


def judge_groups(
    questions: Sequence[Row], tallies: dict[str, Tally], params: Vote, seed: int, judge: Model
) -> dict[str, str]:
    """Let `judge` join groups in `tallies` where that could decide; reasons by question where it failed."""
    prompt = load_prompt("vote", "judge", params.prompts)
    open_ = [q for q in questions if worth_judging(tallies[q["question_id"]], params.min_agreement)]
    requests = [
        Request(
            prompt=prompt.fill(question=question["question"], answers=list_answers(tallies[question["question_id"]])),
            images=(), sampling=params.sampling,
            seed=seed_of(seed, "judge", question["question_id"]), prompt_sha256=prompt.sha256,
        )
        for question in open_
    ]  # fmt: skip
    faults = {}
    for question, (reply,) in zip(open_, judge.complete(requests), strict=True):
        name = question["question_id"]
        try:
            tallies[name] = apply_judgement(tallies[name], reply)
        except ReplyError as error:
            faults[name] = f"judge_{error}"
    return faults


def list_answers(count: Tally) -> str:
    """The distinct answers, numbered from 1, with the samples that gave each."""
    return "\n".join(f"{n}. {group.answer} (given {group.count} times)" for n, group in enumerate(count.groups, 1))


def apply_judgement(count: Tally, reply: Reply) -> Tally:
    """`count` with the groups that the judge joined. Raises ReplyError where its call or reply failed."""
    if reply.status != OK:
        raise ReplyError(reply.reason)
    partition = parse_groups(reply.text, [group.count for group in count.groups])
    return replace(count, groups=merge_groups(count.groups, partition))


def _vote(question: Row, count: Tally, params: Vote, faults: dict[str, str]) -> Row:
    fault = faults.get(question["question_id"])
    status, reason = (FAILED, fault) if fault else decide(count, params.min_agreement)
    same = ("question_id", "region_id", "image_id", "question", "dimension")
    return {name: question[name] for name in same} | {
        "answer": count.groups[0].answer if count.groups else "",
        "agree": count.agree,
        "valid": count.valid,
        "asked": count.asked,
        "groups": [{"answer": group.answer, "count": group.count} for group in count.groups],
        "status": status,
        "reason": reason,
    }


def summarise(votes: Sequence[Row], answers: Sequence[Row]) -> dict[str, Any]:
    """The funnel, how many samples agreed (a histogram), votes kept by dimension, and for each teacher
    the share of its answers that are spelled as, or by the rules equal to, the vote's answer."""
    winner = {vote["question_id"]: normalise(vote["answer"]) for vote in votes}
    given: Counter[str] = Counter()
    agreed: Counter[str] = Counter()
    for row in answers:
        if row["status"] == OK and row["question_id"] in winner:
            given[row["teacher"]] += 1
            agreed[row["teacher"]] += normalise(row["answer"]) == winner[row["question_id"]]
    return {
        **count_statuses(votes),
        "agree": histogram(vote["agree"] for vote in votes),
        "groups": histogram(len(vote["groups"]) for vote in votes),
        "kept_by_dimension": histogram(vote["dimension"] for vote in votes if vote["status"] == OK),
        "teacher_agreement": {name: agreed[name] / given[name] for name in sorted(given)},
        "teachers_differ": _teachers_differ(answers),
    }


def _teachers_differ(answers: Sequence[Row]) -> int:
    """Questions on which the teachers' own most common answers are not all the same."""
    by_question: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in answers:
        if row["status"] == OK:
            by_question[row["question_id"]][row["teacher"]].append(row["answer"])
    modes = ([group_answers(given)[0].forms for given in teachers.values()] for teachers in by_question.values())
    return sum(1 for found in modes if len(set(found)) > 1)
