"""The judge of rewards: what it can't decide is undecided, never wrong; its budget holds; it comes back."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from endpoint.fake_server import Answer, Server, choices, error, serve

from r2i.core.params import Endpoint, Judge
from r2i.endpoint.base import Reply, Request
from r2i.endpoint.faults import DEAD_AFTER
from r2i.endpoint.remote import RemoteModel
from r2i.endpoint.store import Store
from r2i.train.judge import JudgeError, RewardJudge, Undecided

RIGHT, WRONG = '{"correct": true}', '{"correct": false}'


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as state:
        state.answer = lambda body: choices(RIGHT if "Reply: crimson" in text_of(body) else WRONG)
        yield state


def text_of(body: dict[str, Any]) -> str:
    content = body["messages"][0]["content"]
    return content if isinstance(content, str) else content[-1]["text"]


def judge_of(server: Server, root: Path, max_calls: int = 100, **options: Any) -> RewardJudge:
    endpoint = {"kind": "openai", "model": "judge", "base_url": server.url, "retries": 1, "patience_s": 5}
    params = Judge(endpoint=Endpoint.model_validate(endpoint), max_calls=max_calls)
    return RewardJudge(RemoteModel(params.endpoint, Store(root / "store"), backoff_s=0.01), params, 0, **options)


def asked(*spans: str) -> list[Undecided]:
    return [Undecided("what color is the cup?", "red", span) for span in spans]


def test_a_verdict_is_right_or_wrong_and_is_paid_for_once(server: Server, tmp_path: Path) -> None:
    judge = judge_of(server, tmp_path)
    assert judge.decide(asked("crimson", "teal", "crimson")) == [True, False, True]
    assert judge_of(server, tmp_path).decide(asked("teal")) == [False]  # another process, the same store
    assert len(server.calls) == 2
    assert judge.counts["calls"] == 2
    assert "Reference answer: red" in text_of(server.calls[0])


def test_the_same_words_of_a_whole_group_share_one_call(server: Server, tmp_path: Path) -> None:
    judge = judge_of(server, tmp_path, max_calls=1)
    assert judge.decide(asked(*["crimson"] * 8)) == [True] * 8
    assert (len(server.calls), judge.counts["calls"]) == (1, 1)


def test_a_spent_budget_leaves_the_rest_undecided_and_stored_verdicts_are_free(server: Server, tmp_path: Path) -> None:
    judge = judge_of(server, tmp_path, max_calls=2)
    assert judge.decide(asked("crimson")) == [True]
    assert judge.decide(asked("teal")) == [False]
    assert judge.decide(asked("navy", "crimson")) == [None, True]
    assert (len(server.calls), judge.counts["budget"]) == (2, 1)


def test_a_verdict_that_cannot_be_parsed_is_asked_for_once_more_with_another_seed(
    server: Server, tmp_path: Path
) -> None:
    server.script(choices("I would say so."), choices(RIGHT))
    assert judge_of(server, tmp_path).decide(asked("cherry")) == [True]
    assert server.calls[0]["seed"] != server.calls[1]["seed"]
    server.answer = lambda body: choices('{"correct": "maybe"}')
    judge = judge_of(server, tmp_path)
    assert judge.decide(asked("wine")) == [None]
    assert (judge.counts["unparsable"], judge.counts["calls"], judge.counts["wrong"]) == (1, 2, 0)


def test_a_server_that_fails_now_and_then_costs_undecided_spans_alone(server: Server, tmp_path: Path) -> None:
    """One retry: two failures in a row give this span up."""
    judge = judge_of(server, tmp_path)
    assert judge.decide(asked("crimson")) == [True]
    server.script(error(500), error(500), choices(RIGHT))
    assert judge.decide(asked("cherry")) == [None]
    assert judge.decide(asked("wine")) == [True]
    assert judge.counts["server_error"] == 1


def test_an_outage_after_verdicts_is_undecided_and_the_judge_is_asked_again_later(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def through_an_outage(judge: RewardJudge) -> tuple[list[bool | None], int, bool | None, bool | None]:
        """In one event loop, as an executor lives in."""
        up = server.answer
        assert await judge.decide_async(asked("crimson")[0]) is True
        server.answer = lambda body: error(503)
        many = asked(*(f"color {i}" for i in range(DEAD_AFTER + 5)))
        down = await asyncio.gather(*(judge.decide_async(one) for one in many))
        before = len(server.calls)
        silent = await judge.decide_async(asked("navy")[0])  # in the pause: at once, and without a call
        calls = len(server.calls) - before
        server.answer = up
        judge._down_until = 0.0  # the pause is over
        return down, calls, silent, await judge.decide_async(asked("navy")[0])

    judge = judge_of(server, tmp_path, pause_s=3600.0)
    down, calls, silent, after = asyncio.run(through_an_outage(judge))
    assert set(down) == {None}
    assert (calls, silent, after) == (0, None, False)
    assert capsys.readouterr().err.count("is down") == 1


@pytest.mark.parametrize("status", [401, 404])
def test_a_judge_that_never_worked_ends_the_run(server: Server, tmp_path: Path, status: int) -> None:
    server.answer = lambda body: error(status)
    with pytest.raises(JudgeError, match="gave no verdict"):
        judge_of(server, tmp_path).decide(asked("crimson"))


def test_a_key_that_is_refused_after_verdicts_from_the_store_alone_ends_the_run(server: Server, tmp_path: Path) -> None:
    """The store shows that the judge worked once, not that it works now."""
    judge_of(server, tmp_path).decide(asked("crimson"))
    server.answer = lambda body: error(401)
    with pytest.raises(JudgeError):
        judge_of(server, tmp_path).decide(asked("crimson", "teal"))


class InProcess:
    """A model without a server: one call at a time, as Torch wants it."""

    name = kind = "local"
    price = loaded = None

    def __init__(self) -> None:
        self.busy = threading.Lock()

    def complete(self, requests: Sequence[Request]) -> list[list[Reply]]:
        assert self.busy.acquire(blocking=False), "two calls at once"
        try:
            return [
                [Reply(RIGHT if "Reply: crimson" in one.prompt else "?", "ok", "", "", "local")] for one in requests
            ]
        finally:
            self.busy.release()


def test_a_model_in_process_judges_as_well(tmp_path: Path) -> None:
    params = Judge(endpoint=Endpoint(), max_calls=9)
    judge = RewardJudge(InProcess(), params, 0)
    assert judge.decide(asked("crimson", "teal", "navy")) == [True, None, None]
    assert judge.counts["calls"] == 5  # two of three are asked twice


def test_rollouts_that_are_cancelled_leave_the_shared_call_to_the_others(server: Server, tmp_path: Path) -> None:
    gate = threading.Event()

    def slow(body: dict[str, Any]) -> Answer:
        gate.wait(5)
        return choices(RIGHT)

    async def cancel_one(judge: RewardJudge) -> bool | None:
        first = asyncio.ensure_future(judge.decide_async(asked("crimson")[0]))
        second = asyncio.ensure_future(judge.decide_async(asked("crimson")[0]))
        await asyncio.sleep(0.05)
        first.cancel()
        gate.set()
        return await second

    server.answer = slow
    assert asyncio.run(cancel_one(judge_of(server, tmp_path))) is True
    assert len(server.calls) == 1
