"""Models that answer: one `complete`, whether in process or behind a server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from r2i.core.params import Endpoint
from r2i.endpoint.base import Model, Picture, Reply, Request

if TYPE_CHECKING:
    from r2i.endpoint.remote import RemoteModel

__all__ = ["Model", "Picture", "Reply", "Request", "connect"]


_shared: dict[str, tuple["RemoteModel", int]] = {}  # connected models behind servers, and by how many


@contextmanager
def connect(params: Endpoint) -> Iterator[Model]:
    """The model that `params` name, until the block ends; a server that r2i started stops then.

    Equal params within one another give the same model behind a server: one limit, one vLLM. Raises
    EndpointError when it can't be loaded. A server is not called before a reply is missing from the store.
    Replies of a folder that vLLM serves are filed by its weights (r2i.endpoint.weights).
    """
    if params.kind == "local":
        import torch

        from r2i.endpoint.local import LocalModel

        torch.set_num_threads(params.threads)
        yield LocalModel(params.model, params.batch)
        return
    from r2i.endpoint.remote import RemoteModel
    from r2i.endpoint.weights import serve_by_weights

    params, filed = serve_by_weights(params)
    name = params.model_dump_json()
    model, users = _shared.get(name) or (RemoteModel(params, name=filed), 0)
    _shared[name] = model, users + 1
    try:
        yield model
    finally:
        model, users = _shared.pop(name)
        if users > 1:
            _shared[name] = model, users - 1
        else:
            model.close()
