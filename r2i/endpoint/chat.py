"""Bodies of the chat-completions API: requests written, completions and errors read."""

import base64
import email.utils
import json
import re
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from r2i.endpoint.base import Request

PLACEHOLDER = f"image-{uuid.uuid4().hex}"  # of an image's URL: no prompt of this process can hold it
MIME_TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}
# How a server's error names an option that it doesn't support, where it has no `param`.
OPTION_PATTERNS = {
    "n": r"(?<![\w\\])n(?!\w)",
    "seed": r"\bseed\b",
    "response_format": r"response_format|json_schema|guided|structured",
    "max_tokens": r"\bmax_completion_tokens\b",
}


class BadBodyError(ValueError):
    """A response that is no chat completion: a proxy's HTML page, cut JSON, an error with status 200."""


@dataclass(frozen=True)
class CompletionChoice:
    """One choice of a completion. `reason`: why it is no answer (`truncated`, `refused`, `empty`), or empty.

    `finish`: the server's finish_reason.
    """

    text: str
    reason: str
    finish: str = ""


@dataclass(frozen=True)
class Completion:
    """What one call returned. `tokens_in`: of the prompt, once; `tokens_out`: of all choices together.

    `seconds`: how long the call took.
    """

    choices: list[CompletionChoice]
    tokens_in: int = 0
    tokens_out: int = 0
    served_model: str = ""
    seconds: float = 0.0

    def tokens_of(self, place: int) -> tuple[int, int]:
        """Tokens in and out of choice `place`: the prompt counts on the first, the rest is shared equally."""
        share, rest = divmod(self.tokens_out, len(self.choices))
        return (0 if place else self.tokens_in), share + (place < rest)


def chat_body(model: str, request: Request, n: int, seed: int, left_out: Collection[str], form: bool) -> dict[str, Any]:
    """The body of one call for `n` samples: images first, then the text; `encode` fills in the images' URLs.

    `left_out`: options that the server doesn't support (keys of OPTION_PATTERNS); `form`: whether to ask for the
    request's JSON Schema.
    """
    content: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": PLACEHOLDER}} for _ in request.images]
    content.append({"type": "text", "text": request.prompt})
    longest = "max_completion_tokens" if "max_tokens" in left_out else "max_tokens"
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "temperature": request.sampling.temperature,
        "top_p": request.sampling.top_p,
        longest: request.sampling.max_tokens,
    }
    if n > 1:
        body["n"] = n
    if "seed" not in left_out:
        body["seed"] = seed
    if form and request.form and "response_format" not in left_out:
        body["response_format"] = {"type": "json_schema", "json_schema": {**json.loads(request.form), "strict": True}}
    return body


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


def read_completion(body: str) -> Completion:
    """The choices in the order of their index, and their tokens. Raises BadBodyError."""
    try:
        answer = json.loads(body)
        ordered = sorted(answer["choices"], key=lambda choice: choice.get("index") or 0)
        choices = [_read_choice(choice) for choice in ordered]
        usage = answer.get("usage") or {}
        tokens = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
        served = answer.get("model")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadBodyError(f"no chat completion: {body[:80]!r}") from error
    if not choices:
        raise BadBodyError("no choices")
    return Completion(choices, *tokens, served if isinstance(served, str) else "")


def _read_choice(choice: Mapping[str, Any]) -> CompletionChoice:
    message, finish = choice["message"], choice.get("finish_reason") or ""
    if finish in {"error", "abort"}:
        raise BadBodyError(f"finish_reason {finish}")
    text = message.get("content") or ""
    if isinstance(text, list):  # some servers send parts
        text = "".join(part.get("text") or "" for part in text)
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # half an emoji can't be stored
    if finish == "length":
        return CompletionChoice(text, "truncated", finish)
    if finish == "content_filter" or message.get("refusal"):
        return CompletionChoice(text, "refused", finish)
    return CompletionChoice(text, "" if text.strip() else "empty", finish)


@dataclass(frozen=True)
class ErrorBody:
    """The error that a server reports. `param`, `code`: as it names them, or empty."""

    message: str
    param: str = ""
    code: str = ""


def read_error(body: str) -> ErrorBody:
    """The error in a response; where it is no JSON, or JSON of another form, all of it is the message."""
    try:
        error = json.loads(body)["error"]
        if isinstance(error, str):
            return ErrorBody(error)
        return ErrorBody(str(error["message"]), str(error.get("param") or ""), str(error.get("code") or ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ErrorBody(body)


def refused_option(error: ErrorBody, options: Collection[str]) -> str | None:
    """The one of `options` that an HTTP 400 is about; None where it is about something else."""
    if error.param:
        return error.param if error.param in options else None
    named = (name for name, pattern in OPTION_PATTERNS.items() if re.search(pattern, error.message))
    return next((name for name in named if name in options), None)


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds of a Retry-After header (a number or a date), or 0."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0
