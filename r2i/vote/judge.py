"""Ask a model which of a question's answers mean the same, and read its reply."""

from dataclasses import dataclass, replace
from typing import Any

from r2i.core.ids import seed_of
from r2i.core.params import Vote
from r2i.core.parse import Parsed, ReplyError, make_form, read_json, strict_object
from r2i.core.prompts import load_prompt
from r2i.core.provenance import call_of
from r2i.core.records import OK
from r2i.core.tables import Row
from r2i.endpoint.base import Model, Reply, Request
from r2i.endpoint.flow import Job
from r2i.vote.count import VoteCount, merge_groups

GROUPS_FORM = make_form(
    "groups",
    strict_object(
        reasoning={"type": "string"},
        groups={
            "type": "array",
            "items": strict_object(answers={"type": "array", "items": {"type": "integer"}}, count={"type": "integer"}),
        },
    ),
)


@dataclass(frozen=True)
class JudgedCount:
    """A question's votes as the judge merged them, or as they were where `fault` says why its reply is unusable.

    `call`: columns of r2i.core.provenance.CALL; `repaired`: its JSON had to be mended.
    """

    count: VoteCount
    call: Row
    fault: str = ""
    repaired: bool = False


def judge_job(question: Row, count: VoteCount, judge: Model, params: Vote, seed: int) -> Job[JudgedCount]:
    """Ask the judge about one question (a row of QUESTIONS)."""
    request = build_judge_request(question, count, params, seed)
    ((reply,),) = yield [(judge, request)]
    return read_judged_count(count, judge.kind, request, reply)


def build_judge_request(question: Row, count: VoteCount, params: Vote, seed: int) -> Request:
    """The request about one question: its distinct answers, without an image."""
    prompt = load_prompt("vote", "judge", params.prompts)
    return Request(
        prompt=prompt.fill(question=question["question"], answers=list_answers(count)), images=(),
        sampling=params.sampling, seed=seed_of(seed, "judge", question["question_id"]),
        prompt_sha256=prompt.sha256, form=GROUPS_FORM,
    )  # fmt: skip


def list_answers(count: VoteCount) -> str:
    """The distinct answers as the prompt lists them: numbered from 1, with the number of samples that gave each."""
    return "\n".join(f"{n}. {group.answer} (given {group.count} times)" for n, group in enumerate(count.groups, 1))


def read_judged_count(count: VoteCount, kind: str, request: Request, reply: Reply) -> JudgedCount:
    """`count` with the groups that the judge merged. `kind`: of its endpoint."""
    call = call_of(kind, request, reply)
    try:
        if reply.status != OK:
            raise ReplyError(reply.reason)
        partition, repaired = parse_groups(reply.text, [group.count for group in count.groups])
    except ReplyError as error:
        return JudgedCount(count, call, f"judge_{error}")
    return JudgedCount(replace(count, groups=merge_groups(count.groups, partition)), call, "", repaired)


def parse_groups(text: str, counts: list[int]) -> Parsed[list[list[int]]]:
    """Places (from 0) of equivalent answers, from `{"groups": [{"answers": [1, 3], "count": 7}, ...]}`.

    `counts[i]`: samples that gave answer i + 1. The judge names numbers, not texts, so that nothing
    it writes can get into an option. Raises ReplyError unless the groups hold every number exactly
    once and each stated count is the sum of its answers' counts.
    """
    stated, repaired = read_json(text, "{", _has_groups)
    groups = [group for group in stated["groups"] if group["answers"]]
    partition = [[number - 1 for number in group["answers"]] for group in groups]
    if sorted(place for places in partition for place in places) != list(range(len(counts))):
        raise ReplyError("not_a_partition")
    if [group["count"] for group in groups] != [sum(counts[place] for place in places) for places in partition]:
        raise ReplyError("wrong_counts")
    return Parsed(partition, repaired)


def _has_groups(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("groups"), list)
        and all(
            isinstance(group, dict)
            and isinstance(group.get("answers"), list)
            and all(type(number) is int for number in group["answers"])
            and type(group.get("count")) is int
            for group in value["groups"]
        )
    )
