"""Bodies of the chat-completions API, as values: what is sent, and how what comes back is read."""

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

HERE = f"image-{uuid.uuid4().hex}"  # where an image's address goes: no prompt of this process can hold it
TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}
# How a server names an option that it doesn't take, where its error has no `param`.
NAMED = {
    "n": r"(?<![\w\\])n(?!\w)",
    "seed": r"\bseed\b",
    "response_format": r"response_format|json_schema|guided|structured",
    "max_tokens": r"\bmax_completion_tokens\b",
}


class BadBody(ValueError):
    """A reply that is no chat completion: a proxy's HTML page, cut JSON, an error with status 200."""


@dataclass(frozen=True)
class Choice:
    """One choice: its text, and why it is no answer (`truncated`, `refused`, `empty`) or an empty reason."""

    text: str
    reason: str
    finish: str = ""


@dataclass(frozen=True)
class Completion:
    """What a call brought. `tokens_in`: of the prompt, once; `tokens_out`: of all choices together."""

    choices: list[Choice]
    tokens_in: int = 0
    tokens_out: int = 0
    served_model: str = ""

    def tokens(self, place: int) -> tuple[int, int]:
        """The part of choice `place`: the prompt is counted on the first, the replies' tokens are shared out."""
        share, rest = divmod(self.tokens_out, len(self.choices))
        return (0 if place else self.tokens_in), share + (place < rest)


def chat_body(model: str, request: Request, n: int, seed: int, left_out: Collection[str], form: bool) -> dict[str, Any]:
    """Images first, then the text; `encode` puts the addresses of the images in.

    `left_out`: options that the server doesn't take (keys of NAMED); `form`: ask for the request's JSON Schema.
    """
    content: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": HERE}} for _ in request.images]
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
    """The JSON of a `chat_body`, with the images' addresses in place.

    They are put in as bytes: JSON's encoder would look at each of their hundred thousands of characters.
    """
    parts = json.dumps(body).encode().split(HERE.encode())
    joined = [parts[0]]
    for address, part in zip(images, parts[1:], strict=True):
        joined += [address, part]
    return b"".join(joined)


def mime_type(data: bytes) -> str:
    """Told from the bytes. Raises ValueError for what is no JPEG or PNG: the type sent must be true."""
    for start, name in TYPES.items():
        if data.startswith(start):
            return name
    raise ValueError("an image is no JPEG or PNG")


def data_url(data: bytes) -> bytes:
    """Raises ValueError as `mime_type` does."""
    return b"".join((b"data:", mime_type(data).encode(), b";base64,", base64.b64encode(data)))


def read_completion(body: str) -> Completion:
    """The choices in the order of their index, and what they cost. Raises BadBody."""
    try:
        answer = json.loads(body)
        choices = [_read_choice(choice) for choice in sorted(answer["choices"], key=lambda one: one.get("index") or 0)]
        usage = answer.get("usage") or {}
        tokens = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
        served = answer.get("model")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadBody(f"no chat completion: {body[:80]!r}") from error
    if not choices:
        raise BadBody("no choices")
    return Completion(choices, *tokens, served if isinstance(served, str) else "")


def _read_choice(choice: Mapping[str, Any]) -> Choice:
    message, finish = choice["message"], choice.get("finish_reason") or ""
    if finish in {"error", "abort"}:
        raise BadBody(f"finish_reason {finish}")
    text = message.get("content") or ""
    if isinstance(text, list):  # some servers send parts
        text = "".join(part.get("text") or "" for part in text)
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # half an emoji can't be stored
    if finish == "length":
        return Choice(text, "truncated", finish)
    if finish == "content_filter" or message.get("refusal"):
        return Choice(text, "refused", finish)
    return Choice(text, "" if text.strip() else "empty", finish)


@dataclass(frozen=True)
class Complaint:
    """What the body of an error says. `param`, `code`: as the server names them, or empty."""

    message: str
    param: str = ""
    code: str = ""


def read_complaint(body: str) -> Complaint:
    """Also of bodies that are not JSON, or JSON of another form: then all of it is the message."""
    try:
        error = json.loads(body)["error"]
        if isinstance(error, str):
            return Complaint(error)
        return Complaint(str(error["message"]), str(error.get("param") or ""), str(error.get("code") or ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Complaint(body)


def refused_option(complaint: Complaint, options: Collection[str]) -> str | None:
    """The one of `options` that a 400 is about; None: it is about something else."""
    if complaint.param:
        return complaint.param if complaint.param in options else None
    return next(
        (name for name, pattern in NAMED.items() if name in options and re.search(pattern, complaint.message)), None
    )


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the server asks to wait (a number or a date), or 0."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0
