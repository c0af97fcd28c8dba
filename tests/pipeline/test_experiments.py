"""`dvc exp` as a lab uses it: beside the workspace, from the queue, failed ones too, and tracked afterwards."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from clone import run

pytestmark = pytest.mark.slow
GALLERY = "profiles.smoke.report.gallery"  # the cheapest change: the report alone is written again
NOTE = """
import json, os
from pathlib import Path
from r2i.core import paths
told = {"here": os.getcwd(), "state": str(paths.state_folder().resolve()), "store": str(paths.reply_store().resolve())}
Path("data/told.json").write_text(json.dumps(told))
"""


@pytest.fixture(scope="module")
def lab(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished clone, committed; with a stage that tells where its state is, and tracks itself."""
    folder = tmp_path_factory.mktemp("experiments") / "lab"
    shutil.copytree(finished, folder, symlinks=True, ignore=shutil.ignore_patterns("mlflow.db", "mlartifacts"))
    dag = yaml.safe_load((folder / "dvc.yaml").read_text(encoding="utf-8"))
    told = {
        "cmd": "python tell.py && python -m r2i.cli.main track",
        "params": ["profiles.smoke.report.gallery"],
        "outs": ["data/told.json"],
    }
    dag["stages"]["tell"] = told
    (folder / "dvc.yaml").write_text(yaml.safe_dump(dag, sort_keys=False), encoding="utf-8")
    (folder / "tell.py").write_text(NOTE)
    for name, value in (("user.name", "lab"), ("user.email", "lab@example.org")):
        run(folder, "git", "config", name, value)
    run(folder, "git", "add", "-A")
    assert run(folder, "git", "commit", "--quiet", "-m", "a finished run").returncode == 0
    return folder


def runs(lab: Path) -> dict[str, dict[str, str]]:
    """Tags of the parent runs, by experiment."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{lab}/.r2i/mlflow.db")
    home = client.get_experiment_by_name("r2i")
    found = client.search_runs([home.experiment_id]) if home else []
    parents = [one for one in found if "r2i.lock_sha256" in one.data.tags and "r2i.stage" not in one.data.tags]
    return {one.data.tags.get("r2i.dvc_experiment", ""): {**one.data.tags, **one.data.params} for one in parents}


def test_a_run_beside_the_workspace_shares_its_state_and_tracks_into_its_database(lab: Path) -> None:
    done = run(
        lab,
        "dvc",
        "exp",
        "run",
        "--temp",
        "-n",
        "beside",
        "-S",
        "profiles.smoke.report.gallery=5",
        "--single-item",
        "tell",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ref = run(lab, "git", "for-each-ref", "--format=%(refname)", "refs/exps").stdout.strip()
    assert ref.endswith("/beside")
    lock = yaml.safe_load(run(lab, "git", "show", f"{ref}:dvc.lock").stdout)["stages"]["tell"]
    digest = lock["outs"][0]["md5"]
    told = json.loads((lab / ".dvc/cache/files/md5" / digest[:2] / digest[2:]).read_text())
    assert told["here"] != str(lab) and not Path(told["here"]).exists()  # ran elsewhere; nothing is left there
    assert told["state"] == str(lab / ".r2i") and told["store"] == str(lab / ".r2i" / "store")
    tags = runs(lab)["beside"]
    assert tags["report.gallery"] == "5" and tags["r2i.git_edited"] == "params.yaml"
    assert run(lab, "git", "status", "--porcelain").stdout == ""
    assert run(lab, "dvc", "exp", "remove", "beside").returncode == 0


def test_a_grid_from_the_queue_is_run_tracked_and_shown_and_what_failed_leaves_nothing(lab: Path) -> None:
    queued = run(lab, "dvc", "exp", "run", "--queue", "-S", f"{GALLERY}=3,-1", "report")
    assert queued.returncode == 0 and queued.stdout.count("Queued experiment") == 2
    done = run(lab, "dvc", "exp", "run", "--run-all", "--jobs", "1")
    said = done.stdout + done.stderr
    assert {line for line in said.splitlines() if line.startswith("Running stage")} == {
        "Running stage 'code':", "Running stage 'report':",
    }  # fmt: skip
    assert "error: params.yaml: profiles.smoke.report.gallery: Input should be greater than or equal to 1" in said

    names = run(lab, "dvc", "exp", "list", "--name-only").stdout.split()
    assert len(names) == 1  # the other one failed
    status = run(lab, "dvc", "queue", "status").stdout
    assert "Failed" in status and "Running" not in status.replace("Worker status: 0 active", "")
    assert run(lab, "dvc", "queue", "remove", "--failed", "--success").returncode == 0
    assert run(lab, "git", "status", "--porcelain").stdout == ""
    refs = run(lab, "git", "for-each-ref", "--format=%(refname)", "refs/exps").stdout.split()
    assert [ref for ref in refs if not ref.endswith(names[0])] == []
    assert not list((lab / ".dvc" / "tmp").rglob("params.yaml"))  # no copy of the workspace

    first, again = (run(lab, sys.executable, "-m", "r2i.cli.main", "track", "--all") for _ in range(2))
    assert first.stdout.startswith(f"tracked {names[0]} smoke"), first.stderr
    assert again.stdout == "already " + first.stdout
    tags = runs(lab)[names[0]]
    assert tags["report.gallery"] == "3" and tags["r2i.params_changed"] == "report.gallery 4 → 3"
    assert len(tags["r2i.dvc_revision"]) == 40 and tags["r2i.git_commit"] != tags["r2i.dvc_revision"]

    shown = run(lab, sys.executable, "-m", "r2i.cli.main", "exps")
    columns, *rows = [line.split() for line in shown.stdout.splitlines()]
    assert {"full.base", "full.distilled", "gap.distilled", "train_rows", "report.gallery"} <= set(columns)
    assert len(columns) <= 12 and [row[-1] for row in rows] == ["4", "4", "3"]


def test_an_experiment_that_is_not_there_is_named_with_those_that_are(lab: Path) -> None:
    said = run(lab, sys.executable, "-m", "r2i.cli.main", "track", "no-such-one")
    assert said.returncode == 1 and said.stderr.startswith("error: no experiment no-such-one here")
    assert "Traceback" not in said.stderr
