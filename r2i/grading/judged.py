"""The LLM judge of evaluation: asked about the replies that no rule could read (prompt: r2i.grading.verdict)."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from r2i.core.choices import format_options, is_open
from r2i.core.ids import make_id, seed_of
from r2i.core.params import Judge
from r2i.core.parse import ReplyError
from r2i.core.provenance import call_of
from r2i.core.records import FAILED, OK, is_unscored
from r2i.core.tables import Row
from r2i.endpoint.base import Model, Request
from r2i.endpoint.flow import Job, run_jobs
from r2i.endpoint.ledger import Ledger
from r2i.grading import JUDGE, NONE
from r2i.grading.statements import find_answer, is_sign, plain
from r2i.grading.verdict import VERDICT_FORM, fill_judge, judge_prompt, parse_verdict

UNJUDGED = "judge_"  # before the reason of a row that the judge should have decided, and did not
LONGEST = 1000  # characters of a reply that the judge gets: of an answer that is longer, its end


@dataclass(frozen=True)
class Judgement:
    """What the judge said of one reply. `correct`: None where its call or its reply failed (`fault`: why).

    `call`: columns of r2i.core.provenance.CALL. `repaired`: its JSON had slips that were mended.
    """

    correct: bool | None
    call: Row
    fault: str = ""
    repaired: bool = False


def judge_rows(
    rows: Sequence[Row], judge: Model, params: Judge, seed: int, ledger: Ledger | None = None
) -> tuple[list[Row], dict[str, Any]]:
    """`rows` (of PREDICTIONS), those that are unscored decided by the judge where it could; and the counts.

    Equal replies to one item are asked about once. At most `params.max_calls` are asked about, whole items in the
    order of a hash of their ids, so that neither order nor speed chooses them. A call that fails, a reply without a
    verdict and a spent budget decide nothing: such rows are `failed` (see `leave_open`), and count nowhere. What says
    nothing stays unscored.

    Counts: `open` rows that the rules left, `silent` of them that say nothing and aren't asked about, `over_budget`,
    `judged`, `undecided` (asked, but no verdict) - rows all of them - and `calls`, `repaired`, `fault` by reason.
    """
    rows = [reopen(row) for row in rows]
    asks: dict[str, Request] = {}
    asking: dict[str, list[int]] = defaultdict(list)
    left = [place for place, row in enumerate(rows) if is_unscored(row)]
    for place in left:
        if quote_reply(rows[place]["reply"]):
            request = ask_judge(rows[place], params, seed)
            name = f"{make_id(seed, 'judge', rows[place]['item_id'])} {make_id(request.prompt)}"
            asks[name] = request
            asking[name].append(place)
    chosen = sorted(asks)[: params.max_calls]
    jobs = [judge_job(asks[name], judge, params) for name in chosen]
    judgements = dict(zip(chosen, run_jobs(jobs, ledger, len(jobs)), strict=True))
    judged = list(rows)
    for name, places in asking.items():
        for place in places:
            given = judgements.get(name)
            judged[place] = apply_judgement(rows[place], given) if given else leave_open(rows[place], "over_budget")
    found = {place: name for name, places in asking.items() for place in places}
    return judged, {
        "open": len(left),
        "silent": len(left) - len(found),
        "over_budget": sum(name not in judgements for name in found.values()),
        "judged": sum(name in judgements and judgements[name].correct is not None for name in found.values()),
        "undecided": sum(name in judgements and judgements[name].correct is None for name in found.values()),
        "calls": len(judgements),
        "repaired": sum(judgement.repaired for judgement in judgements.values()),
        "fault": dict(sorted(Counter(judgement.fault for judgement in judgements.values() if judgement.fault).items())),
    }


def judge_job(request: Request, judge: Model, params: Judge) -> Job[Judgement]:
    """One question to the judge, for r2i.endpoint.flow.run_jobs."""
    ((reply,),) = yield [(judge, request)]
    call = call_of(params.endpoint.kind, request, reply)
    try:
        if reply.status != OK:
            raise ReplyError(reply.reason)
        correct, repaired = parse_verdict(reply.text)
    except ReplyError as error:
        return Judgement(None, call, str(error))
    return Judgement(correct, call, "", repaired)


def ask_judge(row: Row, params: Judge, seed: int) -> Request:
    """The request about one row: the question with its options, the right one's text, and the reply's answer.

    Never a letter in place of the right answer: where letters decide, the rules compare them.
    """
    prompt = judge_prompt(params.prompts)
    question = row["question"]
    if not is_open(row):
        question = f"{question}\nOptions:\n{format_options(list(row['options']))}"
    return Request(
        prompt=fill_judge(prompt, question, row["answer"], quote_reply(row["reply"])), images=(),
        sampling=params.sampling, seed=seed_of(seed, "judge", row["item_id"]),
        prompt_sha256=prompt.sha256, form=VERDICT_FORM,
    )  # fmt: skip


def quote_reply(reply: str) -> str:
    """What of a reply the judge gets: its span or box, else its prose, without thinking; empty: nothing was said."""
    text = plain(find_answer(reply))[-LONGEST:].strip()
    return text if any(char.isalnum() for char in text) or is_sign(text) else ""


def apply_judgement(row: Row, judgement: Judgement) -> Row:
    """`row` as the judge decided it, its call beside it; open where it did not."""
    row = {**row, "verdict": judgement.call}
    if judgement.correct is None:
        return leave_open(row, judgement.fault)
    return {**row, "rule": JUDGE, "correct": judgement.correct}


def leave_open(row: Row, why: str) -> Row:
    """`row`, whose reply came and which the judge should have decided: nobody knows whether it is right.

    It is `failed`, so that it counts nowhere, as where the call itself failed; its reply stays.
    """
    return {**row, "rule": NONE, "correct": None, "status": FAILED, "reason": UNJUDGED + why}


def reopen(row: Row) -> Row:
    """`row` as it was before the judge left it open; any other as it is."""
    left = row["status"] == FAILED and row["reason"].startswith(UNJUDGED)
    return {**row, "status": OK, "reason": "", "verdict": None} if left else row
