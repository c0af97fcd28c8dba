"""A training in MLflow while it trains: there at once, one run through kills, and never in the way."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from filelock import FileLock
from made_run import make_run, write_params

from r2i.core.tracking import CURVE_TAG, LIVE_RUN_TAG, STAGE_TAG
from r2i.tools.track import track
from r2i.train.live import live_run
from r2i.train.watch import CollapseWarning

PARAMS = {"dapo": {"lr": 1e-4}, "base": "models/mini"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "R2I_LIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def runs(folder: Path) -> list[Any]:
    """What is there by now; under the lock, since two processes can't make one database."""
    from mlflow import MlflowClient

    if not (folder / ".r2i" / "mlflow.lock").exists():
        return []
    with FileLock(folder / ".r2i" / "mlflow.lock"):
        client = MlflowClient(tracking_uri=f"sqlite:///{folder}/.r2i/mlflow.db")
        found = client.get_experiment_by_name("r2i")
        return list(client.search_runs([found.experiment_id])) if found else []


def history(folder: Path, run: Any, key: str) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/.r2i/mlflow.db")
    return sorted((point.step, point.value) for point in client.get_metric_history(run.info.run_id, key))


def test_lines_are_there_while_it_trains_with_params_warnings_and_the_curve(folder: Path) -> None:
    curve = folder / "dapo.json"
    curve.write_text("{}\n")
    with live_run("train@dapo", PARAMS, "f1") as live:
        live(1, 2, {"accuracy": 0.25, "loss": 1.0})
        end = time.monotonic() + 60  # a fresh database takes some seconds
        while not ((found := runs(folder)) and found[0].data.metrics):
            assert time.monotonic() < end
            time.sleep(0.2)
        assert found[0].info.status == "RUNNING" and found[0].data.metrics == {"accuracy": 0.25, "loss": 1.0}
        live(2, 2, {"accuracy": 0.5, "loss": 0.5})
        live.warn(CollapseWarning("format", "closed answer spans fall"))
        live.tag_curve(curve)
    (run,) = runs(folder)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"dapo.lr": "0.0001", "base": "models/mini"}
    assert run.data.tags[STAGE_TAG] == "train@dapo" and run.data.tags["r2i.live"] == "true"
    assert run.data.tags["r2i.warning.format"] == "closed answer spans fall"
    assert run.data.tags[CURVE_TAG].startswith("ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356")
    assert history(folder, run, "accuracy") == [(1, 0.25), (2, 0.5)]


@pytest.mark.parametrize(("raised", "status"), [(ValueError("x"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_how_it_ended(folder: Path, raised: BaseException, status: str) -> None:
    with pytest.raises(type(raised)), live_run("train@dapo", {}, "f1"):
        raise raised
    assert [run.info.status for run in runs(folder)] == [status]


def test_one_that_goes_on_is_the_same_run_and_tells_no_line_twice(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt), live_run("train@dapo", PARAMS, "f1") as live:
        live(1, 3, {"accuracy": 0.25})
        live(2, 3, {"accuracy": 0.5})
        raise KeyboardInterrupt
    with live_run("train@dapo", {**PARAMS, "base": "moved"}, "f1") as live:
        for step in (1, 2, 3):
            live(step, 3, {"accuracy": 0.25 * step})
    (run,) = runs(folder)
    assert history(folder, run, "accuracy") == [(1, 0.25), (2, 0.5), (3, 0.75)]
    assert (run.info.status, run.data.params["base"]) == ("FINISHED", "models/mini")
    with live_run("train@dapo", {}, "f1"), live_run("train@sft", {}, "f2"):
        pass
    assert len(runs(folder)) == 3  # a finished one is not gone on with; another stage is another run


def test_kill_9_leaves_a_run_that_is_gone_on_with(folder: Path) -> None:
    code = (
        "import time\nfrom r2i.train.live import live_run\n"
        "with live_run('train@dapo', {}, 'f1') as live:\n    live(1, 2, {'loss': 1.0}); print('on', flush=True)\n"
        "    time.sleep(600)\n"
    )
    given = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, "-c", code], env=given, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline()
        end = time.monotonic() + 240  # it waits for a database to be made
        while not ((found := runs(folder)) and found[0].data.metrics):
            assert time.monotonic() < end
            time.sleep(0.2)
        child.send_signal(signal.SIGKILL)
    with live_run("train@dapo", {}, "f1") as live:
        live(2, 2, {"loss": 0.5})
    (run,) = runs(folder)
    assert history(folder, run, "loss") == [(1, 1.0), (2, 0.5)]


def test_the_tracked_stage_names_the_run_that_was_live(folder: Path) -> None:
    make_run(1)
    write_params(folder)
    (folder / "dvc.lock").write_text("schema: '2.0'\nstages: {train@dapo: {cmd: train}, vote: {cmd: vote}}\n")
    with live_run("train@dapo", PARAMS, "f1") as live:
        live.tag_curve(folder / "data" / "train" / "dapo.json")
    (live_one,) = runs(folder)
    track()
    links = {run.data.tags.get(STAGE_TAG): run.data.tags.get(LIVE_RUN_TAG) for run in runs(folder) if not is_live(run)}
    assert links == {None: None, "vote": None, "train@dapo": live_one.info.run_id}


def is_live(run: Any) -> bool:
    return "r2i.live" in run.data.tags


def test_switched_off_it_writes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R2I_LIVE", "0")
    with live_run("train@dapo", PARAMS, "f1") as live:
        live(1, 1, {"loss": 1.0})
    assert list(folder.iterdir()) == []


def test_a_server_that_is_down_is_one_warning_without_its_password(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{closed.getsockname()[1]}")
    began = time.monotonic()
    with live_run("train@dapo", PARAMS, "f1") as live:
        for step in range(1000):
            live(step, 1000, {"loss": 1.0})
    assert time.monotonic() - began < 3
    said = capsys.readouterr().err
    assert said.count("warning") == 1 and "secret" not in said


def test_a_server_that_takes_the_connection_and_is_silent_costs_about_two_seconds(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with live_run("train@dapo", PARAMS, "f1") as live:
            live(1, 1, {"loss": 1.0})
        assert time.monotonic() - began < 4
    assert capsys.readouterr().err.count("warning") == 1


class Dying(BaseHTTPRequestHandler):
    """Speaks enough of MLflow's REST for one run; after `hang` is set it answers no more."""

    hang = threading.Event()
    batches: ClassVar[list[Any]] = []

    def do_GET(self) -> None:
        self._answer({"experiment": {"experiment_id": "1", "name": "r2i"}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "{}")
        if self.path.endswith("log-batch") and "metrics" in body:
            self.batches.append(body["metrics"])
        run = {"info": {"run_id": "r", "experiment_id": "1", "status": "RUNNING"}, "data": {}}
        self._answer({"run": run} if self.path.endswith("runs/create") else {})

    def _answer(self, body: dict[str, Any]) -> None:
        if self.hang.is_set():
            time.sleep(30)
            return
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def dying() -> Iterator[str]:
    Dying.hang.clear()
    Dying.batches.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Dying) as server:
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_server_that_hangs_midway_delays_no_line_and_costs_two_seconds(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dying: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dying)
    longest = 0.0
    with live_run("train@dapo", PARAMS, "f1") as live:
        live(1, 9, {"loss": 1.0})
        end = time.monotonic() + 30
        while not Dying.batches:
            assert time.monotonic() < end
            time.sleep(0.05)
        Dying.hang.set()
        for step in range(2, 9):
            began = time.monotonic()
            live(step, 9, {"loss": 1.0})
            longest = max(longest, time.monotonic() - began)
            time.sleep(0.2)
        began = time.monotonic()
    assert longest < 0.1
    assert time.monotonic() - began < 4
    assert capsys.readouterr().err.count("warning") == 1
