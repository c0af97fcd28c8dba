"""Models that answer: one `complete`, whether in process or behind a server."""

from r2i.endpoint.base import Model, Reply, Request
from r2i.params import Endpoint

__all__ = ["Model", "Reply", "Request", "connect"]


def connect(params: Endpoint) -> Model:
    """The model that `params` names. Raises EndpointError when it can't be loaded."""
    if params.kind == "local":
        import torch

        from r2i.endpoint.local import LocalModel

        torch.set_num_threads(params.threads)
        return LocalModel(params.model, params.batch)
    from r2i.endpoint.remote import RemoteModel

    return RemoteModel(params)
