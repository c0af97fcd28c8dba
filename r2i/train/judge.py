"""The LLM judge of training: asked about closed answer spans that no rule could read, within a budget.

What it does not decide (an outage, a verdict that can't be parsed, a spent budget) is undecided, never wrong: the
rollout is masked. Both engines use it; retries, limits and the store of replies are the endpoint's.
"""

import asyncio
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from r2i.core.errors import EndpointError, R2IError
from r2i.core.ids import seed_of
from r2i.core.params import Judge
from r2i.core.parse import ReplyError
from r2i.core.records import OK
from r2i.endpoint.base import Model, Reply, Request, ServedModel
from r2i.grading.verdict import VERDICT_FORM, fill_judge, judge_prompt, parse_verdict

TRIES = 2  # requests for a verdict: one that can't be parsed is requested again with another seed
PAUSE_S = 60.0  # without calls after an outage, so that training does not wait
UNREADABLE = frozenset({"unparsable", "truncated", "empty"})  # another sample may be better


class JudgeError(R2IError):
    """The judge never gave a verdict: its address, key or model is wrong."""


class Undecided(NamedTuple):
    """`answer`: the right one's text, never its letter. `span`: what stands in the reply's answer span."""

    question: str
    answer: str
    span: str


class RewardJudge:
    """Asks `model`, which stays connected for as long as this is used (r2i.endpoint.connect).

    `max_calls`: of this judge, where several share the budget of `params`. `counts`: `calls` that were made (what the
    store held is free), `right` and `wrong` verdicts, and why others were not given (`budget`, `outage`, `unparsable`,
    or the reason of a failed reply).
    """

    def __init__(
        self, model: Model, params: Judge, seed: int, max_calls: int | None = None, pause_s: float = PAUSE_S
    ) -> None:
        self.model, self.params, self.seed, self.pause_s = model, params, seed, pause_s
        self.max_calls = params.max_calls if max_calls is None else max_calls
        self.prompt = judge_prompt(params.prompts)
        self.counts: Counter[str] = Counter()
        self.answered = False  # a call, not the store, brought a reply
        self._asking: dict[Undecided, asyncio.Task[bool | None]] = {}
        self._in_flight = 0
        self._down_until: float | None = None  # monotonic
        self._in_process = threading.Lock()  # models in process take one request at a time

    def decide(self, items: Sequence[Undecided]) -> list[bool | None]:
        """Whether each span is right; None: undecided. Call it outside of event loops. Raises JudgeError."""
        return asyncio.run(self._decide_all(items))

    async def _decide_all(self, items: Sequence[Undecided]) -> list[bool | None]:
        try:
            return await asyncio.gather(*(self.decide_async(item) for item in items))
        finally:
            if isinstance(self.model, ServedModel):
                await self.model.settle(0.0)

    async def decide_async(self, item: Undecided) -> bool | None:
        """As `decide`, for one. Equal items at the same time share one call."""
        task = self._asking.get(item)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._decide(item))
            self._asking[item] = task
            task.add_done_callback(lambda _: self._asking.pop(item, None))
        return await asyncio.shield(task)

    async def _decide(self, item: Undecided) -> bool | None:
        fault = ""
        for attempt in range(TRIES):
            fault, verdict = await self._verdict(self._request(item, attempt))
            if verdict is not None:
                self.counts["right" if verdict else "wrong"] += 1
                return verdict
            if fault not in UNREADABLE:
                break
        self.counts[fault] += 1
        return None

    def _request(self, item: Undecided, attempt: int) -> Request:
        """Equal items give equal requests, so that the store answers the second one."""
        return Request(
            fill_judge(self.prompt, item.question, item.answer, item.span), (), self.params.sampling,
            seed_of(self.seed, "reward judge", attempt), prompt_sha256=self.prompt.sha256, form=VERDICT_FORM,
        )  # fmt: skip

    async def _verdict(self, request: Request) -> tuple[str, bool | None]:
        """The verdict, or why there is none and None. Raises JudgeError."""
        try:
            paid = not self._is_stored(request)
            if paid and self.counts["calls"] >= self.max_calls:
                return "budget", None
            if paid and not await self._is_up():
                return "outage", None
            self.counts["calls"] += paid
            reply = await self._ask(request)
        except EndpointError as error:
            self._note_outage(error)
            return "outage", None
        if reply.status != OK:
            return reply.reason, None
        self.answered |= paid
        try:
            return "", parse_verdict(reply.text).value
        except ReplyError as error:
            return str(error), None

    def _is_stored(self, request: Request) -> bool:
        return isinstance(self.model, ServedModel) and self.model.is_stored(request)

    async def _ask(self, request: Request) -> Reply:
        self._in_flight += 1
        try:
            if isinstance(self.model, ServedModel):
                return (await self.model.ask(request))[0]
            return await asyncio.to_thread(self._ask_in_process, request)
        finally:
            self._in_flight -= 1

    def _ask_in_process(self, request: Request) -> Reply:
        with self._in_process:
            return self.model.complete([request])[0][0]

    async def _is_up(self) -> bool:
        """False after an outage, until its pause is over and the endpoint has begun anew."""
        if self._down_until is None:
            return True
        if time.monotonic() < self._down_until or self._in_flight:
            return False
        if isinstance(self.model, ServedModel):
            self._in_flight += 1  # nobody else begins it meanwhile
            try:
                await self.model.settle(0.0)
            finally:
                self._in_flight -= 1
        self._down_until = None
        return True

    def _note_outage(self, error: EndpointError) -> None:
        """Raises JudgeError where no call ever brought a reply."""
        if not self.answered:
            raise JudgeError(f"the judge {self.model.name} gave no verdict: {error.cause}", error.remedy) from error
        if self._down_until is None:
            again = f"it is asked again in {self.pause_s:g} s, and what it would have decided is masked"
            print(f"the judge {self.model.name} is down ({error.cause}); {again}", file=sys.stderr, flush=True)
        self._down_until = time.monotonic() + self.pause_s
