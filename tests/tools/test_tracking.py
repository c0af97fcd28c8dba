"""A finished run in MLflow: once, whole, without secrets, and never in the way."""

import base64
import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from made_run import make_run, write_params
from typer.testing import CliRunner

from r2i.cli.main import app
from r2i.core.errors import R2IError
from r2i.core.tracking import (
    COMMIT_TAG,
    LOCK_TAG,
    PARENT_TAG,
    STAGE_TAG,
    TrackingUnavailable,
    check_server,
    clean_names,
    connect,
    first_line,
    flatten,
    log_params,
    numbers,
    without_password,
)
from r2i.repo.git import find_by_lock, list_experiments
from r2i.tools.track import track

MD5 = "0123456789abcdef0123456789abcdef"
LOCK = {
    "schema": "2.0",
    "stages": {
        "vote": {
            "cmd": "python stages/vote.py",
            "deps": [
                {"path": "data/answer/answers", "hash": "md5", "md5": f"{MD5}.dir"},
                {"path": "r2i/vote", "hash": "md5", "md5": MD5},
            ],
            "params": {"data/code/params.yaml": {"vote": {"min_agreement": 6, "judge": "rules"}}},
            "outs": [{"path": "metrics/vote.json", "hash": "md5", "md5": MD5}],
        },
        "train@dapo": {"cmd": "python stages/train.py", "outs": [{"path": "models/distilled", "md5": f"{MD5}.dir"}]},
    },
}


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables and nothing in them: to make them takes seconds."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    connect(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def tracked_before(run: Path, empty_database: Path) -> Path:
    (run / ".r2i").mkdir(exist_ok=True)
    shutil.copy(empty_database, run / ".r2i" / "mlflow.db")
    return run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    make_run(1)
    write_params(tmp_path)
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(LOCK), encoding="utf-8")
    return tmp_path


def test_two_calls_make_one_parent_run_with_a_nested_run_for_each_stage(run: Path) -> None:
    first, second = track(), track()
    assert first.new and not second.new and first.run_id == second.run_id
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{run}/.r2i/mlflow.db")
    experiment = client.get_experiment_by_name("r2i")
    assert experiment and experiment.artifact_location == (run / ".r2i/mlartifacts").as_uri()
    runs = {r.data.tags.get(STAGE_TAG, "parent"): r for r in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"parent", "vote", "train@dapo"}
    assert all(r.info.status == "FINISHED" for r in runs.values())
    parent, vote = runs["parent"], runs["vote"]
    assert parent.data.params["vote.min_agreement"] == "6" and parent.data.params["profile"] == "smoke"
    assert not any("235B" in value for value in parent.data.params.values())  # the chosen profile alone
    assert vote.data.tags[PARENT_TAG] == parent.info.run_id == first.run_id
    assert vote.data.params == {"vote.min_agreement": "6", "vote.judge": "rules"}
    assert vote.data.metrics["status.ok"] > 0
    inputs = [(entry.dataset.name, entry.dataset.digest) for entry in vote.inputs.dataset_inputs]
    assert inputs == [("data/answer/answers", f"{MD5}.dir")]  # data with DVC's hash; code is not a data set
    curve = client.get_metric_history(runs["train@dapo"].info.run_id, "curve/reward")
    assert sorted(point.step for point in curve) == list(range(1, 101))
    kept = {artifact.path for artifact in client.list_artifacts(first.run_id)}
    assert kept == {"params.yaml", "dvc.lock", "metrics", "plots"}
    assert [plot.path for plot in client.list_artifacts(first.run_id, "plots")] == ["plots/dapo.png"]

    (run / "dvc.lock").write_text(yaml.safe_dump({**LOCK, "stages": {"vote": LOCK["stages"]["vote"]}}))
    third = track()
    assert third.new and third.run_id != first.run_id
    assert client.get_run(third.run_id).data.tags[LOCK_TAG] != parent.data.tags[LOCK_TAG]


def test_without_a_lock_there_is_nothing_to_track(run: Path) -> None:
    (run / "dvc.lock").unlink()
    with pytest.raises(R2IError, match="nothing has been run"):
        track()
    assert CliRunner().invoke(app, ["track"]).exit_code == 1


def test_a_server_that_is_down_is_a_warning(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
    said = CliRunner().invoke(app, ["track"])
    assert said.exit_code == 0
    assert "warning" in said.output and "secret" not in said.output


def test_a_server_that_hangs_costs_two_seconds() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # takes the connection and never answers
        assert_gives_up(f"http://127.0.0.1:{silent.getsockname()[1]}")


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_an_address_that_swallows_every_packet_costs_two_seconds(scheme: str) -> None:
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # its queue is full then: Linux drops what comes after, and answers nothing
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        assert_gives_up(f"{scheme}://me:secret@127.0.0.1:{full.getsockname()[1]}")


def test_a_name_that_is_looked_up_for_long_costs_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(20) or [])
    assert_gives_up("http://mlflow.example.org:5000")


def assert_gives_up(uri: str) -> None:
    started = time.monotonic()
    with pytest.raises(TrackingUnavailable) as raised:
        check_server(uri)
    assert time.monotonic() - started < 2.5
    assert "secret" not in str(raised.value)


@pytest.fixture
def server() -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Its port, and (path, Authorization) of the requests. It refuses everybody but at /health."""
    asked: list[tuple[str, str]] = []

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path.partition("?")[0], self.headers.get("Authorization", "")))
            self.send_response(200 if self.path == "/health" else 401)
            self.end_headers()
            self.wfile.write(b"no entry")

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield listening.server_port, asked
        listening.shutdown()


def test_name_and_password_of_the_environment_reach_the_server_and_no_message(
    run: Path, server: tuple[int, list[tuple[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, asked = server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "lab")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hush-hush")
    said = CliRunner().invoke(app, ["track"])
    assert said.exit_code == 0 and "warning" in said.output and "401" in said.output
    assert "hush-hush" not in said.output
    sent = "Basic " + base64.b64encode(b"lab:hush-hush").decode()
    assert asked[0] == ("/health", "") and {header for path, header in asked[1:]} == {sent}


def test_a_database_without_its_driver_is_a_warning(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as database:
        database.bind(("127.0.0.1", 0))
        database.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://me:secret@127.0.0.1:{database.getsockname()[1]}/runs")
        said = CliRunner().invoke(app, ["track"])
    assert said.exit_code == 0 and "warning" in said.output and "secret" not in said.output


def test_trackers_that_start_at_once_on_a_fresh_database_make_one_run(run: Path) -> None:
    command = [sys.executable, "-m", "r2i.cli.main", "track"]
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=240) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert sorted(out.startswith("already tracked") for out, _ in said) == [False, True], said
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{run}/.r2i/mlflow.db")
    home = client.get_experiment_by_name("r2i")
    assert home and len(client.search_runs([home.experiment_id])) == 3  # the parent and two stages


def test_a_tracker_that_was_stopped_is_finished_by_the_next(
    tracked_before: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    with monkeypatch.context() as cut:
        cut.setattr(MlflowClient, "log_artifact", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            track()
    assert track().new and not track().new
    client = MlflowClient(tracking_uri=f"sqlite:///{tracked_before}/.r2i/mlflow.db")
    home = client.get_experiment_by_name("r2i")
    assert home
    runs = client.search_runs([home.experiment_id])
    assert len(runs) == 3 and all(one.info.status == "FINISHED" for one in runs)
    vote = next(one for one in runs if one.data.tags.get(STAGE_TAG) == "vote")
    assert len(client.get_metric_history(vote.info.run_id, "rows")) == 1  # not written twice


def test_thousands_of_numbers_go_in_batches(tracked_before: Path) -> None:
    many = {f"k{n:05d}": n for n in range(2_500)}  # MLflow refuses more than 1000 in a call
    Path("metrics/vote.json").write_text(json.dumps(many))
    assert track().new
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tracked_before}/.r2i/mlflow.db")
    home = client.get_experiment_by_name("r2i")
    assert home
    (vote,) = client.search_runs([home.experiment_id], f"tags.`{STAGE_TAG}` = 'vote'")
    assert vote.data.metrics == many


NAMES = [
    "3D Depth/", "3D Depth", "/start", "a//b", "a/b", "./x", "x/.", "..", "../up", ".", "", "a/../b", "50 % <of> it?",
    "50 _ _of_ it_", "früh", "图表/", "tab\tname", "line\nname", "ansi\x1b[2J", "\ud800", "a:b", "a_b", "x" * 400,
    "x" * 401, "x/" * 200, "C:\\x", "'quoted'", "emoji 😀",
]  # fmt: skip


def test_every_metric_s_name_is_tracked_and_no_two_become_one(tracked_before: Path) -> None:
    """A benchmark's dimension may be called anything: `3D Depth/` once kept the whole run from being tracked."""
    Path("metrics/vote.json").write_text(json.dumps({name: number for number, name in enumerate(NAMES)}))
    assert track().new
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tracked_before}/.r2i/mlflow.db")
    home = client.get_experiment_by_name("r2i")
    assert home
    runs = client.search_runs([home.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    (vote,) = [run for run in runs if run.data.tags.get(STAGE_TAG) == "vote"]
    assert sorted(vote.data.metrics.values()) == [float(number) for number in range(len(NAMES))]
    assert vote.data.metrics["3D Depth_"] == 0 and vote.data.metrics["3D Depth"] == 1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=300), max_size=8, unique=True))
def test_any_names_are_names_that_mlflow_takes_each_its_own(names: list[str]) -> None:
    from mlflow.utils.validation import _validate_metric_name

    clean = clean_names(names)
    for name in clean.values():
        _validate_metric_name(name)
        assert len(name) <= 250
    assert len(set(clean.values())) == len(names)
    assert all(clean_names([name])[name] == name for name in clean.values())  # a name that is taken stays


def test_one_value_that_mlflow_refuses_costs_only_itself(
    tracked_before: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = connect(f"sqlite:///{tracked_before}/.r2i/mlflow.db")
    experiment = client.create_experiment("some")
    run = client.create_run(experiment).info.run_id
    log_params(client, run, {"a": 1, "b": 2})
    log_params(client, run, {"a": 3, "c": 4})  # a param can't be changed
    assert client.get_run(run).data.params == {"a": "1", "b": "2", "c": "4"}
    assert "warning: 'a' is not tracked" in capsys.readouterr().err


def test_a_run_whose_writing_fails_does_not_stay_running(tracked_before: Path) -> None:
    Path("metrics/vote.json").write_text("[1")
    with pytest.raises(R2IError, match=r"vote\.json is not a JSON object"):
        track()
    client = connect(f"sqlite:///{tracked_before}/.r2i/mlflow.db")
    home = client.get_experiment_by_name("r2i")
    assert home and {run.info.status for run in client.search_runs([home.experiment_id])} <= {"FAILED", "FINISHED"}
    Path("metrics/vote.json").write_text("{}")
    assert track().new
    assert {run.info.status for run in client.search_runs([home.experiment_id])} == {"FINISHED"}


def git(*told: str) -> str:
    who = ["-c", "user.name=lab", "-c", "user.email=lab@example.org"]
    return subprocess.run(["git", *who, *told], check=True, capture_output=True, text=True).stdout.strip()


def commit_all(message: str) -> str:
    git("add", "-A")
    git("commit", "--quiet", "-m", message)
    return git("rev-parse", "HEAD")


def test_a_run_says_where_it_came_from_and_what_was_changed_but_not_on_which_machine(tracked_before: Path) -> None:
    Path("code.py").write_text("1")
    Path("metrics/evaluate.json").write_text(json.dumps({"views": {"full": {"base": {"accuracy": 0.5}}}}))
    Path(".gitignore").write_text("/.r2i/\n")
    git("init", "--quiet", "--initial-branch", "trunk")
    base = commit_all("base")
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("min_agreement: 6", "min_agreement: 7"))
    Path("dvc.lock").write_text(yaml.safe_dump({**LOCK, "stages": {**LOCK["stages"], "score": {"cmd": "x"}}}))
    Path("metrics/vote.json").write_text("{}")  # an out of the lock: no edit
    tree = commit_all("what `dvc exp run -n agree-7` keeps")
    git("update-ref", f"refs/exps/{base[:2]}/{base[2:]}/agree-7", tree)
    git("reset", "--quiet", "--soft", base)

    from mlflow import MlflowClient

    tracked = track()
    found = MlflowClient(tracking_uri=f"sqlite:///{tracked_before}/.r2i/mlflow.db").get_run(tracked.run_id)
    tags = found.data.tags
    assert tracked.name.startswith("agree-7 smoke ") and found.data.metrics == {"full.base": 0.5, "train_rows": 4}
    assert tags["r2i.dvc_experiment"] == "agree-7" and tags["r2i.dvc_revision"] == tree
    assert tags[COMMIT_TAG] == base and tags["r2i.git_branch"] == "trunk"
    assert tags["r2i.git_dirty"] == "true" and tags["r2i.git_edited"] == "params.yaml"
    assert tags["r2i.params_changed"] == "vote.min_agreement 6 → 7"
    told = " ".join([*tags.values(), *found.data.params.values()])
    assert not [
        word for word in (socket.gethostname(), str(tracked_before), f"user {getpass.getuser()}") if word in told
    ]
    assert "mlflow.user" not in tags and found.info.user_id == "unknown"

    Path("code.py").write_text("2")
    commit_all("kept")
    assert find_by_lock() is None  # committed: it is the commit's own run now
    assert [one.name for one in list_experiments()] == ["agree-7"]
    again = MlflowClient(tracking_uri=f"sqlite:///{tracked_before}/.r2i/mlflow.db").get_run(track().run_id)
    assert again.data.tags["r2i.git_dirty"] == "false" and again.info.run_id != tracked.run_id


def test_passwords_stay_out_of_messages() -> None:
    assert without_password("http://me:secret@host:5000/x") == "http://host:5000/x"
    assert without_password("sqlite:////a/b.db") == "sqlite:////a/b.db"
    assert first_line(ValueError("postgresql://me:secret@host refused\nmore")) == "postgresql://host refused"
    assert first_line(TimeoutError()) == "TimeoutError"


def test_flat_names_and_numeric_leaves() -> None:
    assert flatten({"a": {"b": [1, {"c": None}]}}) == {"a.b.0": 1, "a.b.1.c": None}
    # no booleans, no text; characters that MLflow refuses are replaced
    found = numbers({"ok": True, "n": 3, "reason": {"rejected: too_easy": 2}})
    assert found == {"n": 3.0, "reason.rejected_ too_easy": 2.0}
