"""Reports, scores and summaries of profiles that do without something: a stage, a training, a second model."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_run import add_attention, make_run, run_stage, write_params
from typer.testing import CliRunner

from r2i.cli.main import app
from r2i.core import paths
from r2i.core.left_out import leave_out
from r2i.core.params import CHAIN, load_params
from r2i.importing.digest import table_sha256

OWN = {"qwen": {"from": "Qwen/Qwen3-VL-2B", "needs": "data/benchmark/items", "title": "Qwen3-VL-2B"}}
OTHER = {"llava": {"from": "lab/LLaVA", "needs": "data/benchmark/items", "title": "LLaVA"}}
Shape = tuple[str, str]  # the page's text, the summary's


def _make(
    root: Path, monkeypatch: pytest.MonkeyPatch, gone: tuple[str, ...], models: dict[str, Any] | None = None
) -> Shape:
    """A made run of the smoke profile without the sections `gone`; `models` in place of those of params.

    Predictions of these are made to be base's and sft's.
    """
    monkeypatch.chdir(root)
    make_run(6)
    write_params(root)
    data = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    smoke = data["profiles"]["smoke"]
    data["profiles"] = {"smoke": {name: section for name, section in smoke.items() if name not in gone}}
    if "overlay" in gone and "train" not in gone:
        shutil.copytree(paths.TRAIN, "rows")
        smoke["train"] |= {"prompts": "mini", "rows": {"path": "rows", "sha256": table_sha256(Path("rows"))}}
    for name, made in zip(models or (), ("base", "sft"), strict=False):
        shutil.move(paths.PREDICTIONS / made, paths.PREDICTIONS / name)
    data["models"] = {**(models or {}), **data["models"]} if "train" in gone else data["models"]
    Path("params.yaml").write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    params = load_params()
    runs = [f"train@{run}" for run in params.runs]
    stages = [*CHAIN, *runs, "benchmark", *(f"evaluate@{name}" for name in params.models), "audit"]
    for stage in stages:
        leave_out(params, stage)
    run_stage(monkeypatch, "score")
    run_stage(monkeypatch, "report")
    said = CliRunner().invoke(app, ["summary"])
    assert said.exit_code == 0, said.output
    return paths.REPORT.read_text(encoding="utf-8"), said.output


def _check(html: str) -> list[str]:
    """The page's sections; none is linked that is not there, no table is without a line or with dashes alone."""
    found = re.findall(r'<section id="([\w-]+)"', html)
    assert re.findall(r'<li><a href="#([\w-]+)"', html) == found and f'class="skip" href="#{found[0]}"' in html
    assert "<tbody></tbody>" not in html and ('class="gap"' in html) == ("result" in found)
    for line in re.findall(r"<tr>.*?</tr>", html, re.DOTALL):
        cells = re.findall(r'<td class="num">(?:<bdi>)?([^<]*)', line)
        assert not cells or set(cells) != {"–"}, line
    return found


def test_a_report_of_data_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    html, said = _make(tmp_path, monkeypatch, ("train", "benchmark", "evaluate"))
    assert json.loads(paths.metrics("evaluate").read_text()) == {"left_out": True}
    assert _check(html) == ["funnel", "audit", "spread", "rows"]
    assert re.search(r"<h1>\d+ training rows from 8 images</h1>", html) and "No model was measured" in html
    assert "istill" not in html and "run <code>dvc repro" not in html
    assert "no model was measured" in said and "too easy" in said


def test_a_report_of_data_that_is_not_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    html, said = _make(tmp_path, monkeypatch, ("answer", "vote", "overlay", "train", "benchmark", "evaluate"))
    assert re.search(r"<h1>\d+ questions from 8 images</h1>", html) and "<h2>From images to questions</h2>" in html
    assert "Duplicates" in html and "kept questions" not in html
    assert "rows" not in _check(html) and "vote" not in said


def test_a_model_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    html, said = _make(tmp_path, monkeypatch, ("train",), OWN)
    gap = json.loads(paths.metrics("evaluate").read_text())["gaps"]["qwen"]
    points = f"{100 * gap['value']:.1f}"
    assert f"<h1>Qwen3-VL-2B has a zooming gap of {points} points</h1>" in html
    assert f'in the crop alone and <b class="num">{gap["pairs"]["broken"]}</b>' in html
    found = _check(html)
    assert "read-in-the-crop-alone" in found and "attention" not in found and "training" not in found
    assert f'Read in the crop alone</bdi> <span class="soft num">{gap["pairs"]["fixed"]}<' in html
    assert "istill" not in html and "before and after" not in html
    low, high = (f"{100 * end:+.1f}" for end in gap["ci95"])
    assert f"zooming gap {points} points [{low}, {high}], n = {gap['n']}" in said and "Qwen3-VL-2B" in said


def test_a_model_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    html, said = _make(tmp_path, monkeypatch, (*CHAIN, "train"), OWN)
    assert not {"funnel", "rows", "audit", "teachers"} & set(_check(html))
    assert "From images" not in html + said and "zooming gap" in said
    assert json.loads(paths.metrics("evaluate").read_text())["contamination"] is None


def test_two_models_of_which_none_was_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    html, _ = _make(tmp_path, monkeypatch, ("train",), OWN | OTHER)
    assert "Right with LLaVA alone" in html and "LLaVA</bdi> alone is right on" in html
    assert not re.search("istill|became right|before and after|Wrong before", html)


def test_trainings_on_rows_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    html, _ = _make(tmp_path, monkeypatch, CHAIN)
    assert re.search(r"<h1>Training closes \d+ % of the zooming gap</h1>", html)
    assert not {"funnel", "rows", "teachers", "audit"} & set(_check(html)) and 'id="training"' in html


def test_attention_of_a_model_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _make(tmp_path, monkeypatch, ("train",), OWN)
    add_attention()
    shutil.move(paths.ATTENTION / "base", paths.ATTENTION / "qwen")
    run_stage(monkeypatch, "score")
    run_stage(monkeypatch, "report")
    html = paths.REPORT.read_text(encoding="utf-8")
    assert "Where the model looks" in html and html.count('<article class="card look">') == 4
    assert re.search(r"\[6\.[23], 6\.[23]\], \d+ items", html)  # everywhere alike: 1/16
