"""What our server is told, and what it says: values, shared by the server, the clients and the checks."""

import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple

FAULTS = (
    "429", "429_after", "500", "503_html", "stall", "stall_in_body", "cut_in_body", "bad_json", "no_choices",
    "fewer_choices", "length", "refusal",
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """How the server behaves. A share `faults` of all attempts fails, each kind of `kinds` as often.

    `capacity`: sequences under way at once, for each model; what is beyond waits in a queue, or gets a 429 with
    `reject`. A request with n samples is n sequences. `latency_s` (mean), `sigma`: of one sequence, lognormal.
    `script`: (part of a prompt, replies) for prompts that need certain ones; of several one is drawn.
    """

    capacity: int = 256
    reject: bool = False
    latency_s: float = 0.0
    sigma: float = 0.5
    faults: float = 0.0
    kinds: tuple[str, ...] = FAULTS
    retry_after_s: float = 0.05
    seed: int = 0
    script: tuple[tuple[str, ...], ...] = ()


class Call(NamedTuple):
    """What makes a call: two equal ones ask for the same samples."""

    model: str
    prompt: str
    seed: int
    n: int


def say(prompt: str, seed: int, index: int) -> str:
    """The reply to `prompt` with `seed`, choice `index`."""
    digest = hashlib.sha256(f"{prompt}\0{seed}\0{index}".encode()).hexdigest()
    return f"seed {seed}, choice {index}: {digest[:16]}"


def draw(replies: tuple[str, ...], prompt: str, seed: int, index: int) -> str:
    """One of `replies`, by the hash that `say` writes."""
    return replies[int(say(prompt, seed, index)[-16:], 16) % len(replies)]


def read_call(body: dict[str, Any]) -> tuple[Call, int]:
    """The call, and its number of images."""
    content = [part for message in body["messages"] for part in _parts(message["content"])]
    prompt = "".join(part["text"] for part in content if part["type"] == "text")
    images = sum(part["type"] == "image_url" for part in content)
    return Call(body["model"], prompt, int(body.get("seed") or 0), int(body.get("n") or 1)), images


def _parts(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def completion(call: Call, images: int, texts: list[str], finish: str) -> dict[str, Any]:
    """The body of a chat completion. Tokens are made up of the lengths."""
    choices = [
        {"index": index, "finish_reason": finish, "message": {"role": "assistant", "content": text}}
        for index, text in enumerate(texts)
    ]
    tokens_in, tokens_out = 256 * images + len(call.prompt) // 4, sum(len(text) // 4 for text in texts)
    usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
    made = {"id": "1", "object": "chat.completion", "created": 0, "model": call.model}
    return made | {"choices": choices, "usage": usage}
