"""A model behind an OpenAI-compatible server: every reply stored as it comes, and never paid for twice.

One request goes through: the store (archive, then live), a claim (two runs beside each other don't both
pay), a place under the adaptive limit, the call, the store. The call and its storing are one task that
outlives whoever waits for it, so that a stage that ends still keeps what was in flight.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from weakref import WeakValueDictionary

from r2i.core.errors import EndpointError, ImageError
from r2i.core.ids import seed_of, unit_of
from r2i.core.params import Endpoint
from r2i.core.records import FAILED, OK
from r2i.endpoint.base import Reply, Request, sample_key
from r2i.endpoint.chat import NAMED, Choice, Completion, chat_body, encode, refused_option
from r2i.endpoint.faults import LONGEST_BACKOFF_S, Breaker, Failure
from r2i.endpoint.flow import Job, run_jobs
from r2i.endpoint.history import History
from r2i.endpoint.limit import AdaptiveLimit, Rates
from r2i.endpoint.store import Store
from r2i.endpoint.wire import Wire, addresses

CLAIMED_S = 0.25  # between two looks at a request that another process is asking


class RemoteModel:
    """The model `params.model` behind `params.base_url`, or behind a vLLM that is started when it is needed.

    A sample is read from the store if it is there; the key and the server are needed only when one is
    missing. `backoff_s`: the first pause before a retry; it doubles, with jitter. `name`: under which the model
    is served and its replies are filed, if it isn't `params.model`.
    """

    def __init__(
        self, params: Endpoint, store: Store | None = None, backoff_s: float = 1.0, name: str | None = None
    ) -> None:
        self.params, self.name, self.price, self.backoff_s = params, name or params.model, params.price, backoff_s
        self.store = store or Store()
        self.limit = AdaptiveLimit(params.concurrency)
        self.breaker = Breaker(params)
        self.left_out: set[str] = set()  # options that the server doesn't take
        self.server = _own_server(params) if params.kind == "vllm" else None
        self.history = History(params, self.store.root)
        self._begin()

    def _begin(self) -> None:
        """State of one run of the event loop."""
        self.wire: Wire | None = None
        self.opening = asyncio.Lock()
        self.rates = Rates(self.params.rpm, self.params.tpm)
        self.calls: set[asyncio.Task[Completion | Failure]] = set()
        self.over: EndpointError | None = None  # no call can succeed any more
        self.turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def complete(self, requests: Sequence[Request]) -> list[list[Reply]]:
        """`n` replies for each request, in order.

        Raises EndpointError at once when the key, the model or the address is wrong, and when the server gives
        nothing any more; what was stored until then is not asked for again.
        """
        return run_jobs([_single(self, request) for request in requests], total=len(requests))

    async def ask(self, request: Request) -> list[Reply]:
        """The replies to one request. Any number of these may wait together."""
        key = request.key(self.name, self.params.enforce_form)
        found = self.store.find(key)
        missing = [i for i in range(request.n) if i not in found]
        self.history.found(request.n - len(missing))
        if missing:
            found = await self._in_turn(request, key)
        else:
            await asyncio.sleep(0)  # thousands of these in a row must not keep replies waiting
        return [found[i] for i in range(request.n)]

    async def _in_turn(self, request: Request, key: str) -> dict[int, Reply]:
        """Ask for what is missing, while nobody else asks the same: no job of this run, no other process."""
        turn = self.turns.setdefault(key, asyncio.Lock())
        async with turn:
            while not self.store.claim(key):
                await asyncio.sleep(CLAIMED_S)
            try:
                found = self.store.find(key)  # another may have brought it meanwhile
                await self._fill(request, key, found)
                return found
            finally:
                self._release(key)

    def _release(self, key: str) -> None:
        """Give the claim up, once calls under it that nobody waits for any more have come home."""
        running = [call for call in self.calls if call.get_name() == key]
        if running:
            running[0].add_done_callback(lambda _: self._release(key))
        else:
            self.store.release(key)

    async def _fill(self, request: Request, key: str, found: dict[int, Reply]) -> None:
        """All missing samples: in one call where the server can, else each in a call of its own, side by side.

        A call may bring fewer choices than asked for; the rest is asked again, with another seed.
        """
        while missing := [i for i in range(request.n) if i not in found]:
            alone = not self.params.samples_in_one or "n" in self.left_out
            groups = [[i] for i in missing] if alone else [missing]
            if len(groups) == 1:
                await self._call(request, key, groups[0], found)
            else:
                async with asyncio.TaskGroup() as group:
                    for samples in groups:
                        group.create_task(self._call(request, key, samples, found))

    async def _call(self, request: Request, key: str, samples: list[int], found: dict[int, Reply]) -> None:
        """One call for `samples`, tried again while its failure may pass; puts what came of it into `found`."""
        spent = 0.0  # seconds in calls and pauses: our own queue tries nobody's patience
        attempt = 0
        while True:
            outcome = await self._attempt(request, key, samples)
            if isinstance(outcome, Completion):
                found |= self._replies(outcome, key, samples)
                return
            if outcome.reason == "bad_request" and await self._do_without(request, key, samples, outcome, found):
                return
            spent += outcome.seconds
            if not outcome.passing or attempt == self.params.retries or spent > self.params.patience_s:
                await self._give_up(request, key, samples, outcome, found)
                return
            pause = min(self.backoff_s * 2**attempt, LONGEST_BACKOFF_S) * (0.5 + unit_of(key, samples, attempt) / 2)
            await asyncio.sleep(outcome.wait_s + pause)
            spent += outcome.wait_s + pause
            attempt += 1

    async def _do_without(
        self, request: Request, key: str, samples: list[int], failure: Failure, found: dict[int, Reply]
    ) -> bool:
        """Whether the call went through once an option that the server refuses was left out.

        The option is left out from then on, unless the refusal was about something else after all.
        """
        option = refused_option(failure.complaint, failure.options) if failure.complaint else None
        if option is None:
            return False
        new = option not in self.left_out
        self.left_out.add(option)
        if option == "n":
            return True  # nothing was found: `_fill` goes on one by one
        outcome = await self._attempt(request, key, samples)
        if isinstance(outcome, Completion):
            found |= self._replies(outcome, key, samples)
            return True
        if outcome.reason == "bad_request" and await self._do_without(request, key, samples, outcome, found):
            return True
        if new:
            self.left_out.discard(option)
        return False

    async def _attempt(self, request: Request, key: str, samples: list[int]) -> Completion | Failure:
        """One call under the limits. Its task stores the reply even when nobody waits for it any more."""
        await self._open()
        epoch = await self.limit.acquire()
        if self.over:
            self.limit.release()
            raise self.over
        task = asyncio.get_running_loop().create_task(self._land(request, key, samples, epoch), name=key)
        self.calls.add(task)
        task.add_done_callback(self._landed)
        return await asyncio.shield(task)

    def _landed(self, task: asyncio.Task[Completion | Failure]) -> None:
        """Forget a call that is over. What it raised is looked at, or asyncio prints it when nobody waits any more."""
        self.calls.discard(task)
        if not task.cancelled():
            task.exception()

    async def _land(self, request: Request, key: str, samples: list[int], epoch: int) -> Completion | Failure:
        try:
            outcome, seconds = await self._send(request, samples)
            if isinstance(outcome, Failure) and outcome.loaded:
                self.limit.overloaded(epoch)
            elif isinstance(outcome, Completion):
                self.limit.succeeded(seconds, time.monotonic())
        except EndpointError as error:
            self.over = error
            raise
        finally:
            self.limit.release()
        self.history.call(outcome, seconds)
        if isinstance(outcome, Failure):
            if self.server:
                await asyncio.to_thread(self.server.check)
            return outcome
        self.breaker.success()
        await self._keep(request, key, self._replies(outcome, key, samples), self._protocol(outcome, samples, seconds))
        return outcome

    async def _send(self, request: Request, samples: list[int]) -> tuple[Completion | Failure, float]:
        """One HTTP request and its seconds. Pictures are read here, and forgotten when it is over."""
        assert self.wire is not None
        await self.rates.wait(_guess(request, len(samples)))
        seed = seed_of(request.seed, *samples)
        body = chat_body(self.name, request, len(samples), seed, self.left_out, self.params.enforce_form)
        with ExitStack() as held:
            try:
                images = held.enter_context(addresses(request.images, self.params.image_folder))
            except ImageError as error:
                return Failure(error.cause, str(error), passing=False), 0.0
            except ValueError as error:
                return Failure("bad_request", str(error), passing=False), 0.0
            data = encode(body, images)
            images.clear()  # they are in `data` now: hundreds of calls wait here
            began = time.monotonic()
            outcome = await self.wire.send(data, self.breaker.answered)
        seconds = time.monotonic() - began
        if isinstance(outcome, Failure):
            return replace(outcome, options=frozenset(body) & NAMED.keys(), seconds=seconds), seconds
        self.rates.spend(outcome.tokens_in + outcome.tokens_out)
        return outcome, seconds

    async def _open(self) -> None:
        """The connection, made when the first call needs it; a vLLM is started then."""
        async with self.opening:
            if self.wire is None:
                base_url = self.params.base_url
                if self.server:
                    base_url = await asyncio.to_thread(self.server.start)
                self.wire = Wire(self.params, base_url or "")
                self.history.begin(self.limit)

    def _replies(self, outcome: Completion, key: str, samples: Sequence[int]) -> dict[int, Reply]:
        """By sample. Fewer choices than samples leave the last ones out."""
        return {
            i: self._reply(choice, key, i, outcome.tokens(place))
            for place, (i, choice) in enumerate(zip(samples, outcome.choices, strict=False))
        }

    def _reply(self, choice: Choice, key: str, sample: int, tokens: tuple[int, int] = (0, 0)) -> Reply:
        status = FAILED if choice.reason else OK
        return Reply(choice.text, status, choice.reason, sample_key(key, sample), self.name, *tokens)

    async def _give_up(
        self, request: Request, key: str, samples: list[int], failure: Failure, found: dict[int, Reply]
    ) -> None:
        """The samples fail. What a server that works refuses it would refuse again, so that this is kept."""
        try:
            self.breaker.failure(failure)
        except EndpointError as error:
            self.over = error
            raise
        replies = {i: self._reply(Choice("", failure.reason), key, i) for i in samples}
        found |= replies
        # a server that takes nothing may be set up wrongly: its refusals say nothing about the requests
        if failure.reason in ("bad_request", "refused") and self.breaker.answered:
            await self._keep(request, key, replies, {"samples": samples, "refusal": failure.detail})

    async def _keep(self, request: Request, key: str, replies: dict[int, Reply], call: dict[str, Any]) -> None:
        parts = request.parts(self.name, self.params.enforce_form)
        writing = self.turns.setdefault(f"{key} writing", asyncio.Lock())
        async with writing:  # samples asked one by one share a record
            await asyncio.to_thread(self.store.put, key, parts, request.prompt_sha256, replies, call)

    def _protocol(self, outcome: Completion, samples: list[int], seconds: float) -> dict[str, Any]:
        """How a reply came about: kept with it, and no part of its key."""
        return {
            "samples": samples[: len(outcome.choices)],
            "kind": self.params.kind,
            "served_model": outcome.served_model,
            "finish": [choice.finish for choice in outcome.choices],
            "left_out": sorted(self.left_out),
            "seconds": round(seconds, 3),
            "usage": {"prompt_tokens": outcome.tokens_in, "completion_tokens": outcome.tokens_out},
        }

    def line(self) -> str:
        """How it goes, for the progress line; empty before the first call."""
        return self.history.line(self.limit)

    async def settle(self, grace_s: float) -> None:
        """End a run: calls in flight have `grace_s` seconds to come home and be stored, then they are dropped."""
        if self.server and self.opening.locked():  # it is still starting
            await asyncio.to_thread(self.server.stop, 1.0)
        if self.calls:
            _, late = await asyncio.wait(self.calls, timeout=grace_s)
            for call in late:
                call.cancel()
            await asyncio.gather(*self.calls, return_exceptions=True)
        if self.wire:
            await self.wire.close()
        self.history.write(self.limit)
        self.breaker.begin()
        self._begin()

    def close(self) -> None:
        """Stop the server that was started for this model."""
        if self.server:
            self.server.stop()


def _own_server(params: Endpoint) -> Any:
    from r2i.endpoint.vllm import VllmServer

    return VllmServer(params)


def _single(model: RemoteModel, request: Request) -> Job[list[Reply]]:
    (replies,) = yield [(model, request)]
    return replies


def _guess(request: Request, n: int) -> float:
    """Tokens that a call may take, before any has come back: prompt, pictures, and half of the longest replies."""
    return len(request.prompt) / 4 + 1500 * len(request.images) + n * request.sampling.max_tokens / 2
