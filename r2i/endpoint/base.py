"""What every endpoint takes and gives."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from r2i.images import sha256
from r2i.params import Sampling

SCHEMA = 1  # of keys: raise it when the meaning of a request changes


@dataclass(frozen=True)
class Request:
    """One prompt, asked `n` times.

    `images`: JPEG bytes, shown before the text in this order. `seed`: of this request alone; sample
    i of it is drawn with (seed, i). `prompt_sha256`: of the template, for provenance.
    """

    prompt: str
    images: tuple[bytes, ...]
    sampling: Sampling
    seed: int
    n: int = 1
    prompt_sha256: str = ""

    def key(self, model: str, sample: int) -> str:
        """sha256 of all that determines sample `sample`; the server's address is no part of it."""
        parts = {
            "schema": SCHEMA,
            "model": model,
            "prompt": self.prompt,
            "images": [sha256(data) for data in self.images],
            "sampling": self.sampling.model_dump(),
            "seed": self.seed,
            "sample": sample,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True)
class Reply:
    """One sample.

    `status`: `ok`, or `failed` with a `reason`: `truncated` (cut by length; `text` holds what came),
    `empty`, `refused`, `bad_request`, `server_error`, `timeout`, ...: never an answer.
    """

    text: str
    status: str
    reason: str
    key: str
    model: str


class Model(Protocol):
    """The one seam to fake in tests."""

    def complete(self, requests: Sequence[Request]) -> list[list[Reply]]:
        """`n` replies for each request, in order. Raises EndpointError when no call can succeed."""
        ...
