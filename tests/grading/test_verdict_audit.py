"""A person confirms verdicts: the same sample each time, nothing asked twice, agreement with its interval."""

import json
from pathlib import Path

import pytest
from grading.made_predictions import open_question, prediction
from scipy.stats import binomtest
from typer.testing import CliRunner

from r2i.cli.main import app
from r2i.core.errors import TableError
from r2i.core.records import PREDICTIONS
from r2i.core.tables import Row, write_table
from r2i.grading.audit import agreements, append_word, choose_rows, markdown, read_log, verdict_id

ROWS = [prediction(f"letter-{number}", "B") for number in range(40)]
ROWS += [prediction(f"text-{number}", "green") for number in range(3)]
ROWS += [prediction(f"open-{number}", "navy", rule="judge", correct=True) for number in range(5)]
ROWS += [prediction("dead", "", status="failed", reason="timeout", rule="none", correct=None)]


def test_the_sample_depends_on_ids_and_seed_alone() -> None:
    chosen = choose_rows(ROWS, 9, seed=0)
    assert choose_rows(ROWS[::-1], 9, seed=0) == chosen
    assert choose_rows(ROWS, 9, seed=1) != chosen
    assert choose_rows(ROWS, 20, seed=0)[:9] == chosen  # asking for more keeps what was done


def test_rules_that_seldom_decide_are_seen_as_often_as_others() -> None:
    rules = [row["rule"] for row in choose_rows(ROWS, 9, seed=0)]
    assert sorted(rules) == ["judge"] * 3 + ["letter"] * 3 + ["option_text"] * 3


def test_one_rule_alone_can_be_asked_for_and_failed_calls_are_no_verdicts() -> None:
    assert {row["rule"] for row in choose_rows(ROWS, 50, 0, "judge")} == {"judge"}
    assert len(choose_rows(ROWS, 500, 0)) == 48
    with pytest.raises(TableError, match="mathematics"):
        choose_rows(ROWS, 50, 0, "mathematics")


def test_the_log_holds_no_text_of_the_data_and_survives_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "audit/base.jsonl"
    append_word(path, ROWS[0], True)
    append_word(path, ROWS[1], True)
    with path.open("a") as file:
        file.write('{"verdict_id": "torn", "agr')
    append_word(path, ROWS[1], False)  # a change of mind
    assert read_log(path) == {verdict_id(ROWS[0]): True, verdict_id(ROWS[1]): False}
    assert "coat" not in path.read_text()
    assert set(json.loads(path.read_text().splitlines()[0])) == {
        "verdict_id",
        "prediction_id",
        "rule",
        "correct",
        "agrees",
    }


def test_a_verdict_that_changed_has_to_be_confirmed_anew() -> None:
    row = ROWS[0]
    for changed in ({"reply": "b"}, {"correct": False}, {"rule": "judge"}):
        assert verdict_id({**row, **changed}) != verdict_id(row)


def test_agreement_is_by_rule_with_wilsons_interval() -> None:
    said = {verdict_id(row): number > 0 for number, row in enumerate(ROWS[:10])}  # 9 of 10
    (found,) = agreements(ROWS, said)
    assert (found.rule, found.agreed, found.asked) == ("letter", 9, 10)
    expected = binomtest(9, 10).proportion_ci(method="wilson")
    assert found.interval == pytest.approx((expected.low, expected.high))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("R2I_STORE", raising=False)
    write_table(tmp_path / "data/evaluate/base", ROWS, PREDICTIONS)
    return tmp_path


def audit(*options: str, says: str = "") -> str:
    done = CliRunner().invoke(app, ["evaluate", "audit", *options], input=says)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_person_confirms_skips_stops_and_goes_on(workspace: Path) -> None:
    first = audit("--n", "5", "--rule", "judge", says="y\nwhat?\nn\ns\nq\n")
    assert "right, by judge" in first
    log = workspace / ".r2i/audit/base.jsonl"
    assert [json.loads(line)["agrees"] for line in log.read_text().splitlines()] == [True, False]
    again = audit("--n", "5", "--rule", "judge", says="y\ny\ny\n")  # the one that was skipped comes again
    assert again.count("Is this verdict right?") == 3
    assert "80.0 %" in again
    assert audit("--n", "5", "--rule", "judge").count("Is this verdict right?") == 0


def test_the_export_asks_nothing_and_shows_all_that_decides(workspace: Path) -> None:
    page = workspace / "audit.md"
    assert "5 verdicts" in audit("--rule", "judge", "--export", str(page))
    text = page.read_text()
    for part in (
        "what color is the coat?",
        "A. red\nB. dark blue\nC. green",
        "B. dark blue",
        "navy",
        "right, by judge",
    ):
        assert part in text
    assert text.count("- [ ] agree") == 5


def test_a_reply_with_fences_does_not_break_out_of_its_block() -> None:
    row: Row = open_question("a", "```json\n{}\n```\n# heading")
    text = markdown([row], "base")
    assert "````text\n```json\n{}\n```\n# heading\n````" in text
