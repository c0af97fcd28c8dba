"""The client of one server. No API key and no URL of a picture leaves this module."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

from r2i.core.errors import EndpointError
from r2i.core.params import Endpoint
from r2i.endpoint.base import Request
from r2i.endpoint.chat import (
    BadBodyError,
    Completion,
    ReportedError,
    read_completion,
    read_error,
)
from r2i.endpoint.faults import (
    DETAIL,
    Failure,
    classify_connection,
    classify_redirect,
    classify_reported,
    classify_status,
)
from r2i.endpoint.quote import escape_controls, hide_key
from r2i.endpoint.transport import POOL_SIZE, Pool, Response, call_url, same_host

BODY_BYTES = 2 * 2**20  # of a response, beside its tokens
TOKEN_BYTES = 64  # of a token in JSON: a few characters of 6 bytes each, or a run of spaces
SMALL = 2**16  # bytes of a body that is read at once
MAX_REDIRECTS = 4
LATE_S = 0.05  # a timer that is later shows that the event loop stood still


class ChatClient:
    """An open client. `base_url`: `params.base_url`, or that of a vLLM which was started.

    No variable of the environment changes what is sent or where, but those of proxies and certificates.
    """

    def __init__(self, params: Endpoint, base_url: str) -> None:
        """Raises EndpointError where the environment variable of the key is not set, or the address is none."""
        import httpx2

        self.params = params.model_copy(update={"base_url": base_url})
        self._key = read_key(params)
        self.url = call_url(base_url)
        try:
            self.tls = httpx2.create_ssl_context()  # takes 30 ms: one for all pools
        except OSError as error:
            raise EndpointError(
                f"the certificates can't be read: {error}", "check SSL_CERT_FILE and SSL_CERT_DIR"
            ) from error
        # a pool scans all its connections at every call: many small pools are faster than a large one
        self.pools: list[Pool] = []

    def _pool(self) -> "Pool":
        """The least busy pool: a new one while all have POOL_SIZE calls in flight."""
        least = min(self.pools, key=lambda pool: pool.busy, default=None)
        if least is None or least.busy >= POOL_SIZE:
            # a server that r2i started is on this host: no proxy in between
            least = Pool(self.tls, use_proxies=self.params.kind != "vllm")
            self.pools.append(least)
        return least

    async def send(
        self, body: bytes, request: Request, n: int, options: Mapping[str, str], answered: bool
    ) -> Completion | Failure:
        """Make one call. Its time limit starts here: waiting in our own queue does not count.

        `body`: JSON, that asks for `n` samples of `request`, with `options` that it can do without. `answered`: whether
        the server has replied before. Raises EndpointError where every call would fail.
        """
        import httpx2

        try:
            async with time_limit(self.params.timeout_s):
                response = await self._post(body, BODY_BYTES + TOKEN_BYTES * n * request.sampling.max_tokens)
            if 300 <= response.status < 400:
                location = self._clean(response.headers.get("location", ""))
                return classify_redirect(response.status, location, self.params, answered)
            if response.status >= 400:
                error = read_error(response.body).through(self._clean)
                return classify_status(response.status, error, response.headers, self.params, request.prompt, options)
            return replace(await self._read(response.body, n), options=options)
        except ReportedError as error:
            return classify_reported(error.error.through(self._clean), self.params, request.prompt, options)
        except BadBodyError as error:
            return Failure("server_error", self._clean(str(error))[:DETAIL], transient=True)
        except TimeoutError:
            return Failure("timeout", f"no reply in {self.params.timeout_s:g} s", transient=True, overload=True)
        except httpx2.InvalidURL as error:
            raise EndpointError(f"{self.params.base_url} is no address ({error})", "see base_url") from error
        except (httpx2.HTTPError, httpx2.StreamError, OSError, ValueError, ExceptionGroup) as error:
            # the last three: of TLS, sockets and headers, as far as the client doesn't translate them
            detail = self._clean(f"{type(error).__name__}: {error}")[:DETAIL]
            return classify_connection(error, detail, self.params, answered)

    async def _read(self, body: bytes, n: int) -> Completion:
        """The completion in a body, without the key. A large body is read in a thread: calls in flight go on."""
        completion = await (asyncio.to_thread(read_completion, body, n) if len(body) > SMALL else _now(body, n))
        choices = [
            replace(choice, text=hide_key(choice.text, self._key), finish=self._clean(choice.finish)[:DETAIL])
            for choice in completion.choices
        ]
        served = self._clean(completion.served_model)[:DETAIL]
        return replace(completion, choices=choices, served_model=served, id=hide_key(completion.id, self._key))

    async def _post(self, body: bytes, max_bytes: int) -> "Response":
        """The response, through the least busy pool. A redirect within the host that repeats the call is followed."""
        pool, url = self._pool(), self.url
        headers = {
            "content-type": "application/json",
            "accept": "application/json",
            "accept-encoding": "identity",  # a reply is small, and what is packed may be a bomb
            "authorization": f"Bearer {self._key or 'none'}",
            "user-agent": "r2i",
        }
        for _ in range(MAX_REDIRECTS):
            response = await pool.post(url, body, headers, max_bytes)
            target = same_host(url, response) if response.status in (307, 308) else None
            if target is None:
                break
            url = target
        return response

    def _clean(self, text: str) -> str:
        """What a server says, for a message: neither the key nor control characters are in it."""
        return escape_controls(hide_key(text, self._key))

    async def close(self) -> None:
        """Close all connections."""
        for pool in self.pools:
            await pool.client.aclose()


@asynccontextmanager
async def time_limit(seconds: float) -> AsyncIterator[None]:
    """Raise TimeoutError in the block after `seconds`; later, once, by as long as the event loop stood still then.

    What came meanwhile waits in a socket, and is no late reply.
    """
    loop = asyncio.get_running_loop()
    end, timers = loop.time() + seconds, list[asyncio.TimerHandle]()

    def expire() -> None:
        late = loop.time() - end
        if late > LATE_S and len(timers) == 1:
            timers.append(loop.call_later(min(late, seconds), expire))
        else:
            limit.reschedule(loop.time())

    timers.append(loop.call_at(end, expire))
    try:
        async with asyncio.timeout(None) as limit:
            yield
    finally:
        for timer in timers:
            timer.cancel()


async def _now(body: bytes, n: int) -> Completion:
    return read_completion(body, n)


def read_key(params: Endpoint) -> str:
    """The API key in the environment variable that `params` name; empty without one. Raises EndpointError."""
    if params.api_key_env is None:
        return ""
    variable = params.api_key_env
    key = os.environ.get(variable, "").strip()
    if not key:
        raise EndpointError(f"{params.model} needs an API key, and ${variable} is not set", f"export {variable}=...")
    if not (key.isascii() and key.isprintable() and " " not in key):  # no header can hold it
        raise EndpointError(
            f"${variable} holds no API key: it has spaces, line breaks or characters that are not ASCII",
            f"export {variable}=... again, with the key alone",
        )
    return key
