"""Models that answer, in process or behind a server, and the store of their replies."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from r2i.core.params import Endpoint
from r2i.endpoint.base import Model, Picture, Reply, Request

if TYPE_CHECKING:
    from r2i.endpoint.remote import RemoteModel

__all__ = ["Model", "Picture", "Reply", "Request", "connect"]


@dataclass
class _Connection:
    """A connected model behind a server, and by how many blocks it is used."""

    model: "RemoteModel"
    users: int = 0


_connections: dict[str, _Connection] = {}  # by the JSON of their params


@contextmanager
def connect(params: Endpoint) -> Iterator[Model]:
    """The model that `params` name, for the duration of the block; a server that r2i started stops at its end.

    Nested connects with equal params share one client: one limit, one vLLM. Raises EndpointError where a local model
    can't be loaded. A server is called, or started, when the first reply is missing from the store.
    """
    if params.kind == "local":
        import torch

        from r2i.endpoint.local import LocalModel

        torch.set_num_threads(params.threads)
        yield LocalModel(params.model, params.batch)
        return
    if params.kind == "ocr":
        from r2i.endpoint.ocr import OcrModel

        yield OcrModel(params.model)
        return
    from r2i.endpoint.remote import RemoteModel
    from r2i.endpoint.vllm import name_by_weights

    named = name_by_weights(params)
    key = named.params.model_dump_json()
    if key not in _connections:
        _connections[key] = _Connection(RemoteModel(named.params, name=named.name))
    connection = _connections[key]
    connection.users += 1
    try:
        yield connection.model
    finally:
        connection.users -= 1
        if not connection.users:
            del _connections[key]
            connection.model.close()
