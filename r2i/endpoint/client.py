"""The HTTP client of one server. No API key and no URL of a picture leaves this module."""

import asyncio
import os
from typing import TYPE_CHECKING, Any

from r2i.core.errors import EndpointError
from r2i.core.params import Endpoint
from r2i.endpoint.chat import BadBodyError, Completion, read_completion
from r2i.endpoint.faults import Failure, classify_connection, classify_status

if TYPE_CHECKING:
    from openai import AsyncOpenAI

HIDDEN = "***"
POOL_SIZE = 16  # calls in flight that share a pool of connections


class ChatClient:
    """An open client. `base_url`: `params.base_url`, or that of a vLLM which was started."""

    def __init__(self, params: Endpoint, base_url: str) -> None:
        """Raises EndpointError where the environment variable of the key is not set."""
        import httpx2

        self.params = params.model_copy(update={"base_url": base_url})
        self._key = read_key(params)
        self.tls = httpx2.create_ssl_context()  # takes 30 ms: one for all pools
        # a pool scans all its connections at every call: many small pools are faster than a large one
        self.clients: list[AsyncOpenAI] = []
        self.busy: list[int] = []

    def _client(self) -> int:
        """The place of the least busy client: a new one while all have POOL_SIZE calls in flight."""
        import httpx2
        import openai

        if not self.busy or min(self.busy) >= POOL_SIZE:
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=POOL_SIZE)
            # a server that r2i started is on this host: no proxy in between
            proxies = self.params.kind != "vllm"
            http = openai.DefaultAsyncHttpxClient(limits=limits, verify=self.tls, trust_env=proxies)
            # a key is always given: the client would else send OPENAI_API_KEY to a server that it isn't meant for
            client = openai.AsyncOpenAI(
                base_url=self.params.base_url, api_key=self._key or "none", max_retries=0,
                timeout=self.params.timeout_s, http_client=http,
            )  # fmt: skip
            self.clients.append(client)
            self.busy.append(0)
        return self.busy.index(min(self.busy))

    async def send(self, body: bytes, answered: bool) -> Completion | Failure:
        """Make one call. Its time limit starts here: waiting in our own queue does not count.

        `body`: JSON. `answered`: whether the server has replied before. Raises EndpointError where every call would
        fail.
        """
        import openai

        try:
            async with asyncio.timeout(self.params.timeout_s):
                return read_completion(self.scrub(await self._post(body)))
        except openai.APIStatusError as error:
            text = self.scrub(error.response.text)
            return classify_status(error.status_code, text, error.response.headers, self.params)
        except (openai.APITimeoutError, TimeoutError):
            return Failure("timeout", f"no reply in {self.params.timeout_s:g} s", transient=True, overload=True)
        except openai.APIConnectionError as error:
            return classify_connection(error, self.scrub(str(error))[:300], self.params, answered)
        except BadBodyError as error:
            return Failure("server_error", self.scrub(str(error))[:300], transient=True)

    async def _post(self, body: bytes) -> str:
        """The body of the reply, through the least busy client."""
        import httpx2

        place = self._client()
        self.busy[place] += 1
        try:
            options: Any = {"headers": {"content-type": "application/json"}}
            response = await self.clients[place].post(
                "/chat/completions", content=body, cast_to=httpx2.Response, options=options
            )
            return response.text
        finally:
            self.busy[place] -= 1

    def scrub(self, text: str) -> str:
        """`text` without the key: a server may quote it, and it must be in no message and no row."""
        return text.replace(self._key, HIDDEN) if self._key else text

    async def close(self) -> None:
        """Close all connections."""
        for client in self.clients:
            await client.close()


def read_key(params: Endpoint) -> str:
    """The API key in the environment variable that `params` name; empty without one. Raises EndpointError."""
    if params.api_key_env is None:
        return ""
    key = os.environ.get(params.api_key_env, "").strip()
    if not key:
        variable = params.api_key_env
        raise EndpointError(f"{params.model} needs an API key, and ${variable} is not set", f"export {variable}=...")
    return key
