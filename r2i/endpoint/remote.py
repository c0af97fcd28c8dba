"""Any OpenAI-compatible server: bounded concurrency, our own retry policy, every reply kept as it comes."""

import asyncio
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from r2i.endpoint.base import Reply, Request
from r2i.endpoint.chat import BadBody, Choice, chat_body, read_choices, refuses_n, retry_after
from r2i.endpoint.store import Store
from r2i.errors import EndpointError
from r2i.ids import seed_of
from r2i.params import Endpoint
from r2i.progress import progress_line
from r2i.records import FAILED, OK

PASSING = frozenset({408, 409, 425, 429})  # and 5xx: the same call may succeed later
REFUSED = frozenset({400, 413, 422})  # this request will never be taken
DEAD_AFTER = 20  # failed calls in a row
LONGEST_WAIT_S = 600.0  # of a server's Retry-After
LONGEST_BACKOFF_S = 60.0


@dataclass(frozen=True)
class Failure:
    """A call without a choice. `wait_s`: what the server asks for; `passing`: worth another try."""

    reason: str
    detail: str
    passing: bool
    wait_s: float = 0.0


class RemoteModel:
    """The model `params.model` at `params.base_url`.

    A sample is read from the store if it is there; the key and the server are needed only when one is missing.
    `backoff_s`: the first pause before a retry; it doubles, with jitter.
    """

    def __init__(self, params: Endpoint, store: Store | None = None, backoff_s: float = 1.0) -> None:
        self.params, self.name, self.backoff_s = params, params.model, backoff_s
        self.store = store or Store()
        self.one_by_one = False  # the server refuses n > 1
        self.answered = False
        self.failed_in_a_row = 0

    def complete(self, requests: Sequence[Request]) -> list[list[Reply]]:
        """`n` replies for each request, in order.

        Raises EndpointError at once when the key or the address is wrong, and after `DEAD_AFTER` calls in a row
        that failed for good; what was stored until then is not asked for again.
        """
        found = {request: self._stored(request) for request in requests}
        missing = [request for request, replies in found.items() if len(replies) < request.n]
        if missing:
            asyncio.run(self._ask_all(missing, found))
        return [[found[request][i] for i in range(request.n)] for request in requests]

    def _stored(self, request: Request) -> dict[int, Reply]:
        replies = {i: self.store.get(request.key(self.name, i)) for i in range(request.n)}
        return {i: reply for i, reply in replies.items() if reply is not None}

    async def _ask_all(self, requests: list[Request], found: dict[Request, dict[int, Reply]]) -> None:
        """Fill `found`. A few workers share one queue, so that only images in flight are held as base64."""
        from openai import AsyncOpenAI

        self.failed_in_a_row = 0
        queue = iter(requests)
        say = _progress(self.name, len(requests))
        # a key is always given: the client would else send OPENAI_API_KEY to a server that it isn't meant for
        client = AsyncOpenAI(
            base_url=self.params.base_url, api_key=self._key(), max_retries=0, timeout=self.params.timeout_s
        )

        async def work() -> None:
            for request in queue:
                await self._ask(client, request, found[request])
                next(say)

        async with client:
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(self.params.concurrency, len(requests))):
                        group.create_task(work())
            except BaseExceptionGroup as errors:
                raise errors.exceptions[0] from None

    def _key(self) -> str:
        variable = self.params.api_key_env
        if variable is None:
            return "none"
        key = os.environ.get(variable, "").strip()
        if not key:
            raise EndpointError(f"{self.name} needs a key, and ${variable} is not set", f"export {variable}=...")
        return key

    async def _ask(self, client: Any, request: Request, replies: dict[int, Reply]) -> None:
        """All missing samples of one request: in one call where the server can, else one by one."""
        missing = [i for i in range(request.n) if i not in replies]
        if len(missing) > 1 and not self.one_by_one:
            outcome = await self._call(client, request, missing)
            if isinstance(outcome, Failure) and outcome.reason == "bad_request" and refuses_n(outcome.detail):
                self.one_by_one = True
            else:
                await self._take(request, missing, outcome, replies)
        for i in range(request.n):
            if i not in replies:
                await self._take(request, [i], await self._call(client, request, [i]), replies)

    async def _take(
        self, request: Request, samples: list[int], outcome: list[Choice] | Failure, replies: dict[int, Reply]
    ) -> None:
        """Make replies of a call's outcome and store them. Fewer choices than samples leave the rest missing."""
        if isinstance(outcome, Failure):
            self._count_failure(outcome)
            choices = [Choice("", outcome.reason)] * len(samples)
        else:
            self.answered, self.failed_in_a_row = True, 0
            choices = outcome
        for i, choice in zip(samples, choices, strict=False):
            status = FAILED if choice.reason else OK
            reply = replies[i] = Reply(choice.text, status, choice.reason, request.key(self.name, i), self.name)
            # a server that takes nothing may be set up wrongly: its refusals say nothing about the requests
            if self.answered:
                await asyncio.to_thread(self.store.put, reply)

    def _count_failure(self, failure: Failure) -> None:
        if failure.reason == "bad_request" and self.answered:
            return
        self.failed_in_a_row += 1
        if self.failed_in_a_row >= DEAD_AFTER:
            raise EndpointError(
                f"{self.failed_in_a_row} calls in a row to {self.name} at {self.params.base_url} failed, "
                f"the last with {failure.reason}: {failure.detail}",
                "see that the server is up and takes such requests, then run again: replies that came are kept",
            )

    async def _call(self, client: Any, request: Request, samples: list[int]) -> list[Choice] | Failure:
        """One call for `samples`, tried again while its failure may pass."""
        try:
            body = chat_body(self.name, request, len(samples), seed_of(request.seed, *samples))
        except ValueError as error:
            return Failure("bad_request", str(error), passing=False)
        for attempt in range(self.params.retries + 1):
            outcome = await self._try(client, body)
            if isinstance(outcome, list) or not outcome.passing or attempt == self.params.retries:
                return outcome
            pause = min(self.backoff_s * 2**attempt, LONGEST_BACKOFF_S) * random.uniform(0.5, 1.0)
            await asyncio.sleep(max(pause, min(outcome.wait_s, LONGEST_WAIT_S)))
        raise AssertionError("unreachable")

    async def _try(self, client: Any, body: dict[str, Any]) -> list[Choice] | Failure:
        """One HTTP request. The time limit starts here, so our own queue does not count."""
        import openai

        try:
            async with asyncio.timeout(self.params.timeout_s):
                raw = await client.chat.completions.with_raw_response.create(**body)
            return read_choices(raw.http_response.text)
        except openai.APIStatusError as error:
            return self._judge_status(error)
        except (openai.APITimeoutError, TimeoutError):
            return Failure("timeout", f"no reply in {self.params.timeout_s:g} s", passing=True)
        except (openai.APIConnectionError, BadBody) as error:
            reason = "server_error" if isinstance(error, BadBody) else "connection"
            return Failure(reason, self._scrub(str(error)), passing=True)

    def _judge_status(self, error: Any) -> Failure:
        """What an HTTP status means. Raises EndpointError where every call would end like this one."""
        status, detail = error.status_code, self._scrub(error.response.text)
        if status in (401, 403):
            hint = f"see the key in ${self.params.api_key_env}" if self.params.api_key_env else "set api_key_env"
            raise EndpointError(f"{self.params.base_url} refuses the key (HTTP {status})", hint)
        if status == 404:
            raise EndpointError(
                f"{self.params.base_url} knows no model {self.name} (HTTP 404)", "see base_url (ends in /v1) and model"
            )
        if status in REFUSED:
            return Failure("bad_request", detail, passing=False)
        passing = status in PASSING or status >= 500
        reason = "rate_limited" if status == 429 else "server_error"
        return Failure(reason, f"HTTP {status}: {detail}", passing, retry_after(error.response.headers))

    def _scrub(self, text: str) -> str:
        """A server may quote the key back: it goes into no message."""
        variable = self.params.api_key_env
        key = os.environ.get(variable, "").strip() if variable else ""
        return (text.replace(key, "***") if key else text)[:300]


def _progress(name: str, total: int, every_s: float = 5.0) -> Iterator[None]:
    """Each `next` counts one request; says how it goes on stderr, at most every few seconds."""
    started = last = time.monotonic()
    for done in range(1, total + 1):
        now = time.monotonic()
        if now - last >= every_s:
            last = now
            print(progress_line(name, done, total, now - started), file=sys.stderr, flush=True)
        yield
