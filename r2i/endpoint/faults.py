"""Failed calls by kind: retry, fail the row, or end the stage."""

import socket
from dataclasses import dataclass
from typing import Any

from r2i.core.errors import EndpointError
from r2i.core.params import Endpoint
from r2i.endpoint.chat import ErrorBody, read_error, retry_after

TRANSIENT = frozenset({408, 409, 425, 429})  # and 5xx: the same call may succeed later
OVERLOADED = frozenset({408, 429, 503, 529})
REFUSED = frozenset({400, 413, 422})  # this request will never succeed
DEAD_AFTER = 20  # requests in a row that were given up: the server is down
REFUSING_AFTER = 200  # requests refused before any was answered: it is set up wrongly
LONGEST_WAIT_S = 600.0  # of a server's Retry-After
LONGEST_BACKOFF_S = 60.0


@dataclass(frozen=True)
class Failure:
    """A call that brought no completion.

    `transient`: worth a retry; `wait_s`: the pause that the server asks for; `overload`: a sign of too many calls in
    flight. `error`: of a refusal; `options`: optional parts of the request's body. `seconds`: how long the call took.
    """

    reason: str
    detail: str
    transient: bool
    wait_s: float = 0.0
    overload: bool = False
    error: ErrorBody | None = None
    options: frozenset[str] = frozenset()
    seconds: float = 0.0


def classify_status(status: int, body: str, headers: Any, params: Endpoint) -> Failure:
    """The failure of a call with this HTTP status. Raises EndpointError where every call would fail like it.

    `body` must hold no key.
    """
    where = params.base_url or "the server"
    if status in (401, 403):
        hint = f"check the key in ${params.api_key_env}" if params.api_key_env else "set api_key_env"
        raise EndpointError(f"{where} rejects the API key (HTTP {status})", hint)
    if status == 404:
        raise EndpointError(f"{where} knows no model {params.model} (HTTP 404)", "see base_url (ends in /v1) and model")
    error = read_error(body)
    if status in REFUSED:
        filtered = "content_filter" in (error.code, error.param) or "content_filter" in error.message
        return Failure("refused" if filtered else "bad_request", error.message[:300], False, error=error)
    transient = status in TRANSIENT or status >= 500
    reason = "rate_limited" if status == 429 else "server_error"
    wait_s = min(retry_after(headers), LONGEST_WAIT_S)
    return Failure(reason, f"HTTP {status}: {error.message[:300]}", transient, wait_s, status in OVERLOADED)


def classify_connection(error: BaseException, detail: str, params: Endpoint, answered: bool) -> Failure:
    """The failure of a connection that could not be made, or broke. Raises EndpointError for an unknown host.

    Once the server has `answered`, its name is right, and a resolver that fails is one more transient failure.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror) and not answered:
            raise EndpointError(f"the host of {params.base_url} has no address ({cause.strerror})", "see base_url")
        cause = cause.__cause__ or cause.__context__
    return Failure("connection", detail, transient=True)


class CircuitBreaker:
    """Ends the stage when a server stops answering, or refuses every request."""

    def __init__(self, params: Endpoint) -> None:
        self.params = params
        self.answered = False
        self.reset()

    def reset(self) -> None:
        """Start a new run: the server may have been repaired."""
        self.given_up = self.refused = 0

    def note_success(self) -> None:
        """Note a call that brought a completion."""
        self.answered, self.given_up = True, 0

    def note_failure(self, failure: Failure) -> None:
        """Count a request that was given up. Raises EndpointError once there are too many."""
        if failure.transient:
            self.given_up += 1
        elif not self.answered:
            self.refused += 1
        if self.given_up >= DEAD_AFTER or (not self.answered and self.refused >= REFUSING_AFTER):
            count = max(self.given_up, self.refused)
            raise EndpointError(
                f"{count} calls in a row to {self.params.model} at {self.params.base_url} failed, "
                f"the last with {failure.reason}: {failure.detail}",
                "check that the server is up and accepts such requests, then run again: replies that came are kept",
            )
