"""A finished run in MLflow: once, whole, without secrets, and never in the way."""

import socket
import time
from pathlib import Path

import pytest
import yaml
from made_run import make_run, write_params
from typer.testing import CliRunner

from r2i.cli import app
from r2i.errors import R2IError
from r2i.tracking import (
    LOCK_TAG,
    PARENT_TAG,
    STAGE_TAG,
    TrackingUnavailable,
    check_server,
    flatten,
    numbers,
    track,
    without_password,
)

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
            "params": {"params.yaml": {"profiles.smoke.vote": {"min_agreement": 6}}},
            "outs": [{"path": "metrics/vote.json", "hash": "md5", "md5": MD5}],
        },
        "train@dapo": {"cmd": "python stages/train.py", "outs": [{"path": "models/distilled", "md5": f"{MD5}.dir"}]},
    },
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
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
    assert vote.data.params == {"profiles.smoke.vote.min_agreement": "6"}
    assert vote.data.metrics["status.ok"] > 0
    inputs = [(entry.dataset.name, entry.dataset.digest) for entry in vote.inputs.dataset_inputs]
    assert inputs == [("data/answer/answers", f"{MD5}.dir")]  # data with DVC's hash; code is not a data set
    curve = client.get_metric_history(runs["train@dapo"].info.run_id, "curve/reward")
    assert sorted(point.step for point in curve) == list(range(1, 101))
    kept = {artifact.path for artifact in client.list_artifacts(first.run_id)}
    assert kept == {"params.yaml", "dvc.lock", "metrics"}

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


def test_a_server_that_hangs_costs_about_two_seconds() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # takes the connection and never answers
        started = time.monotonic()
        with pytest.raises(TrackingUnavailable):
            check_server(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - started < 4


def test_passwords_stay_out_of_messages() -> None:
    assert without_password("http://me:secret@host:5000/x") == "http://host:5000/x"
    assert without_password("sqlite:////a/b.db") == "sqlite:////a/b.db"


def test_flat_names_and_numeric_leaves() -> None:
    assert flatten({"a": {"b": [1, {"c": None}]}}) == {"a.b.0": 1, "a.b.1.c": None}
    # no booleans, no text; characters that MLflow refuses are replaced
    found = numbers({"ok": True, "n": 3, "reason": {"rejected: too_easy": 2}})
    assert found == {"n": 3.0, "reason.rejected_ too_easy": 2.0}
