"""A model behind an OpenAI-compatible server: every reply is stored as it comes, and never paid for twice.

A request goes through: the store (live, then archive), a claim (so that two runs at the same time don't both pay), a
slot under the adaptive limit, the call, the store. A call and its storing are one task that outlives whoever waits
for it, so that a stage that ends still stores what was in flight.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakValueDictionary

from r2i.core.errors import EndpointError, ImageError
from r2i.core.ids import seed_of, unit_of
from r2i.core.params import Endpoint
from r2i.core.records import FAILED, OK
from r2i.core.servers import variable
from r2i.endpoint.base import Reply, Request, ServedModel, sample_key
from r2i.endpoint.chat import Completion, chat_body, encode
from r2i.endpoint.client import ChatClient
from r2i.endpoint.faults import LONGEST_BACKOFF_S, CircuitBreaker, Failure, Refusal
from r2i.endpoint.flow import Job, run_jobs
from r2i.endpoint.image_urls import image_urls
from r2i.endpoint.ledger import CallLog
from r2i.endpoint.limit import AdaptiveLimit, RateLimit
from r2i.endpoint.options import ServerOptions, options_of
from r2i.endpoint.origin import Origin
from r2i.endpoint.store import Store

CLAIMED_S = 0.25  # between two attempts to claim a request that another process is asking


@dataclass
class OpenRequest:
    """A request on its way to all its `n` replies. `key`: of the request; `replies`: by sample, so far."""

    request: Request
    key: str
    replies: dict[int, Reply] = field(default_factory=dict)

    def missing(self) -> list[int]:
        """Samples that have no reply yet."""
        return [sample for sample in range(self.request.n) if sample not in self.replies]

    def ordered(self) -> list[Reply]:
        """All replies, in order of samples."""
        return [self.replies[sample] for sample in range(self.request.n)]


@dataclass(frozen=True)
class RefusedRequest:
    """Samples that the server refused."""

    opened: OpenRequest
    samples: list[int]
    replies: dict[int, Reply]


class RemoteModel(ServedModel):
    """The model `params.model` behind `params.base_url`, or behind a vLLM that is started when it is needed.

    A sample is read from the store where it is there: the key and the server are needed only when one is
    missing. `backoff_s`: the first pause before a retry; it doubles, with jitter. `name`: under which the model
    is served and its replies are filed, if it isn't `params.model`.
    """

    def __init__(
        self, params: Endpoint, store: Store | None = None, backoff_s: float = 1.0, name: str | None = None
    ) -> None:
        self.params, self.backoff_s = params, backoff_s
        self.name, self.kind, self.price = name or params.model, params.kind, params.price
        self.store = store or Store()
        self.limit = AdaptiveLimit(params.concurrency)
        self.breaker: CircuitBreaker[RefusedRequest] = CircuitBreaker(params)
        self.origin = Origin(params, self.name)
        self.options = ServerOptions(self.store.root.parent / "servers", params.base_url or params.kind, self.name)
        self.server = _own_server(params) if params.kind == "vllm" else None
        self.log = CallLog(params, self.store.root)
        self._reset()

    def _reset(self) -> None:
        """Set the state of one run of the event loop."""
        self.options.reset()
        self.client: ChatClient | None = None
        self.opening = asyncio.Lock()
        self.rates = RateLimit(self.params.rpm, self.params.tpm)
        self.calls: set[asyncio.Task[Failure | None]] = set()
        self.fatal: EndpointError | None = None  # no call can succeed any more
        self.key_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def complete(self, requests: Sequence[Request]) -> list[list[Reply]]:
        """`n` replies for each request, in order.

        Raises EndpointError at once when the key, the model or the address is wrong, and when the server stops
        answering; what was stored until then is not asked for again.
        """
        return run_jobs([_ask_once(self, request) for request in requests], total=len(requests))

    def is_stored(self, request: Request) -> bool:
        """Whether all replies to `request` are in the store, so that asking for them costs nothing."""
        key = self.key(request)
        return not OpenRequest(request, key, self.store.find(key)).missing()

    async def ask(self, request: Request) -> list[Reply]:
        """The `n` replies to one request. Any number of these may be awaited together."""
        key = self.key(request)
        opened = OpenRequest(request, key, self.store.find(key))
        missing = opened.missing()
        self.log.add_request(replayed=request.n - len(missing))
        if missing:
            await self._fill_claimed(opened)
            self.origin.note_samples(request, opened.ordered())
        else:
            await asyncio.sleep(0)  # thousands of these in a row must not keep replies waiting
        return opened.ordered()

    def key(self, request: Request) -> str:
        """Under which the store files its replies."""
        return request.key(self.name, self.params.enforce_form)

    async def _fill_claimed(self, opened: OpenRequest) -> None:
        """Ask for what is missing, while nobody else asks the same: no job of this run, no other process."""
        async with self.key_locks.setdefault(opened.key, asyncio.Lock()):
            while not self.store.claim(opened.key):
                await asyncio.sleep(CLAIMED_S)
            try:
                opened.replies = self.store.find(opened.key)  # another may have brought them meanwhile
                await self._fill(opened)
            finally:
                self._release(opened.key)

    def _release(self, key: str) -> None:
        """Give up the claim, once calls under it that nobody waits for any more have ended."""
        running = [call for call in self.calls if call.get_name() == key]
        if running:
            running[0].add_done_callback(lambda _: self._release(key))
        else:
            self.store.release(key)

    async def _fill(self, opened: OpenRequest) -> None:
        """Get all missing samples: in one call where the server can, else each in a call of its own, concurrently.

        A call may return fewer choices than asked for; the rest is asked for again, with another seed.
        """
        while missing := opened.missing():
            groups = [missing] if self._go_together(opened.request, len(missing)) else [[sample] for sample in missing]
            if len(groups) == 1:
                await self._call(opened, groups[0])
            else:
                async with asyncio.TaskGroup() as group:
                    for samples in groups:
                        group.create_task(self._call(opened, samples))

    async def _call(self, opened: OpenRequest, samples: list[int]) -> None:
        """One call for `samples`, retried for those that are missing while its failure is transient; then they fail."""
        spent_s = 0.0  # in calls and pauses: waiting in our own queue does not count
        attempt = 0
        while True:
            failure = await self._attempt(opened, samples)
            if failure is not None and failure.option:
                failure = await self._call_without_option(opened, samples, failure)
            if failure is None:
                return
            samples = [sample for sample in samples if sample not in opened.replies]
            spent_s += failure.seconds
            if not failure.transient or attempt == self.params.retries or spent_s > self.params.patience_s:
                await self._give_up(opened, samples, failure)
                return
            jitter = 0.5 + unit_of(opened.key, samples, attempt) / 2
            pause_s = failure.wait_s + min(self.backoff_s * 2**attempt, LONGEST_BACKOFF_S) * jitter
            await asyncio.sleep(pause_s)
            spent_s += pause_s
            attempt += 1

    async def _call_without_option(self, opened: OpenRequest, samples: list[int], refusal: Failure) -> Failure | None:
        """Call without the option that the server refuses: why that failed, or `refusal` where it is about no option.

        The option stays left out, unless the refusal was about something else after all.
        """
        if refusal.option == "n":
            samples = samples[:1]  # `_fill` goes on with a call for each of the others
        failure = await self._attempt(opened, samples)
        if failure is not None and failure.option:
            failure = await self._call_without_option(opened, samples, failure)
        if failure is None:
            self.options.confirm(refusal.noted)
        elif failure.reason == "bad_request" or refusal.transient:
            self.options.forget(refusal.noted)
        return replace(refusal, option="") if failure is not None and failure.reason == "bad_request" else failure

    async def _attempt(self, opened: OpenRequest, samples: list[int]) -> Failure | None:
        """One call under the limits: None once its replies are stored and in `opened`, else why it failed.

        Its task stores them even when nobody waits for it any more. None, too, without a call, where the server was
        learned to take one sample a call while this one waited.
        """
        await self._open()
        async with self.options.turn(self._options(opened.request, len(samples))):
            epoch = await self.limit.acquire()
            if self.fatal or not self._go_together(opened.request, len(samples)):
                self.limit.release()
                if self.fatal:
                    raise self.fatal
                return None
            task = asyncio.get_running_loop().create_task(self._send_and_store(opened, samples, epoch), name=opened.key)
            self.calls.add(task)
            task.add_done_callback(self._forget)
            return await asyncio.shield(task)

    def _options(self, request: Request, n: int) -> dict[str, str]:
        """The options of a call for `n` samples that it can do without, whether the server takes them or not."""
        return options_of(request, n, self.params.enforce_form)

    def _go_together(self, request: Request, n: int) -> bool:
        """Whether one call can ask for `n` samples. Greedy ones are all alike, and vLLM refuses to draw several."""
        several = self.params.samples_in_one and request.sampling.temperature > 0
        return n == 1 or (several and not self.options.leaves_out("n", str(n)))

    def _forget(self, task: asyncio.Task[Failure | None]) -> None:
        """Drop a call that has ended. Its exception is retrieved: asyncio logs those that nobody waits for."""
        self.calls.discard(task)
        if not task.cancelled():
            task.exception()

    async def _send_and_store(self, opened: OpenRequest, samples: list[int], epoch: int) -> Failure | None:
        """One call, and its replies stored. Why it failed, or a sample of it that may come by another call."""
        try:
            outcome = await self._send(opened.request, samples)
            if isinstance(outcome, Completion):
                self.breaker.answered = True
                self.options.take(outcome.options, len(outcome.choices))
                self.origin.check_model(outcome.served_model)
                self.limit.note_success(outcome.seconds, time.monotonic())
            else:
                self.breaker.note_attempt(outcome)
                if outcome.overload:
                    self.limit.note_overload(epoch)
        except EndpointError as error:
            self.fatal = error
            raise
        finally:
            self.limit.release()
        if isinstance(outcome, Failure):
            self.log.add_failure(outcome)
            if self.server:
                await asyncio.to_thread(self.server.check)
            return outcome
        self.log.add_call(outcome)
        self.origin.note_response(outcome)
        replies = self._replies(outcome, opened.key, samples)
        own = self.breaker.note_success(outcome.began_s) if replies else []
        await self._store(opened, replies, self._call_record(opened.request, outcome, samples))
        opened.replies |= replies
        await self._store_refusals(own)
        passing = next((choice.reason for choice in outcome.choices if choice.passing), None)
        if passing is None:
            return None
        return Failure(
            passing, f"finish_reason {passing}", transient=True, began_s=outcome.began_s, seconds=outcome.seconds
        )

    async def _store_refusals(self, own: Sequence[Refusal[RefusedRequest]]) -> None:
        """Store what a working server refuses: it would refuse that again."""
        for refusal in own:
            what = refusal.what
            await self._store(what.opened, what.replies, {"samples": what.samples, "refusal": refusal.detail})

    async def _send(self, request: Request, samples: list[int]) -> Completion | Failure:
        """One HTTP request. Pictures are loaded here, and dropped when it is over."""
        assert self.client is not None
        await self.rates.wait(_estimate_tokens(request, len(samples)))
        seed = seed_of(request.seed, *samples)
        options = self.options.sent(self._options(request, len(samples)))
        body = chat_body(self.name, request, len(samples), seed, options)
        with ExitStack() as stack:
            try:
                images = stack.enter_context(image_urls(request.images, self.params.image_folder))
            except ImageError as error:
                return Failure(error.cause, str(error), transient=False)
            except ValueError as error:
                return Failure("bad_request", str(error), transient=False)
            data = encode(body, images)
            images.clear()  # they are in `data` now: hundreds of calls wait here
            started = time.monotonic()
            outcome = await self.client.send(data, request, len(samples), options, self.breaker.answered)
        seconds = time.monotonic() - started
        if isinstance(outcome, Failure):
            if outcome.option:  # noted before the next call may try it
                noted = self.options.refuse(outcome.option, options[outcome.option], outcome.detail)
                outcome = replace(outcome, noted=noted)
            return replace(outcome, began_s=started, seconds=seconds)
        self.rates.note_tokens(outcome.tokens_in + outcome.tokens_out)
        return replace(outcome, began_s=started, seconds=seconds)

    async def _open(self) -> None:
        """Open the client when the first call needs it; a vLLM is started then."""
        async with self.opening:
            if self.client is None:
                base_url = self.params.base_url
                if self.server:
                    base_url = await asyncio.to_thread(self.server.start)
                if base_url is None:
                    raise EndpointError(
                        f"the address of the server {self.params.name!r} is not known here",
                        f"export {variable(self.params.name or '')}=http://host:8000/v1, or write it into servers.yaml",
                    )
                self.client = ChatClient(self.params, base_url)
                self.log.start(self.limit)

    def _replies(self, completion: Completion, key: str, samples: Sequence[int]) -> dict[int, Reply]:
        """Replies by sample. Fewer choices than samples leave the last ones out, and choices that may pass theirs."""
        replies = {}
        for place, (sample, choice) in enumerate(zip(samples, completion.choices, strict=False)):
            if choice.passing:
                continue
            status = FAILED if choice.reason else OK
            tokens = completion.tokens_of(place)
            replies[sample] = Reply(choice.text, status, choice.reason, sample_key(key, sample), self.name, *tokens)
        return replies

    async def _give_up(self, opened: OpenRequest, samples: list[int], failure: Failure) -> None:
        """Fail the samples. What a server refuses is stored once it is known to be this request's own fault."""
        key = opened.key
        replies = {i: Reply("", FAILED, failure.reason, sample_key(key, i), self.name) for i in samples}
        self.log.add_given_up(failure)
        try:
            self.breaker.note_failure(failure, RefusedRequest(opened, samples, replies))
        except EndpointError as error:
            self.fatal = error
            raise
        opened.replies |= replies

    async def _store(self, opened: OpenRequest, replies: Mapping[int, Reply], call: Mapping[str, Any]) -> None:
        request, key = opened.request, opened.key
        parts = request.parts(self.name, self.params.enforce_form)
        async with self.key_locks.setdefault(f"{key} writing", asyncio.Lock()):  # calls of a request share a record
            await asyncio.to_thread(self.store.put, key, parts, request.prompt_sha256, replies, call)

    def _call_record(self, request: Request, completion: Completion, samples: list[int]) -> dict[str, Any]:
        """How replies came about: stored with them, and no part of their key."""
        return {
            "samples": [
                sample for sample, choice in zip(samples, completion.choices, strict=False) if not choice.passing
            ],
            "kind": self.kind,
            "served_model": completion.served_model,
            "finish": [choice.finish for choice in completion.choices if not choice.passing],
            "left_out": sorted(self._options(request, len(samples)).keys() - completion.options.keys()),
            "seconds": round(completion.seconds, 3),
            "usage": {"prompt_tokens": completion.tokens_in, "completion_tokens": completion.tokens_out},
        }

    def progress(self) -> str:
        """Calls, rate, errors, tokens and cost so far, for the progress line; empty before the first call."""
        return self.log.describe(self.limit)

    def check_end(self) -> None:
        """Raises EndpointError where a run ends in a series of refusals that may be the account's."""
        self.breaker.check_end(self.breaker.answered or self.log.replayed > 0)

    async def settle(self, grace_s: float) -> None:
        """End a run: calls in flight have `grace_s` seconds to come back and be stored, then they are cancelled."""
        if self.server and self.opening.locked():  # it is still starting
            await asyncio.to_thread(self.server.stop, 1.0)
        if self.calls:
            _, late = await asyncio.wait(self.calls, timeout=grace_s)
            for call in late:
                call.cancel()
            await asyncio.gather(*self.calls, return_exceptions=True)
        if self.client:
            await self.client.close()
        self.log.write(self.limit)
        self.origin.report()
        self.breaker.reset()
        self._reset()

    def close(self) -> None:
        """Stop the server that was started for this model."""
        if self.server:
            self.server.stop()


def _own_server(params: Endpoint) -> Any:
    from r2i.endpoint.vllm import VllmServer

    return VllmServer(params)


def _ask_once(model: RemoteModel, request: Request) -> Job[list[Reply]]:
    (replies,) = yield [(model, request)]
    return replies


def _estimate_tokens(request: Request, n: int) -> float:
    """Tokens of a call, before any has ended: the prompt, the images, and half of the longest replies."""
    return len(request.prompt) / 4 + 1500 * len(request.images) + n * request.sampling.max_tokens / 2
