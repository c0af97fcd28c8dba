"""Requests, replies, and the interface of a model that answers."""

import hashlib
import json
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from r2i.core.images import sha256, shrink
from r2i.core.params import Price, Sampling

SCHEMA = 2  # of keys and records: raise it when the meaning of a request changes


class Picture:
    """A JPEG that is loaded on demand, so that a million requests hold no pixels.

    `load` returns the bytes, the same at every call; caching them is up to whoever made the picture.
    """

    def __init__(self, load: Callable[[], bytes], name: str | None = None) -> None:
        self.load = load
        self._name = name

    @classmethod
    def of(cls, data: bytes) -> "Picture":
        """The picture of bytes that are in memory."""
        return cls(lambda: data)

    @property
    def name(self) -> str:
        """sha256 of the bytes; of a picture that `within` scaled down, a hash of the original's name and the limit."""
        if self._name is None:
            self._name = sha256(self.load())
        return self._name

    def within(self, max_pixels: int | None) -> "Picture":
        """This picture with at most `max_pixels` (width x height), scaled down where it has more; None: as it is."""
        if max_pixels is None:
            return self
        name = hashlib.sha256(f"{self.name}\0within\0{max_pixels}".encode()).hexdigest()
        return Picture(lambda: shrink(self.load(), max_pixels), name)


class Turn(NamedTuple):
    """A message of a conversation so far. `images`: how many of the request's it shows, before its text."""

    role: str
    text: str
    images: int = 0


@dataclass(frozen=True)
class Request:
    """One prompt with its images, sampled `n` times.

    `images`: JPEGs (bytes or Pictures), shown before the text in this order, or after it with `text_first`. `seed`: of
    this request alone; sample i of it is drawn with (seed, i). `prompt_sha256`: of the template, for provenance.
    `before`: what was said until now; its images stand before the prompt's in `images`.
    `form`: the name and JSON Schema of the reply, as JSON; its properties stand in the order in which the model is to
    write them. Servers with structured outputs enforce it.
    """

    prompt: str
    images: tuple[Picture, ...]
    sampling: Sampling
    seed: int
    n: int = 1
    prompt_sha256: str = ""
    form: str | None = None
    text_first: bool = False
    before: tuple[Turn, ...] = ()

    def __post_init__(self) -> None:
        pictures = tuple(image if isinstance(image, Picture) else Picture.of(image) for image in self.images)
        object.__setattr__(self, "images", pictures)

    def parts(self, model: str, enforced: bool = False) -> dict[str, Any]:
        """Everything that determines the replies: neither the server's address nor `n` does.

        `enforced`: whether the endpoint asks the server to enforce `form`.
        """
        parts: dict[str, Any] = {
            "schema": SCHEMA,
            "model": model,
            "prompt": self.prompt,
            "images": [picture.name for picture in self.images],
            "sampling": self.sampling.model_dump(),
            "seed": self.seed,
        }
        parts |= {"form": self.form} if enforced and self.form else {}
        parts |= {"text_first": True} if self.text_first else {}
        return parts | {"before": [list(turn) for turn in self.before]} if self.before else parts

    @property
    def turns(self) -> tuple[Turn, ...]:
        """All messages after the system's, the prompt as the last."""
        shown = sum(turn.images for turn in self.before)
        return (*self.before, Turn("user", self.prompt, len(self.images) - shown))

    def key(self, model: str, enforced: bool = False) -> str:
        """The sha256 of `parts` under which the store files the replies."""
        return key_of(self.parts(model, enforced))


def canonical(value: Any) -> str:
    """Canonical JSON: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def key_of(parts: Mapping[str, Any]) -> str:
    """sha256 of the canonical JSON of a request's `parts`."""
    return hashlib.sha256(canonical(parts).encode()).hexdigest()


def sample_key(request_key: str, sample: int) -> str:
    """The key of one sample, which rows keep as `reply_key` and `r2i replies show` takes."""
    return f"{request_key}/{sample}"


@dataclass(frozen=True)
class Reply:
    """One sample of a request.

    `status`: `ok`, or `failed` with a `reason`, which is never an answer: `truncated` (stopped by the length limit;
    `text` holds what came), `empty`, `refused`, `bad_request`, `server_error`, `timeout`, ... `tokens_in`: of the
    prompt, on the first sample of a call, 0 on its others; `tokens_out`: of this sample.
    """

    text: str
    status: str
    reason: str
    key: str
    model: str
    tokens_in: int = 0
    tokens_out: int = 0


def differ(one: Reply, other: Reply) -> bool:
    """Whether two replies to one request are different ones: what they cost is no part of that."""
    return (one.text, one.status, one.reason) != (other.text, other.status, other.reason)


class LoadedModel(NamedTuple):
    """A Qwen-VL in this process's memory: the Transformers model, and the processor of its text and images."""

    model: Any
    processor: Any


class Model(Protocol):
    """A model that answers, in process or behind a server. Tests replace it, and nothing below it.

    `name`: under which its replies are filed. `kind`: of its endpoint (`local`, `openai`, `vllm`, `ocr`). `price`: None
    where params give none. `weights`: None where they are in no memory of this process.
    """

    name: str
    kind: str
    price: Price | None
    loaded: LoadedModel | None

    def complete(self, requests: Sequence[Request]) -> list[list[Reply]]:
        """`n` replies for each request, in order. Raises EndpointError when no call can succeed."""
        ...


class ServedModel(Model):
    """A model behind a server: any number of its requests can be in flight together."""

    loaded = None

    @abstractmethod
    async def ask(self, request: Request) -> list[Reply]:
        """The `n` replies to one request. Raises EndpointError when no call can succeed."""

    @abstractmethod
    def is_stored(self, request: Request) -> bool:
        """Whether all replies to `request` are in the store, so that asking for them costs nothing."""

    @abstractmethod
    def progress(self) -> str:
        """Calls, rate, errors, tokens and cost so far, for the progress line; empty before the first call."""

    def check_end(self) -> None:
        """Raises EndpointError where a run that ended well so far shows that no call can succeed."""

    @abstractmethod
    async def settle(self, grace_s: float) -> None:
        """End a run: calls in flight have `grace_s` seconds to come back and be stored, then they are cancelled."""


def cost_of(tokens_in: float, tokens_out: float, price: Price | None) -> float | None:
    """The cost of so many prompt and reply tokens, in the currency of `price`; None without a price."""
    return None if price is None else (tokens_in * price.input + tokens_out * price.output) / 1e6
