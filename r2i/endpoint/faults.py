"""Failed calls by kind: try again, refuse the row, or end the stage."""

import socket
from dataclasses import dataclass
from typing import Any

from r2i.core.errors import EndpointError
from r2i.core.params import Endpoint
from r2i.endpoint.chat import Complaint, read_complaint, retry_after

PASSING = frozenset({408, 409, 425, 429})  # and 5xx: the same call may succeed later
LOADED = frozenset({408, 429, 503, 529})  # the server has too much to do
REFUSED = frozenset({400, 413, 422})  # this request will never be taken
DEAD_AFTER = 20  # requests in a row that were given up
REFUSING_AFTER = 200  # requests refused before any was taken
LONGEST_WAIT_S = 600.0  # of a server's Retry-After
LONGEST_BACKOFF_S = 60.0


@dataclass(frozen=True)
class Failure:
    """A call without a choice.

    `wait_s`: what the server asks for; `passing`: worth another try; `loaded`: a sign of too many calls.
    `complaint`: the words of a refusal; `options`: what the call asked for and could do without;
    `seconds`: that it took.
    """

    reason: str
    detail: str
    passing: bool
    wait_s: float = 0.0
    loaded: bool = False
    complaint: Complaint | None = None
    options: frozenset[str] = frozenset()
    seconds: float = 0.0


def judge_status(status: int, body: str, headers: Any, params: Endpoint) -> Failure:
    """What an HTTP status means. Raises EndpointError where every call would end like this one.

    `body` must hold no key.
    """
    where = params.base_url or "the server"
    if status in (401, 403):
        hint = f"see the key in ${params.api_key_env}" if params.api_key_env else "set api_key_env"
        raise EndpointError(f"{where} refuses the key (HTTP {status})", hint)
    if status == 404:
        raise EndpointError(f"{where} knows no model {params.model} (HTTP 404)", "see base_url (ends in /v1) and model")
    complaint = read_complaint(body)
    if status in REFUSED:
        filtered = "content_filter" in (complaint.code, complaint.param) or "content_filter" in complaint.message
        return Failure("refused" if filtered else "bad_request", complaint.message[:300], False, complaint=complaint)
    passing = status in PASSING or status >= 500
    reason = "rate_limited" if status == 429 else "server_error"
    wait_s = min(retry_after(headers), LONGEST_WAIT_S)
    return Failure(reason, f"HTTP {status}: {complaint.message[:300]}", passing, wait_s, status in LOADED)


def judge_connection(error: BaseException, detail: str, params: Endpoint, answered: bool) -> Failure:
    """A connection that could not be made or broke. A name that can't be resolved ends the stage: EndpointError.

    Once the server has `answered` its name is right, and a resolver that fails is one more passing fault.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror) and not answered:
            raise EndpointError(f"the host of {params.base_url} has no address ({cause.strerror})", "see base_url")
        cause = cause.__cause__ or cause.__context__
    return Failure("connection", detail, passing=True)


class Breaker:
    """Ends the stage when a server gives nothing any more, or takes nothing at all."""

    def __init__(self, params: Endpoint) -> None:
        self.params = params
        self.answered = False
        self.begin()

    def begin(self) -> None:
        """A new run: the server may have been mended."""
        self.given_up = self.refused = 0

    def success(self) -> None:
        self.answered, self.given_up = True, 0

    def failure(self, failure: Failure) -> None:
        """Count a request that was given up. Raises EndpointError."""
        if failure.passing:
            self.given_up += 1
        elif not self.answered:
            self.refused += 1
        if self.given_up >= DEAD_AFTER or (not self.answered and self.refused >= REFUSING_AFTER):
            count = max(self.given_up, self.refused)
            raise EndpointError(
                f"{count} calls in a row to {self.params.model} at {self.params.base_url} failed, "
                f"the last with {failure.reason}: {failure.detail}",
                "see that the server is up and takes such requests, then run again: replies that came are kept",
            )
