"""`make exps`: what DVC says of experiments, under the headline's names, and no number of another profile."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_run import write_params

from r2i.core import paths
from r2i.core.fingerprint import chosen_params
from r2i.core.params import load_params
from r2i.tools.track import table

NAMES = [
    "full.base",
    "full.distilled",
    "full.sft",
    "crop.base",
    "crop.distilled",
    "gap.base",
    "gap.distilled",
    "train_rows",
]


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `dvc exp show --json` says of a commit, and of an experiment with another agreement, in a made run."""
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    params = yaml.safe_load(Path("params.yaml").read_text())
    models = ("base", "distilled", "sft")
    views = {view: {model: {"accuracy": 0.5} for model in models} for view in ("full", "crop", "boxed")}
    scores = {"views": views, "gap": {"base": 0.3, "distilled": 0.1}, "full_gain": {"value": 0.2}}
    metrics = {
        str(paths.metrics("evaluate")): {"data": scores},
        str(paths.metrics("overlay")): {"data": {"status": {"ok": 1234}}},
    }

    def row(rev: str, agreement: int) -> dict[str, Any]:
        own = json.loads(json.dumps(params))
        own["profiles"]["smoke"]["vote"]["min_agreement"] = agreement
        data = {"timestamp": "2026-11-27T10:00:00", "params": {"params.yaml": {"data": own}}, "metrics": metrics}
        return {"rev": rev, "name": None, "data": data, "experiments": None}

    failed = {"revs": [{"rev": "c" * 40, "data": None}], "name": "torn", "executor": {"state": "failed"}}
    stricter = {"revs": [row("b" * 40, 7)], "name": "stricter", "executor": None}
    found = [row("workspace", 6), row("a" * 40, 6) | {"name": "main", "experiments": [failed, stricter]}]
    told = subprocess.CompletedProcess([], 0, json.dumps(found), "")
    monkeypatch.setattr(table, "ask_dvc", lambda *words: told)
    return found


def cells() -> list[list[str]]:
    return [line.split() for line in table.table_text(table.read_experiments())]


def test_a_row_has_the_headline_train_rows_and_what_differs(shown: list[dict[str, Any]]) -> None:
    head, workspace, main, stricter, torn = cells()
    assert head == ["experiment", "created", "state", *NAMES, "vote.min_agreement"]
    assert len(head) == table.COLUMNS
    assert workspace[-3:] == ["10.0", "1,234", "6"] and main[0] == "main"
    assert stricter[0] == "stricter" and stricter[-1] == "7"
    assert torn[0] == "torn" and "failed" in torn and set(torn[2:]) == {"-"}  # no numbers: last


def test_numbers_of_another_profile_are_left_out_and_told(shown: list[dict[str, Any]]) -> None:
    """The lock in the workspace is of mini."""
    values = chosen_params(load_params().model_copy(update={"profile": "mini"}))
    images = {"path": "data/sample/images", "md5": "0.dir"}
    stages = {
        "sample": {"params": {"data/code/params.yaml": {"sample": values["sample"]}}, "outs": [images]},
        "score": {"deps": [images], "outs": [{"path": "metrics/evaluate.json", "md5": "0"}]},
    }
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    _, workspace, *_, line = cells()
    assert workspace[1:9] == ["2026-11-27", "10:00", *["-"] * 6] and workspace[-2:] == ["1,234", "6"]
    assert " ".join(line) == "left out: numbers of workspace, not of profile smoke: score (profile mini)"
