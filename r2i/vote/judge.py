"""Ask a model which of a question's answers mean the same."""

from dataclasses import dataclass, replace

from r2i.core.ids import seed_of
from r2i.core.params import Endpoint, Vote
from r2i.core.parse import ReplyError
from r2i.core.prompts import load_prompt
from r2i.core.provenance import call_of
from r2i.core.records import OK
from r2i.core.tables import Row
from r2i.endpoint.base import Model, Reply, Request
from r2i.endpoint.flow import Job
from r2i.vote.count import Tally, merge_groups
from r2i.vote.reply import GROUPS_FORM, parse_groups


@dataclass(frozen=True)
class Judgement:
    """What became of one question. `call`: columns of r2i.core.provenance.CALL; `fault`: why its reply is of no use."""

    count: Tally
    call: Row
    fault: str = ""
    repaired: bool = False


def judge_job(question: Row, count: Tally, judge: Model, params: Vote, seed: int) -> Job[Judgement]:
    request = ask_judge(question, count, params, seed)
    ((reply,),) = yield [(judge, request)]
    return read_judgement(count, request, reply, params.endpoint)


def ask_judge(question: Row, count: Tally, params: Vote, seed: int) -> Request:
    prompt = load_prompt("vote", "judge", params.prompts)
    return Request(
        prompt=prompt.fill(question=question["question"], answers=list_answers(count)), images=(),
        sampling=params.sampling, seed=seed_of(seed, "judge", question["question_id"]),
        prompt_sha256=prompt.sha256, form=GROUPS_FORM,
    )  # fmt: skip


def list_answers(count: Tally) -> str:
    """The distinct answers, numbered from 1, with the samples that gave each."""
    return "\n".join(f"{n}. {group.answer} (given {group.count} times)" for n, group in enumerate(count.groups, 1))


def read_judgement(count: Tally, request: Request, reply: Reply, endpoint: Endpoint | None) -> Judgement:
    """`count` with the groups that the judge joined, or as it was where the call or its reply failed."""
    call = call_of(endpoint.kind if endpoint else "", request, reply)
    try:
        if reply.status != OK:
            raise ReplyError(reply.reason)
        partition, repaired = parse_groups(reply.text, [group.count for group in count.groups])
    except ReplyError as error:
        return Judgement(count, call, f"judge_{error}")
    return Judgement(replace(count, groups=merge_groups(count.groups, partition)), call, "", repaired)
