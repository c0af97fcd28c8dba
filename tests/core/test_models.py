"""The registry of models: what it refuses, and a run with one model more, or one less."""

import json
import re
import shutil
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from clone import clone, run
from made_run import NAMES, make_run, run_stage, write_params
from typer.testing import CliRunner

from r2i.cli.main import app
from r2i.core import paths
from r2i.core.errors import ParamsError
from r2i.core.names import OBJECTIVES, RESERVED, TRAIN_VIEWS, VIEWS, ObjectiveName, ViewName
from r2i.core.params import Train, load_params
from r2i.core.records import BENCHMARK

FILE = Path(__file__).parents[2] / "params.yaml"
ZWZ = {"from": "inclusionAI/ZwZ-8B", "needs": "data/benchmark/items"}


def change_params(folder: Path, models: dict[str, Any], gone: tuple[str, ...] = ()) -> None:
    """Register `models`, and take out those models and runs that are `gone`, in `folder`'s params."""
    path = folder / "params.yaml"
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    data["models"] = {name: model for name, model in (data["models"] | models).items() if name not in gone}
    data["runs"] = {name: made for name, made in data["runs"].items() if name not in gone}
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")


def test_the_tables_of_names_hold_what_their_types_name() -> None:
    assert get_args(ViewName) == tuple(VIEWS) and set(TRAIN_VIEWS) - {"told"} < set(VIEWS)
    assert get_args(ObjectiveName) == tuple(OBJECTIVES) and set(OBJECTIVES) <= Train.model_fields.keys()
    assert {view.column for view in VIEWS.values()} <= set(BENCHMARK.names)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("from: sft", "from: stf", "models.sft.*'stf' is neither base, server, a run of train .dapo, sft.*, a hub id"),
        ("  sft:\n    folder: models/sft\n    curve: loss\n", "", "models.sft: sft is not among the runs .dapo, opd."),
        ("  sft:\n    folder", "  stf:\n    folder", "runs.stf"),
        ("needs: models/sft", "needs: models/mini", "models.sft comes from sft: write needs: models/sft"),
        ("  sft:\n    from", "  s.f/t:\n    from", "models.s.f/t"),
        ("  sft:\n    from", "  gap:\n    from", "models.gap: metrics/evaluate.json has a key of this name"),
        ("title: SFT control", "title: Base", "two have the same title"),
        ("    evaluate:\n", "    evaluate:\n      endpoints: {dstilled: {}}\n", "endpoints.dstilled"),
    ],
)
def test_what_is_wrong_in_the_registry_is_named(old: str, new: str, named: str, tmp_path: Path) -> None:
    text = FILE.read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "params.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ParamsError, match=named):
        load_params(tmp_path / "params.yaml")


def test_a_model_that_is_not_registered_is_not_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    with pytest.raises(SystemExit):
        run_stage(monkeypatch, "evaluate", "--model", "huge")
    assert "no model 'huge' is registered" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "gone"),
    [({"zwz-8b": ZWZ}, ()), ({}, ("sft",)), ({"zwz-8b": ZWZ}, ("distilled",)), ({}, ("distilled", "sft"))],
)
def test_score_report_and_summary_go_over_the_registry(
    more: dict[str, Any], gone: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that was taken out doesn't count, though its predictions lie there still."""
    monkeypatch.chdir(tmp_path)
    make_run(4)
    write_params(tmp_path)
    shutil.copytree(paths.PREDICTIONS / "sft", paths.PREDICTIONS / "zwz-8b")
    change_params(tmp_path, more, gone)
    names = [name for name in [*NAMES, *more] if name not in gone]
    run_stage(monkeypatch, "score")
    scores = json.loads(paths.metrics("evaluate").read_text())
    assert set(scores["views"]["full"]) == set(scores["pass_at_k"]) == set(names)
    assert set(scores["gap"]) >= set(names[:2]) and set(scores["gap"]).isdisjoint(names[2:])
    assert all(scores[name]["full_gain"]["value"] is not None for name in names[2:])
    assert set(scores) - set(names) <= RESERVED and set(scores["gap"]) - set(names) <= RESERVED
    run_stage(monkeypatch, "report")
    said = CliRunner().invoke(app, ["summary"]).output
    titles = load_params().model_names.titles
    for text in (paths.REPORT.read_text(encoding="utf-8"), said):
        for name, title in (NAMES.titles | titles).items():
            shown = re.search(rf"\b{re.escape(title)}\b", text, re.IGNORECASE) is not None
            assert shown == (name in names) or name in ("base", "distilled"), name  # words of the prose, too


@pytest.mark.slow
def test_dvc_waits_for_registered_models_alone(tmp_path: Path) -> None:
    folder = clone(tmp_path)
    change_params(folder, {"zwz-8b": ZWZ}, ("sft",))
    told = run(folder, "dvc", "dag", "--dot", "report")
    assert told.returncode == 0, told.stderr
    edges = set(re.findall(r'"([^"]+)" -> "([^"]+)"', told.stdout))
    into = {target: {source for source, end in edges if end == target} for target in ("score", "report")}
    evaluated = {"evaluate@base", "evaluate@distilled", "evaluate@zwz-8b"}
    assert into["score"] >= evaluated and into["report"] >= {*evaluated, "train@dapo", "score"}
    assert "sft" not in told.stdout
    assert {source for source, end in edges if end == "evaluate@zwz-8b"} == {"code", "benchmark"}
