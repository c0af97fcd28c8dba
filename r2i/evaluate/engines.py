"""Which model is evaluated, and by what: in process, by a vLLM that r2i starts, or by any OpenAI-compatible server."""

from pathlib import Path

from r2i.core.errors import EndpointError
from r2i.core.params import Endpoint, Evaluate
from r2i.core.paths import MODELS


def choose_endpoint(name: str, cfg: Evaluate, base: str) -> Endpoint:
    """The endpoint of model `base`, `distilled` or `sft`: the one in params, else the model's folder in process.

    `base`: folder or hub id of the base model. Raises EndpointError where a trained model's folder does not exist.
    """
    given = dict(cfg.endpoints).get(name)  # type: ignore[call-overload]
    if given is None:
        return Endpoint(kind="local", model=find_model(name, base), batch=cfg.batch)
    if given.kind != "openai" and Path(given.model) == MODELS / name:
        find_model(name, base)
    return given


def find_model(name: str, base: str) -> str:
    """The folder (or, for `base`, folder or hub id) of model `base`, `distilled` or `sft`.

    Raises EndpointError where a trained model's folder does not exist.
    """
    if name == "base":
        return base
    folder = MODELS / name
    if not (folder / "config.json").is_file():
        run = "dapo" if name == "distilled" else name
        raise EndpointError(f"no model in {folder}", f"run `dvc repro train@{run}`")
    return str(folder)
