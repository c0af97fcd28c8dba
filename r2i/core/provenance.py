"""Where a reply came from: the same five columns wherever a model was called."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

import pyarrow as pa

from r2i.core.params import Sampling

CALL = [
    pa.field("model", pa.string(), metadata={"doc": "model that replied"}),
    pa.field("endpoint", pa.string(), metadata={"doc": "kind of its endpoint: local | openai | vllm"}),
    pa.field("prompt_sha256", pa.string(), metadata={"doc": "of the prompt template's file"}),
    pa.field(
        "sampling", pa.string(), metadata={"doc": "JSON: temperature, top_p, max_tokens, max_pixels of images if set"}
    ),
    pa.field("reply_key", pa.string(), metadata={"doc": "of the reply in the store: `r2i replies show` takes it"}),
]
CALL_TYPE = pa.struct([(field.name, field.type) for field in CALL])
NO_CALL = {field.name: "" for field in CALL}


class Asked(Protocol):
    """What is used of a request (r2i.endpoint.base.Request)."""

    @property
    def prompt_sha256(self) -> str: ...
    @property
    def sampling(self) -> Sampling: ...


class Given(Protocol):
    """What is used of a reply (r2i.endpoint.base.Reply)."""

    @property
    def model(self) -> str: ...
    @property
    def key(self) -> str: ...


def call_of(kind: str, asked: Asked, given: Given, max_pixels: int | None = None) -> dict[str, str]:
    """The columns of CALL. `kind`: of the endpoint; `max_pixels`: to which the request's images were scaled down."""
    sampling: Mapping[str, Any] = asked.sampling.model_dump()
    if max_pixels is not None:
        sampling = {**sampling, "max_pixels": max_pixels}
    return {
        "model": given.model,
        "endpoint": kind,
        "prompt_sha256": asked.prompt_sha256,
        "sampling": json.dumps(sampling, sort_keys=True, separators=(",", ":")),
        "reply_key": given.key,
    }
