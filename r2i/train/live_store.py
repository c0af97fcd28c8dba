"""One MLflow run that takes a training's lines. All methods but `waits_s` are called from one thread."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from filelock import FileLock

from r2i.core import paths, tracking
from r2i.core.curve import Line
from r2i.repo.git import head_commit

if TYPE_CHECKING:
    from mlflow import MlflowClient

LIVE_TAG, FINGERPRINT_TAG = "r2i.live", "r2i.fingerprint"
BATCH = 1000  # metrics that MLflow takes in one call


class LiveStore:
    """`uri`: of MLflow's store. Raises whatever that store raises."""

    def __init__(self, uri: str, stage: str, params: Mapping[str, Any], fingerprint: str) -> None:
        self.uri, self.params = uri, params
        self.name = tracking.without_password(uri)
        self.tags = {LIVE_TAG: "true", tracking.STAGE_TAG: stage, FINGERPRINT_TAG: fingerprint}
        self._began: float | None = None  # of the call that is under way

    def waits_s(self) -> float:
        """Seconds for which a server has not answered; 0 for a file, which takes as long as it takes."""
        began = self._began
        return time.monotonic() - began if began and urlsplit(self.uri).hostname else 0.0

    def open(self) -> None:
        """Find the run that goes on, or make one."""
        with self._call():
            tracking.check_server(self.uri)
        folder = paths.state_folder().resolve()
        folder.mkdir(parents=True, exist_ok=True)
        client = tracking.connect(self.uri)  # imports mlflow: seconds that are not the server's
        with FileLock(folder / "mlflow.lock"), self._call():  # a fresh database takes one process
            self.client, self.run = client, self._find_run(client)

    def send(self, items: list[tuple[str, Any]]) -> None:
        """`("line", (step, milliseconds, line))`, `("tag", (name, text))` and, last, `("status", text)`."""
        from mlflow.entities import Metric

        metrics = [
            Metric(key, value, at, step)
            for kind, told in items
            if kind == "line"
            for step, at, line in [told]
            for key, value in self._unknown(step, line)
        ]
        tracking.in_batches(metrics, BATCH, self._do(lambda batch: self.client.log_batch(self.run, metrics=batch)))
        for kind, told in items:
            if kind == "tag":
                self._do(self.client.set_tag)(self.run, told[0], told[1][: tracking.LONGEST])
            elif kind == "status":
                self._do(self.client.set_terminated)(self.run, told)

    def _find_run(self, client: "MlflowClient") -> str:
        experiment = tracking.find_experiment(client, self.uri)
        wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in self.tags.items())
        self._known: dict[str, set[tuple[int, float]]] | None = None
        for run in client.search_runs([experiment], wanted, max_results=10):
            if run.info.status != "FINISHED":  # killed, failed, or cut off
                self._known = {}
                client.update_run(run.info.run_id, status="RUNNING")
                return str(run.info.run_id)
        shown = {tracking.COMMIT_TAG: head_commit(), tracking.NAME_TAG: f"{self.tags[tracking.STAGE_TAG]} live"}
        made = str(client.create_run(experiment, tags={**self.tags, **shown}).info.run_id)
        tracking.log_params(client, made, tracking.flatten(self.params))
        return made

    def _unknown(self, step: int, line: Line) -> Iterator[tuple[str, float]]:
        """What the run doesn't hold: a training that goes on tells its earlier lines again."""
        for key, value in tracking.numbers(line).items():
            if key == "step":
                continue
            if self._known is not None and key not in self._known:
                history = self._do(self.client.get_metric_history)(self.run, key)
                self._known[key] = {(point.step, point.value) for point in history}
            if self._known is None or (step, value) not in self._known[key]:
                yield key, value

    def _do(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*told: Any) -> Any:
            with self._call():
                return call(*told)

        return timed

    @contextmanager
    def _call(self) -> Iterator[None]:
        self._began = time.monotonic()
        try:
            yield
        finally:
            self._began = None
