"""One finished run written to MLflow: the parent with the headline, a nested run for each stage."""

import hashlib
import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2i.core import paths
from r2i.core.curve import read_curve
from r2i.core.errors import R2IError
from r2i.core.tracking import (
    COMMIT_TAG,
    CURVE_TAG,
    DONE_TAG,
    LIVE_RUN_TAG,
    LONGEST,
    NAME_TAG,
    PARENT_TAG,
    STAGE_TAG,
    clean_names,
    clean_text,
    flatten,
    in_batches,
    log_params,
    numbers,
)
from r2i.tools.track.finished import LOCK, PARAMS, Finished
from r2i.tools.track.headline import describe, headline
from r2i.tools.track.plots import draw_curves

if TYPE_CHECKING:
    from mlflow import MlflowClient

BATCH = 500  # metrics in one call; MLflow takes 1000, but not with any names
TAGS = 100  # in one call: MLflow takes no more
NOTE_TAG = "mlflow.note.content"
LONGEST_NOTE = 7_000  # characters: MLflow takes 8000 of a tag
READ = {"data/overlay/train": "training", "data/benchmark/items": "evaluation"}  # the parent's data sets


def write_run(client: "MlflowClient", experiment: str, finished: Finished) -> tuple[str, bool]:
    """The parent run's id, and whether anything was missing from it."""
    parent, done = _find_or_create(client, experiment, finished.identity, finished.name)
    with _ended(client, parent):
        return parent, _write_parent(client, experiment, parent, done, finished)


@contextmanager
def _ended(client: "MlflowClient", run: str) -> Iterator[None]:
    """A run whose writing fails is FAILED, not RUNNING for ever; the next `r2i track` goes on with it."""
    try:
        yield
    except Exception:
        with suppress(Exception):  # the store may be what failed
            client.set_terminated(run, "FAILED")
        raise


def _write_parent(client: "MlflowClient", experiment: str, parent: str, done: bool, finished: Finished) -> bool:
    """Whether anything was missing from it."""
    _set_tags(client, parent, finished.origin)  # a run that was tracked may become an experiment, or be committed
    if done:
        return False
    log_params(client, parent, finished.params)
    scores, rows = (numbers(_read_metrics(finished, paths.metrics(x))) for x in ("evaluate", "overlay"))
    found = headline(scores, rows, finished.models)
    _log_numbers(client, parent, found)
    _set_tags(client, parent, {NOTE_TAG: describe(found, finished.changed, finished.models), **_changed(finished)})
    stages = finished.run.own.stages
    everything = [dep for entry in stages.values() for dep in entry.get("deps", [])]
    for path, context in READ.items():
        _log_inputs(client, parent, [dep for dep in everything if dep["path"] == path][:1], context)
    for name, entry in reversed(list(stages.items())):  # MLflow lists the newest first: the pipeline's order
        _write_stage(client, experiment, parent, finished, name, entry)
    _log_files(client, parent, finished)
    client.set_tag(parent, DONE_TAG, "true")  # last: its existence means that all of the above is there
    client.set_terminated(parent)
    return True


def _changed(finished: Finished) -> dict[str, str]:
    text = ", ".join(f"{name} {change}" for name, change in finished.changed.items())
    return {"r2i.params_changed": text} if text else {}


def _log_files(client: "MlflowClient", run: str, finished: Finished) -> None:
    for path in (paths.REPORT, PARAMS, LOCK):
        if source := finished.owned(path):
            client.log_artifact(run, str(source))
    for source in _owned_in(finished, paths.metrics("*")):
        client.log_artifact(run, str(source), "metrics")
    with tempfile.TemporaryDirectory(prefix="r2i-track-") as made:
        for source in _owned_in(finished, paths.TRAIN_LOGS / "*.json"):
            if lines := read_curve(source):
                picture = Path(made) / f"{source.stem}.png"
                draw_curves(lines, f"train@{source.stem}", picture)
                client.log_artifact(run, str(picture), "plots")


def _owned_in(finished: Finished, pattern: Path) -> list[Path]:
    found = sorted(path.relative_to(finished.folder) for path in finished.folder.glob(str(pattern)))
    return [source for path in found if (source := finished.owned(path))]


def _write_stage(
    client: "MlflowClient", experiment: str, parent: str, finished: Finished, name: str, entry: Mapping[str, Any]
) -> None:
    run, done = _find_or_create(client, experiment, {**finished.identity, PARENT_TAG: parent, STAGE_TAG: name}, name)
    if done:
        return
    with _ended(client, run):
        _fill_stage(client, experiment, run, finished, name, entry)


def _fill_stage(
    client: "MlflowClient", experiment: str, run: str, finished: Finished, name: str, entry: Mapping[str, Any]
) -> None:
    for section in entry.get("params", {}).values():
        log_params(client, run, flatten(section))
    outs = entry.get("outs", [])
    _set_tags(client, run, {f"r2i.out.{out['path']}": _digest(out) for out in outs})
    for out in outs:
        if out["path"].startswith("metrics/"):
            _log_numbers(client, run, numbers(_read_metrics(finished, Path(out["path"]))))
    _log_inputs(client, run, [x for x in entry.get("deps", []) if x["path"].startswith(("data/", "models/"))], "input")
    if name.startswith("train@"):
        curve = finished.folder / paths.TRAIN_LOGS / f"{name.partition('@')[2]}.json"
        _log_curve(client, run, curve)
        _link_live_run(client, experiment, run, curve)
    client.set_tag(run, DONE_TAG, "true")
    client.set_terminated(run)


def _find_or_create(client: "MlflowClient", experiment: str, tags: dict[str, str], name: str) -> tuple[str, bool]:
    """The run with just these tags, and whether it is complete. A parent has no parent tag."""
    wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    for run in client.search_runs([experiment], wanted):
        if (PARENT_TAG in run.data.tags) == (PARENT_TAG in tags):
            return run.info.run_id, run.data.tags.get(DONE_TAG) == "true"
    shown = {
        "mlflow.source.git.commit": tags[COMMIT_TAG], "mlflow.source.type": "PROJECT",
        "mlflow.source.name": "dvc.yaml", NAME_TAG: name,
    }  # fmt: skip
    return client.create_run(experiment, tags={**tags, **shown}).info.run_id, False


def _read_metrics(finished: Finished, path: Path) -> dict[str, Any]:
    """{} where there are none, or they are not of this run."""
    source = finished.owned(path)
    if source is None:
        return {}
    try:
        return dict(json.loads(source.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise R2IError(f"{path} is not a JSON object ({error})", "run `dvc repro`") from error


def _set_tags(client: "MlflowClient", run: str, tags: Mapping[str, str]) -> None:
    from mlflow.entities import RunTag

    names = clean_names(tags)
    limits = {NOTE_TAG: LONGEST_NOTE}
    entries = [RunTag(names[name], clean_text(text)[: limits.get(name, LONGEST)]) for name, text in tags.items()]
    in_batches(entries, TAGS, lambda batch: client.log_batch(run, tags=batch))


def _log_numbers(client: "MlflowClient", run: str, values: Mapping[str, float]) -> None:
    from mlflow.entities import Metric

    entries = [Metric(name, value, _now_ms(), 0) for name, value in values.items()]
    in_batches(entries, BATCH, lambda batch: client.log_batch(run, metrics=batch))


def _now_ms() -> int:
    return int(time.time() * 1000)


def _log_curve(client: "MlflowClient", run: str, path: Path) -> None:
    """The training curve in `path` as metrics over steps."""
    from mlflow.entities import Metric

    lines = read_curve(path)
    entries = [
        Metric(f"curve/{key}", value, _now_ms(), int(line.get("step", i)))
        for i, line in enumerate(lines)
        for key, value in numbers(line).items()
        if key != "step"
    ]
    in_batches(entries, BATCH, lambda batch: client.log_batch(run, metrics=batch))


def _link_live_run(client: "MlflowClient", experiment: str, run: str, curve: Path) -> None:
    """Tag `run` with the run that was written while this very curve came about, where there is one; list it below."""
    if not curve.is_file():
        return
    wanted = f"tags.`{CURVE_TAG}` = '{hashlib.sha256(curve.read_bytes()).hexdigest()}'"
    for live in client.search_runs([experiment], wanted, max_results=1):
        client.set_tag(run, LIVE_RUN_TAG, live.info.run_id)
        if PARENT_TAG not in live.data.tags:
            client.set_tag(live.info.run_id, PARENT_TAG, run)


def _log_inputs(client: "MlflowClient", run: str, deps: Iterable[Mapping[str, Any]], context: str) -> None:
    """Data that was read, with DVC's hash as digest; code is left to the git commit."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = [
        DatasetInput(
            Dataset(dep["path"], _digest(dep), "dvc", json.dumps({"uri": dep["path"]}), profile=_profile(dep)),
            [InputTag("mlflow.data.context", context)],
        )
        for dep in deps
    ]
    if inputs:
        client.log_inputs(run, inputs)


def _profile(dep: Mapping[str, Any]) -> str:
    return json.dumps({key: dep[name] for key, name in (("bytes", "size"), ("files", "nfiles")) if name in dep})


def _digest(entry: Mapping[str, Any]) -> str:
    return str(entry.get("md5") or "unknown")[:36]
