"""Where MLflow runs go, and how they are written: what `r2i track` and a training that is followed live share.

An SQLite file in the state folder unless $MLFLOW_TRACKING_URI names another store. The store is a convenience;
when it is down nothing of the pipeline fails.
"""

import hashlib
import os
import re
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from r2i.core import paths

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "r2i"
CONNECT_S = 2.0  # longest wait for a server to show that it is there
LOCK_TAG, COMMIT_TAG, STAGE_TAG, DONE_TAG = "r2i.lock_sha256", "r2i.git_commit", "r2i.stage", "r2i.complete"
CURVE_TAG, LIVE_RUN_TAG = "r2i.curve_sha256", "r2i.live_run"  # of r2i.train.live's run; the stage's link to it
PARENT_TAG, NAME_TAG = "mlflow.parentRunId", "mlflow.runName"
LONGEST = 500  # characters of a param or a tag
LONGEST_NAME = 250  # characters of a name: MLflow's limit
LARGEST = 1.7e308  # a metric is a float
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}  # of databases whose address names none
ABOUT = (
    "One row is one `dvc.lock` at one git commit (`r2i track`), with a run for each stage below it. "
    "Metrics are shares of 1; all other numbers are in the runs of the stages."
)


class TrackingUnavailable(Exception):
    """The server can't be reached: a warning, not a failure."""


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, else an SQLite file in the state folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.state_folder().resolve() / 'mlflow.db'}"


def check_server(uri: str) -> None:
    """Return within CONNECT_S seconds; raise TrackingUnavailable where no server answers at `uri`.

    A thread asks, since neither the look-up of a name nor a host with many addresses keeps to a time-out.
    """
    if not urlsplit(uri).hostname:
        return  # a file or an SQLite database
    said: list[Exception | None] = []
    asking = threading.Thread(target=lambda: said.append(_ask_server(uri)), name="check-server", daemon=True)
    asking.start()
    asking.join(CONNECT_S)
    error = said[0] if said else TimeoutError(f"waited {CONNECT_S:g} s")
    if error:
        raise TrackingUnavailable(f"no answer from {without_password(uri)} ({first_line(error)})") from error


def _ask_server(uri: str) -> Exception | None:
    """What went wrong, or None where a server answers."""
    try:
        parts = urlsplit(uri)
        if parts.scheme in ("http", "https"):
            urllib.request.urlopen(without_password(uri).rstrip("/") + "/health", timeout=CONNECT_S).close()
        elif port := parts.port or PORTS.get(parts.scheme.partition("+")[0]):
            socket.create_connection((str(parts.hostname), port), timeout=CONNECT_S).close()
    except urllib.error.HTTPError:
        return None  # it answers: whether it takes the run is for MLflow to say
    except (OSError, ValueError, HTTPException) as error:
        return error
    return None


def without_password(uri: str) -> str:
    """`uri` without user name and password: for messages, params and tags."""
    return re.sub(r"(?<=://)[^/?#]*@", "", uri)


def flatten(value: Any, before: str = "") -> dict[str, Any]:
    """Nested mappings and lists as one level: `{"a": {"b": [1]}}` -> `{"a.b.0": 1}`."""
    if isinstance(value, Mapping):
        pairs = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        pairs = [(str(i), item) for i, item in enumerate(value)]
    else:
        return {before: value}
    start = f"{before}." if before else ""
    return {name: leaf for key, item in pairs for name, leaf in flatten(item, start + key).items()}


def numbers(value: Any) -> dict[str, float]:
    """The numeric leaves of a metrics file, flattened, under names that MLflow takes, each its own."""
    leaves = {
        name: float(leaf)
        for name, leaf in flatten(value).items()
        if isinstance(leaf, int | float) and not isinstance(leaf, bool) and abs(leaf) <= LARGEST
    }
    names = clean_names(leaves)
    return {names[name]: leaf for name, leaf in leaves.items()}


def store_errors() -> tuple[type[Exception], ...]:
    """What a store that can't be used raises: broken connections, refusals, a locked or foreign database, no driver."""
    from alembic.util.exc import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return OSError, ImportError, MlflowException, SQLAlchemyError, CommandError


def first_line(error: Exception) -> str:
    """Of its message, without passwords."""
    return without_password((str(error).splitlines() or [""])[0][:200]) or type(error).__name__


def connect(uri: str) -> "MlflowClient":
    """A client for `uri`; how MLflow logs in (MLFLOW_TRACKING_USERNAME, _PASSWORD, _TOKEN) is left to it."""
    quiet = {
        "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # with the password that it holds
    }  # fmt: skip
    for name, value in quiet.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def find_experiment(client: "MlflowClient", uri: str) -> str:
    """The id of our experiment in MLflow, made where it is missing."""
    found = client.get_experiment_by_name(EXPERIMENT)
    if found:
        return str(found.experiment_id)
    local = not urlsplit(uri).hostname  # a server chooses the place itself
    place = (paths.state_folder().resolve() / "mlartifacts").as_uri() if local else None
    tags = {"mlflow.experimentKind": "custom_model_development", "mlflow.note.content": ABOUT}  # else it opens as GenAI
    return str(client.create_experiment(EXPERIMENT, artifact_location=place, tags=tags))


def log_params(client: "MlflowClient", run: str, params: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    names = clean_names(params)
    entries = [Param(names[name], _safe(value)) for name, value in sorted(params.items())]
    in_batches(entries, 100, lambda batch: client.log_batch(run, params=batch))


def _safe(value: Any) -> str:
    text = clean_text(str(value))[:LONGEST]
    return without_password(text) if "://" in text else text


def clean_text(text: str) -> str:
    """Without half letters (lone surrogates), which no store takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def clean_name(name: str) -> str:
    """`name` as MLflow takes it for a metric, param or tag: letters, digits, `_-. /`, and a path in its plain form,
    so that `3D Depth/` becomes `3D Depth_`."""
    text = re.sub(r"[^\w\-. /]|^/|/\Z|/(?=/)", "_", name) or "_"
    if len(text) > LONGEST_NAME:
        text = f"{text[: LONGEST_NAME - 7]}_{_digest(name)}"
    return "/".join(part.replace(".", "_") if part in (".", "..") else part for part in text.split("/"))


def clean_names(names: Iterable[str]) -> dict[str, str]:
    """`clean_name` of each; of those that would share one, the changed ones get the start of their hash behind it."""
    found = {name: clean_name(name) for name in names}
    taken = {name for name, clean in found.items() if name == clean}
    for name in sorted(found.keys() - taken):
        if found[name] in taken:
            found[name] = f"{found[name][: LONGEST_NAME - 7]}_{_digest(name)}"
        taken.add(found[name])
    return found


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:6]


def in_batches(entries: list[Any], size: int, send: Callable[[list[Any]], Any]) -> None:
    """Send all of them. Those that MLflow refuses, by its own words, are left out with a warning, not the others."""
    for start in range(0, len(entries), size):
        _send(entries[start : start + size], send)


def _send(batch: list[Any], send: Callable[[list[Any]], Any]) -> None:
    from mlflow.exceptions import MlflowException

    try:
        send(batch)
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        if len(batch) == 1:
            print(f"warning: {batch[0].key!r} is not tracked: {first_line(error)}", file=sys.stderr, flush=True)
            return
        for entry in batch:
            _send([entry], send)
