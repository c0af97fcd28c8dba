"""Bodies of the chat-completions API, as values: what is sent, and how what comes back is read."""

import base64
import email.utils
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from r2i.endpoint.base import Request

JPEG = b"\xff\xd8\xff"


class BadBody(ValueError):
    """A reply that is no chat completion: a proxy's HTML page, cut JSON, an error with status 200."""


@dataclass(frozen=True)
class Choice:
    """One choice: its text, and why it is no answer (`truncated`, `refused`, `empty`) or an empty reason."""

    text: str
    reason: str


def chat_body(model: str, request: Request, n: int, seed: int) -> dict[str, Any]:
    """Images first, then the text. Raises ValueError for image bytes that are no JPEG: the type sent must be true."""
    if not all(data.startswith(JPEG) for data in request.images):
        raise ValueError("an image is no JPEG")
    urls = [f"data:image/jpeg;base64,{base64.b64encode(data).decode()}" for data in request.images]
    content: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    content.append({"type": "text", "text": request.prompt})
    body = {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "temperature": request.sampling.temperature,
        "top_p": request.sampling.top_p,
        "max_tokens": request.sampling.max_tokens,
        "seed": seed,
    }
    return body | {"n": n} if n > 1 else body


def read_choices(body: str) -> list[Choice]:
    """The choices in the order of their index. Raises BadBody."""
    try:
        choices = json.loads(body)["choices"]
        if not choices:
            raise BadBody("no choices")
        return [_read_choice(choice) for choice in sorted(choices, key=lambda choice: choice.get("index") or 0)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadBody(f"no chat completion: {body[:80]!r}") from error


def _read_choice(choice: Mapping[str, Any]) -> Choice:
    message, finish = choice["message"], choice.get("finish_reason")
    if finish in {"error", "abort"}:
        raise BadBody(f"finish_reason {finish}")
    text = message.get("content") or ""
    if isinstance(text, list):  # some servers send parts
        text = "".join(part.get("text") or "" for part in text)
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # half an emoji can't be stored
    if finish == "length":
        return Choice(text, "truncated")
    if finish == "content_filter" or message.get("refusal"):
        return Choice(text, "refused")
    return Choice(text, "" if text.strip() else "empty")


def refuses_n(message: str) -> bool:
    """Whether the text of a 400 is about the parameter `n`."""
    return re.search(r"(?<![\w\\])n(?!\w)", message) is not None


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
