"""Scoring anew calls no model, and keeps of the judge's word what still holds."""

from pathlib import Path

import pytest
from grading.made_predictions import prediction
from teacher_fakes import FakeModel
from typer.testing import CliRunner

from r2i.cli.main import app
from r2i.core.params import Judge, load_params
from r2i.core.records import PREDICTIONS
from r2i.core.tables import Row, read_table, write_table
from r2i.grading.judged import judge_rows
from r2i.grading.rescore import count_rules, find_changes, headline, rescore_rows

CFG = Judge.model_validate({"endpoint": {"kind": "openai", "model": "fake", "base_url": "http://none"}, "max_calls": 9})
ROOT = Path(__file__).parents[2]


def judged(*rows: Row) -> list[Row]:
    return judge_rows(rows, FakeModel(lambda *_: '{"correct": true}'), CFG, 0)[0]


def test_rows_of_todays_rules_are_left_as_they_are() -> None:
    rows = judged(prediction("a", "B"), prediction("b", "navy"), prediction("c", ""))
    assert [row["rule"] for row in rows] == ["letter", "judge", "none"]
    assert rescore_rows(rows, CFG, 0) == rows


def test_a_row_that_a_rule_reads_today_needs_no_judge() -> None:
    (old,) = judged(prediction("a", "navy"))
    (new,) = rescore_rows([{**old, "reply": "It is B"}], CFG, 0)
    assert (new["rule"], new["correct"], new["verdict"]) == ("letter", True, None)


def test_a_judges_word_falls_with_what_it_was_asked() -> None:
    (old,) = judged(prediction("a", "navy"))
    for changed in ({"question": "what color is the hat?"}, {"reply": "azure"}, {"answer": "green", "label": "C"}):
        (new,) = rescore_rows([{**old, **changed}], CFG, 0)
        assert (new["rule"], new["correct"], new["verdict"]) == ("none", None, None), changed
    warm = CFG.model_copy(update={"sampling": CFG.sampling.model_copy(update={"temperature": 0.5})})
    other = CFG.model_copy(update={"endpoint": CFG.endpoint.model_copy(update={"model": "another"})})
    for judge in (warm, other, None):
        assert rescore_rows([old], judge, 0)[0]["rule"] == "none"


def test_a_failed_call_stays_failed() -> None:
    row = prediction("a", "", status="failed", reason="timeout", rule="none", correct=None)
    assert rescore_rows([row], CFG, 0) == [row]


def test_changes_and_headline_count_unscored_as_wrong() -> None:
    old = [prediction("a", "B"), prediction("b", "B", rule="none", correct=None), prediction("c", "navy")]
    new = rescore_rows(old, None, 0)
    assert [change.verdicts for change in find_changes(old, new)] == [(None, True)]
    assert headline(old) == {"full": pytest.approx(1 / 3)}
    assert headline(new) == {"full": pytest.approx(2 / 3)}
    assert count_rules(new) == {"letter": 2, "none": 1}


def test_the_command_is_dry_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data/evaluate/base"
    write_table(folder, [prediction("a", "B", rule="none", correct=None), prediction("b", "navy")], PREDICTIONS)
    before = (folder / "part-00000-of-00001.parquet").read_bytes()
    command = ["evaluate", "rescore", "--params", str(ROOT / "params.yaml")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "1 of 2 rows are scored otherwise" in done.output
    assert "full: 0.00 % -> 50.00 %" in done.output
    assert (folder / "part-00000-of-00001.parquet").read_bytes() == before
    assert CliRunner().invoke(app, [*command, "--write"]).exit_code == 0
    assert [row["rule"] for row in read_table(folder, PREDICTIONS, "evaluate")].count("letter") == 1
    assert load_params(ROOT / "params.yaml").chosen.evaluate.judge is None  # so that no verdict could stand


def test_a_model_without_predictions_is_an_error_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["evaluate", "rescore", "--params", str(ROOT / "params.yaml"), "--model", "sft"])
    assert done.exit_code == 1
