"""Failed calls by kind: retry, fail the row, or end the stage."""

import re
import socket
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from r2i.core.errors import EndpointError
from r2i.core.params import Endpoint
from r2i.endpoint.chat import PASSING, ErrorBody, retry_after
from r2i.endpoint.options import refused_option

T = TypeVar("T")

TRANSIENT = frozenset({408, 409, 425, 429})  # and 5xx: the same call may succeed later
OVERLOADED = frozenset({408, 429, 503, 529})
REFUSED = frozenset({400, 413, 422})  # this request will never succeed
DEAD_AFTER = 20  # requests in a row that were given up: the server is down
REFUSING_AFTER = 200  # requests refused in a row: it is set up wrongly, or the account is closed
REFUSED_TO_THE_END = 3  # requests refused in a row at the end of a run, after which rows would be wrongly at fault
NO_REPLY = frozenset({"connection", "timeout", "rate_limited", "server_error", "redirected", "bad_request"}) | PASSING
"""Reasons of failures that nobody was paid for: the server gave no reply."""
DETAIL = 300  # characters of a server's sentence that are quoted
READ = 2000  # of it that are read for what it is about

# An account that is closed or empty, by the code of the error or by its sentence.
ACCOUNT = re.compile(
    r"arrear|overdue|insufficient[ _-]?(?:\w+[ _-])?(?:balance|funds?|credits?|quota)"
    r"|balance[ _](?:is )?(?:too low|insufficient)"
    r"|exceeded_current_quota|billing_(?:hard_limit|not_active)|payment[ _]required|good standing|recharge|top[ -]up"
    r"|account\W{1,9}(?:\w{1,40}\W{1,9}){0,6}?(?:suspended|deactivated|disabled|closed|blocked)|欠费|余额不足|充值|账户已停用",
    re.IGNORECASE,
)
# Words of a refusal that mean money; at a 429 they may mean a rate.
MONEY = re.compile(
    r"\b(?:balance|credits?|billing|payments?|quota|subscription|spend(?:ing)? limit|usage limit|trial)\b"
    r"|余额|账单|配额",
    re.IGNORECASE,
)
FILTER = re.compile(
    r"content[ _-]?(?:filter|policy|management)|moderation|flagged|safety system|data_?inspection"
    r"|^sensitive$|sensitive[ _](?:content|words?|info\w*)|敏感",
    re.IGNORECASE,
)
# What a server calls the parts of a request: a refusal that names none may be about the account.
REQUEST_PART = re.compile(
    r"\b(?:images?|pictures?|photos?|pixels?|tokens?|contexts?|length|prompts?|messages?|content|param\w*|arguments?"
    r"|format|schema|sizes?|too (?:large|long|big)|fields?|values?|types?|json|media|seed|n|temperature|top_p"
    r"|max_\w+|\w+_format)\b",
    re.IGNORECASE,
)
# A model without eyes: every call with a picture fails like it, at some servers by 500.
BLIND = re.compile(
    r"image input is not supported|support image (?:input|content)|not a multi-?modal model",
    re.IGNORECASE,
)
LONGEST_WAIT_S = 600.0  # of a server's Retry-After
LONGEST_BACKOFF_S = 60.0
UNREACHED_S = 30.0  # without a connection from the start on: nothing listens there


@dataclass(frozen=True)
class Failure:
    """A call that brought no completion.

    `transient`: worth a retry; `wait_s`: the pause that the server asks for; `overload`: a sign of too many calls in
    flight. `error`: that the server reported; `option`: the one that it refuses, or empty; `noted`: what was learned
    by that. `began_s`: on a monotonic clock; `seconds`: how long the call took.
    """

    reason: str
    detail: str
    transient: bool
    wait_s: float = 0.0
    overload: bool = False
    error: ErrorBody | None = None
    option: str = ""
    noted: str = ""
    began_s: float = 0.0
    seconds: float = 0.0


def classify_status(
    status: int, error: ErrorBody, headers: Any, params: Endpoint, prompt: str = "", options: Collection[str] = ()
) -> Failure:
    """The failure of a call with this HTTP status. Raises EndpointError where every call would fail like it.

    `error` must hold no key. `prompt`: a server may quote it, and its words say nothing about an account. `options`:
    that were sent and that the call can do without.
    """
    where, sentence = params.base_url or "the server", error.message[:DETAIL]
    if is_filtered(error) and status in REFUSED | {403, 451}:
        return Failure("refused", sentence, False, error=error)
    if is_about_account(status, error, prompt):
        raise EndpointError(
            f"{where} refuses the account (HTTP {status}): {sentence}",
            "pay or settle that, then run again: replies that came are kept",
        )
    if status in (401, 403):
        hint = f"check the key in ${params.api_key_env}" if params.api_key_env else "set api_key_env"
        raise EndpointError(f"{where} rejects the API key (HTTP {status}): {sentence}", hint)
    if BLIND.search(error.message[:READ]):
        raise EndpointError(
            f"{params.model} at {where} takes no pictures (HTTP {status}): {sentence}",
            "serve a model that sees; llama.cpp's server needs its --mmproj",
        )
    option = refused_option(status, error, options)
    if option and status < 500:
        return Failure("bad_request", sentence, False, error=error, option=option)
    if status in (404, 410):
        raise EndpointError(
            f"{where} knows no model {params.model} (HTTP {status}): {sentence}", "see base_url (ends in /v1) and model"
        )
    if status in REFUSED:
        return Failure("bad_request", sentence, False, error=error)
    transient = status in TRANSIENT or status >= 500
    reason = "rate_limited" if status == 429 else "server_error"
    wait_s = min(retry_after(headers), LONGEST_WAIT_S)
    return Failure(reason, f"HTTP {status}: {sentence}", transient, wait_s, status in OVERLOADED, error, option)


def classify_reported(error: ErrorBody, params: Endpoint, prompt: str = "", options: Collection[str] = ()) -> Failure:
    """The failure of a call of status 200 whose body is an error: its code may be the status that was meant."""
    status = int(error.code) if error.code.isdecimal() and len(error.code) == 3 else 0
    if status == 0 and is_about_account(400, error, prompt):
        status = 402
    return classify_status(status if status >= 400 else 502, error, {}, params, prompt, options)


def is_filtered(error: ErrorBody) -> bool:
    """Whether a refusal is one of the request's content."""
    return any(FILTER.search(text) for text in (error.code, error.type, error.param, error.message))


def is_about_account(status: int, error: ErrorBody, prompt: str = "") -> bool:
    """Whether an error says that the account is empty, overdue or closed, and not that this request is at fault."""
    if status == 402:
        return True
    if status >= 500 or status in TRANSIENT - {429}:
        return False
    patterns = [ACCOUNT] if status == 429 else [ACCOUNT, MONEY]
    if any(pattern.search(name) for pattern in patterns for name in (error.code[:DETAIL], error.type[:DETAIL])):
        return True
    said = prompt.lower()
    return any(
        match.group().lower() not in said for pattern in patterns for match in pattern.finditer(error.message[:READ])
    )


def classify_redirect(status: int, location: str, params: Endpoint, answered: bool) -> Failure:
    """The failure of a call that was sent elsewhere: neither prompt nor key go to another host than was named.

    Raises EndpointError where the server has never `answered`.
    """
    detail = f"HTTP {status} to {location[:DETAIL] or 'nowhere'}"
    if not answered:
        raise EndpointError(
            f"{params.base_url} redirects calls ({detail})", "set base_url to the address that answers, if you trust it"
        )
    return Failure("redirected", detail, transient=True)


def classify_connection(error: BaseException, detail: str, params: Endpoint, answered: bool) -> Failure:
    """The failure of a connection that could not be made, or broke. Raises EndpointError for an unknown host.

    Once the server has `answered`, its name is right, and a resolver that fails is one more transient failure.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror) and not answered:
            raise EndpointError(
                f"the host of {params.base_url}, or its proxy, has no address ({cause.strerror})", "see base_url"
            )
        cause = cause.__cause__ or cause.__context__
    return Failure("connection", detail, transient=True)


@dataclass(frozen=True)
class Refusal(Generic[T]):
    """A request that the server refused at `time_s` of a monotonic clock. `what`: of the caller."""

    what: T
    detail: str
    time_s: float


class CircuitBreaker(Generic[T]):
    """Ends the stage when a server stops answering, or refuses every request.

    A refusal is a request's own once a call succeeds that began after it. Until then it may be the account's.
    """

    def __init__(self, params: Endpoint) -> None:
        self.params = params
        self.answered = False  # a call has brought a completion
        self.unreached_s: float | None = None  # when the first connection failed, while none was made
        self.given_up = 0
        self.refusals: list[Refusal[T]] = []  # that may be the account's

    def reset(self) -> None:
        """Start a new run: the server may have been repaired."""
        self.given_up = 0
        self.unreached_s = None

    def note_attempt(self, failure: Failure) -> None:
        """Note a call that failed. Raises EndpointError where no connection was made in UNREACHED_S: a server that
        restarts is waited for, one that was never there isn't."""
        if self.answered or failure.reason != "connection":
            self.unreached_s = None
            return
        ended = failure.began_s + failure.seconds
        self.unreached_s = ended if self.unreached_s is None else self.unreached_s
        if ended - self.unreached_s >= UNREACHED_S:
            raise EndpointError(
                f"no connection to {self.params.base_url} in {ended - self.unreached_s:.0f} s: {failure.detail}",
                "see that the server is up and base_url is its address, then run again: replies that came are kept",
            )

    def note_success(self, began_s: float) -> list[Refusal[T]]:
        """Note a call that brought an answer; the refusals that it proves to be the requests' own."""
        self.given_up = 0
        own = [refusal for refusal in self.refusals if refusal.time_s <= began_s]
        self.refusals = [refusal for refusal in self.refusals if refusal.time_s > began_s]
        return own

    def note_failure(self, failure: Failure, what: T) -> None:
        """Count a request that was given up. Raises EndpointError once there are too many."""
        if failure.transient:
            self.given_up += 1
        elif failure.error is not None and failure.reason != "refused":
            self.refusals.append(Refusal(what, failure.detail, failure.began_s + failure.seconds))
        if self.given_up >= DEAD_AFTER:
            raise self._error(self.given_up, f"{failure.reason}: {failure.detail}", "is up and accepts such requests")
        if len(self.refusals) >= REFUSING_AFTER:
            raise self._refused()

    def check_end(self, is_known: bool) -> None:
        """Raises EndpointError where a run ends in a series of refusals that nothing shows to be the requests' own.

        `is_known`: whether the server has answered such requests, in this run or an earlier one.
        """
        said = {re.sub(r"\d+", "0", refusal.detail) for refusal in self.refusals}
        if len(self.refusals) >= REFUSED_TO_THE_END and (not is_known or not any(map(names_request_part, said))):
            raise self._refused()

    def _refused(self) -> EndpointError:
        refusals, self.refusals = self.refusals, []
        return self._error(len(refusals), refusals[-1].detail, "accepts such requests, and the account is in order")

    def _error(self, count: int, last: str, what: str) -> EndpointError:
        return EndpointError(
            f"{count} calls in a row to {self.params.model} at {self.params.base_url} failed, the last with {last}",
            f"check that the server {what}, then run again: replies that came are kept",
        )


def names_request_part(sentence: str) -> bool:
    """Whether a refusal names a part of the request."""
    return bool(REQUEST_PART.search(sentence))
