"""Bodies of the chat-completions API: requests written, completions and errors read."""

import base64
import email.utils
import json
import math
import re
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from r2i.endpoint.base import Request, Turn

PLACEHOLDER = f"image-{uuid.uuid4().hex}"  # of an image's URL: no prompt of this process can hold it
MIME_TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}

# A reply counts as finished by these alone, in any case of letters; every other ending is a failure.
FINISHED = frozenset({"stop", "eos", "eos_token", "stop_sequence", "end_turn", "complete"})
CUT = frozenset({"length", "max_tokens", "max_output_tokens", "model_length", "context_length"})  # `truncated`
FILTERED = frozenset({
    "content_filter", "sensitive", "safety", "image_safety", "recitation", "blocklist", "prohibited_content", "spii",
    "refusal", "guardrail_intervened",
})  # `refused`  # fmt: skip
# Endings of a server in trouble: the same call may succeed. `unfinished`: there is no finish_reason.
PASSING = frozenset({
    "unfinished", "error", "abort", "aborted", "cancelled", "interrupted", "timeout", "unavailable", "network_error",
    "insufficient_system_resource",
})  # fmt: skip
TEXT_PARTS = frozenset({"text", "output_text", None})  # types of content parts that are the answer
REASONING_PARTS = frozenset({"reasoning", "reasoning_content", "thinking", "redacted_thinking"})  # that are left out
ASKED_FOR = ("top_k", "min_p", "presence_penalty", "repetition_penalty", "stop")  # of Sampling, sent where they are set
MAX_TOKENS = 10**8  # of a call: a larger count is none, and a negative or infinite one neither
MAX_SLUG = 40  # characters of a reason that a server makes up
SHOWN = 4096  # bytes of a body that an error may quote


class BadBodyError(ValueError):
    """A response that is no chat completion: a proxy's HTML page, cut JSON, two answers to one request."""


class ReportedError(BadBodyError):
    """A response of status 200 that reports an error."""

    def __init__(self, error: "ErrorBody") -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(frozen=True)
class CompletionChoice:
    """One choice of a completion. `reason`: why it is no answer (`truncated`, `refused`, `empty`, the name of
    another ending than FINISHED), or empty.

    `finish`: the server's finish_reason. `passing`: whether the same call may bring an answer.
    """

    text: str
    reason: str
    finish: str = ""
    passing: bool = False


@dataclass(frozen=True)
class Completion:
    """What one call returned. `tokens_in`: of the prompt, once; `tokens_out`: of all choices together.

    `id`: the server's name of this response. `options`: that were sent, as r2i.endpoint.options has them. `began_s`: on
    a monotonic clock; `seconds`: how long the call took.
    """

    choices: list[CompletionChoice]
    tokens_in: int = 0
    tokens_out: int = 0
    served_model: str = ""
    id: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    began_s: float = 0.0
    seconds: float = 0.0

    def tokens_of(self, place: int) -> tuple[int, int]:
        """Tokens in and out of choice `place`: the prompt counts on the first, the rest is shared equally."""
        share, rest = divmod(self.tokens_out, len(self.choices))
        return (0 if place else self.tokens_in), share + (place < rest)


def chat_body(model: str, request: Request, n: int, seed: int, options: Collection[str]) -> dict[str, Any]:
    """The body of one call for `n` samples: images first, then the text; `encode` fills in the images' URLs.

    `options`: of those that a call can do without (r2i.endpoint.options), the ones that are sent.
    """
    longest = "max_tokens" if "max_tokens" in options else "max_completion_tokens"
    sampling = request.sampling
    system = [{"role": "system", "content": sampling.system}] if sampling.system is not None else []
    body: dict[str, Any] = {
        "model": model,
        "messages": [*system, *(_message(turn, request.text_first) for turn in request.turns)],
        longest: sampling.max_tokens,
    }
    body |= {name: value for name in ASKED_FOR if (value := getattr(sampling, name)) is not None}
    for name in ("temperature", "top_p"):
        value = getattr(sampling, name)
        if value != 1 or name in options:
            body[name] = value
    if "n" in options:
        body["n"] = n
    if "seed" in options:
        body["seed"] = seed
    if "response_format" in options and request.form:
        body["response_format"] = {"type": "json_schema", "json_schema": {**json.loads(request.form), "strict": True}}
    return body


def _message(turn: Turn, text_first: bool) -> dict[str, Any]:
    """What a model said before is plain text: templates of servers take no list there."""
    if turn.role == "assistant":
        return {"role": turn.role, "content": turn.text}
    content: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": PLACEHOLDER}}] * turn.images
    content.insert(0 if text_first else len(content), {"type": "text", "text": turn.text})
    return {"role": turn.role, "content": content}


def encode(body: dict[str, Any], images: Sequence[bytes]) -> bytes:
    """The JSON of a `chat_body`, with the images' URLs in place.

    They are put in as bytes: JSON's encoder would scan each of their hundred thousands of characters.
    """
    parts = json.dumps(body).encode().split(PLACEHOLDER.encode())
    joined = [parts[0]]
    for url, part in zip(images, parts[1:], strict=True):
        joined += [url, part]
    return b"".join(joined)


def mime_type(data: bytes) -> str:
    """The type of an image, by its first bytes. Raises ValueError where it is no JPEG or PNG."""
    for start, name in MIME_TYPES.items():
        if data.startswith(start):
            return name
    raise ValueError("an image is no JPEG or PNG")


def data_url(data: bytes) -> bytes:
    """The `data:` URL of an image. Raises ValueError where it is no JPEG or PNG."""
    return b"".join((b"data:", mime_type(data).encode(), b";base64,", base64.b64encode(data)))


def read_completion(body: bytes, n: int = 1) -> Completion:
    """The choices in the order of their index, and their tokens.

    `n`: choices that were asked for; fewer are fine. Raises ReportedError, and BadBodyError for all else that is no
    completion.
    """
    answer = _load(body)
    try:
        if answer.get("error"):
            raise ReportedError(_read_error(answer["error"], body))
        choices = [_read_choice(choice) for choice in _in_order(answer["choices"], n)]
        usage = answer.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        tokens = _count_tokens(usage.get("prompt_tokens")), _count_tokens(usage.get("completion_tokens"))
        served, name = (value if isinstance(value, str) else "" for value in (answer.get("model"), answer.get("id")))
    except BadBodyError:
        raise
    except (KeyError, TypeError, AttributeError) as error:
        raise BadBodyError(f"no chat completion: {_quote(body)}") from error
    return Completion(choices, *tokens, served, name)


def _load(body: bytes) -> Any:
    """The JSON of a body. Raises BadBodyError; numbers that JSON doesn't have are null."""
    try:
        return json.loads(body.decode("utf-8-sig"), parse_constant=lambda _: None, object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise BadBodyError(f"not UTF-8: {_quote(body)}") from error
    except (ValueError, RecursionError) as error:
        raise BadBodyError(f"no chat completion: {_quote(body)}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; one that has a key twice holds two answers."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key that stands twice")
    return made


def _in_order(choices: list[Mapping[str, Any]], n: int) -> list[Mapping[str, Any]]:
    """`choices` by their index, which tells them apart; without any, as they stand. Raises BadBodyError, TypeError."""
    if not isinstance(choices, list) or not 1 <= len(choices) <= n:
        raise BadBodyError(f"{len(choices)} choices where {n} were asked for" if choices else "no choices")
    indices = [choice.get("index") for choice in choices]
    if all(index is None for index in indices):
        return choices
    if any(type(index) is not int for index in indices) or len(set(indices)) < len(indices):
        raise BadBodyError(f"choices of the indices {str(indices)[:80]}")
    return sorted(choices, key=lambda choice: choice["index"])


def _count_tokens(value: Any) -> int:
    """Tokens as a server counts them; 0 where that can't be a count."""
    is_count = type(value) in (int, float) and 0 <= value <= MAX_TOKENS
    return int(value) if is_count else 0


def _read_choice(choice: Mapping[str, Any]) -> CompletionChoice:
    message, finish = choice["message"], choice.get("finish_reason")
    finish = finish if isinstance(finish, str) else ""
    text, is_refusal = _read_content(message.get("content"))
    ending = re.sub(r"[^a-z0-9]+", "_", finish.lower())[:MAX_SLUG].strip("_") or "unfinished"
    if choice.get("error") and ending not in PASSING:
        ending = "error"
    if ending in CUT:
        return CompletionChoice(text, "truncated", finish)
    if ending in FILTERED or is_refusal or message.get("refusal"):
        return CompletionChoice(text, "refused", finish)
    if ending not in FINISHED:
        reason = "server_error" if ending in ("error", "ok") else ending
        return CompletionChoice(text, reason, finish, ending in PASSING)
    return CompletionChoice(text, "" if text.strip() else "empty", finish)


def _read_content(content: Any) -> tuple[str, bool]:
    """The text of a message, and whether it is a refusal. Some servers send parts. Raises BadBodyError, TypeError."""
    if not isinstance(content, str | list | None):
        raise BadBodyError("content that is no text")
    parts = content if isinstance(content, list) else [content or ""]
    texts, is_refusal = [], False
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        kind = part.get("type")
        is_refusal |= kind == "refusal"
        if kind in TEXT_PARTS and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind not in REASONING_PARTS | {"refusal"}:
            raise BadBodyError(f"a content part of type {str(kind)[:MAX_SLUG]}")
    # half an emoji can't be stored
    return "".join(texts).encode("utf-16", "surrogatepass").decode("utf-16", "replace"), is_refusal


@dataclass(frozen=True)
class ErrorBody:
    """The error that a server reports. `param`, `code`, `type`: as it names them, or empty."""

    message: str
    param: str = ""
    code: str = ""
    type: str = ""

    def through(self, change: Callable[[str], str]) -> "ErrorBody":
        """This error with each of its texts changed."""
        return ErrorBody(change(self.message), change(self.param), change(self.code), change(self.type))


def read_error(body: bytes) -> ErrorBody:
    """The error in a response; where it is no JSON, or JSON of another form, all of it is the message."""
    try:
        told = _load(body)
        told = told[0] if isinstance(told, list) and len(told) == 1 else told  # Gemini's
        return _read_error(told.get("error") or told, body)
    except (BadBodyError, AttributeError):
        return ErrorBody(_quote(body))


def _read_error(error: Any, body: bytes) -> ErrorBody:
    """The error in a body's `error`, or in the body itself; where it has no message, the body is one."""
    if isinstance(error, str):
        return ErrorBody(error)
    if not isinstance(error, dict):
        return ErrorBody(_quote(body))
    message, *names = (error.get(name) for name in ("message", "param", "code", "type"))
    named = [str(name) if isinstance(name, str | int | float) else "" for name in names]
    named = ["" if name in ("None", "null") else name for name in named]  # LiteLLM writes Python's
    metadata = error.get("metadata")
    if isinstance(message, str) and isinstance(metadata, dict) and isinstance(metadata.get("raw"), str):
        message = f"{message}: {metadata['raw'][:SHOWN]}"  # OpenRouter quotes whom it asked
    inner = message if isinstance(message, dict) else error  # Mistral's
    if isinstance(inner.get("detail"), list) and not isinstance(message, str):  # FastAPI's, without the quoted input
        faults = [fault for fault in inner["detail"] if isinstance(fault, dict)]
        message = "; ".join(f"{_place(fault)}: {fault.get('msg')}" for fault in faults)
    return ErrorBody(message if isinstance(message, str) and message else _quote(body), *named)


def _place(fault: Mapping[str, Any]) -> str:
    """`seed`, of a fault at `["body", "seed"]`."""
    place = fault.get("loc")
    return ".".join(str(part) for part in place if part != "body") if isinstance(place, list) else "request"


def _quote(body: bytes) -> str:
    """The beginning of a body for an error message, JSON's escapes resolved: a key may hide behind them."""
    text = body[:SHOWN].decode("utf-8", "replace").replace("\\/", "/")
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds of a Retry-After header (a number or a date), or 0."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError, OSError):  # no date, or of a year that no clock has
            seconds = 0.0
    return seconds if 0 < seconds < math.inf else 0.0
