"""Which model is evaluated, and by what: in process, by a vLLM that r2i starts, or by any OpenAI-compatible server."""

from pathlib import Path

from r2i.core.errors import EndpointError
from r2i.core.names import BASE, OBJECTIVES
from r2i.core.params import Endpoint, Evaluate, RegisteredModel
from r2i.core.paths import MODELS


def choose_endpoint(name: str, model: RegisteredModel, cfg: Evaluate, base: str) -> Endpoint:
    """The endpoint of the model that is registered as `name`: the one in params, else the model itself by the engine.

    `base`: folder or hub id of the base model. Raises EndpointError where a trained model's folder does not exist.
    """
    given = cfg.endpoints.get(name)
    if given is None:
        return Endpoint(kind=cfg.engine, model=find_model(model, base), batch=cfg.batch)
    if given.kind != "openai" and Path(given.model) == Path(model.needs):
        find_model(model, base)
    return given


def endpoint_in_process(endpoint: Endpoint, cfg: Evaluate) -> Endpoint | None:
    """The same weights in this process, where attention is seen; None where they are behind a server of others, or
    where it is a reader of text that has none to show."""
    if endpoint.kind not in ("local", "vllm"):
        return None
    return endpoint if endpoint.kind == "local" else Endpoint(kind="local", model=endpoint.model, batch=cfg.batch)


def find_model(model: RegisteredModel, base: str) -> str:
    """Its folder or hub id. Raises EndpointError where a trained model's folder does not exist."""
    if model.from_ == BASE:
        return base
    run = next((run for run in OBJECTIVES if run == model.from_), None)
    if run is None:
        return model.from_
    folder = MODELS / OBJECTIVES[run].folder
    if not (folder / "config.json").is_file():
        raise EndpointError(f"no model in {folder}", f"run `dvc repro train@{run}`")
    return str(folder)
