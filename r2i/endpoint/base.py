"""What every endpoint takes and gives."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from r2i.core.images import sha256, shrink
from r2i.core.params import Price, Sampling

SCHEMA = 2  # of keys and records: raise it when the meaning of a request changes


class Picture:
    """A JPEG that is read when it is needed, so that a million requests hold no pixels.

    `load` gives the bytes, the same each time; they are kept by whoever made the picture, not here.
    """

    def __init__(self, load: Callable[[], bytes], name: str | None = None) -> None:
        self.load = load
        self._name = name

    @classmethod
    def of(cls, data: bytes) -> "Picture":
        """A picture that is in memory."""
        return cls(lambda: data)

    @property
    def name(self) -> str:
        """sha256 of the bytes; of a picture scaled down by `within`, a hash of how it was made."""
        if self._name is None:
            self._name = sha256(self.load())
        return self._name

    def within(self, max_pixels: int | None) -> "Picture":
        """This picture with at most `max_pixels` (width x height), scaled down where it has more; None: as it is."""
        if max_pixels is None:
            return self
        made = hashlib.sha256(f"{self.name}\0within\0{max_pixels}".encode()).hexdigest()
        return Picture(lambda: shrink(self.load(), max_pixels), made)


@dataclass(frozen=True)
class Request:
    """One prompt, asked `n` times.

    `images`: JPEGs (bytes or Pictures), shown before the text in this order. `seed`: of this request
    alone; sample i of it is drawn with (seed, i). `prompt_sha256`: of the template, for provenance.
    `form`: name and JSON Schema that the reply must fit, as JSON whose properties stand in the order in which they
    are to be written; servers that can, enforce it.
    """

    prompt: str
    images: tuple[Picture, ...]
    sampling: Sampling
    seed: int
    n: int = 1
    prompt_sha256: str = ""
    form: str | None = None

    def __post_init__(self) -> None:
        pictures = tuple(image if isinstance(image, Picture) else Picture.of(image) for image in self.images)
        object.__setattr__(self, "images", pictures)

    def parts(self, model: str, enforced: bool = False) -> dict[str, Any]:
        """All that determines the replies; the server's address and `n` are no part of it.

        `enforced`: whether the endpoint asks the server to hold the reply to `form`.
        """
        parts: dict[str, Any] = {
            "schema": SCHEMA,
            "model": model,
            "prompt": self.prompt,
            "images": [picture.name for picture in self.images],
            "sampling": self.sampling.model_dump(),
            "seed": self.seed,
        }
        return parts | {"form": self.form} if enforced and self.form else parts

    def key(self, model: str, enforced: bool = False) -> str:
        """sha256 of the canonical JSON of `parts`: replies are filed under it."""
        return hashlib.sha256(canonical(self.parts(model, enforced)).encode()).hexdigest()


def canonical(value: Any) -> str:
    """JSON in one form: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def sample_key(request_key: str, sample: int) -> str:
    """What a row keeps as `reply_key`: `r2i replies show` takes it."""
    return f"{request_key}/{sample}"


@dataclass(frozen=True)
class Reply:
    """One sample.

    `status`: `ok`, or `failed` with a `reason`: `truncated` (cut by length; `text` holds what came),
    `empty`, `refused`, `bad_request`, `server_error`, `timeout`, ...: never an answer. Tokens are this
    sample's part of its call: the prompt's count on the call's first sample, 0 on the others.
    """

    text: str
    status: str
    reason: str
    key: str
    model: str
    tokens_in: int = 0
    tokens_out: int = 0


class Model(Protocol):
    """The one seam to fake in tests.

    A model behind a server has a coroutine `ask` as well (r2i.endpoint.remote), so that the calls of
    all its requests are in flight together.
    """

    name: str

    def complete(self, requests: Sequence[Request]) -> list[list[Reply]]:
        """`n` replies for each request, in order. Raises EndpointError when no call can succeed."""
        ...


def cost_of(tokens_in: float, tokens_out: float, price: Price | None) -> float | None:
    """In the price's currency; None where no price is known."""
    return None if price is None else (tokens_in * price.input + tokens_out * price.output) / 1e6
