"""The report: complete, offline, escaped, the same bytes twice; and the summary in the terminal."""

import json
import re
import runpy
import shutil
import sys
from pathlib import Path

import pytest
from made_run import make_run, write_params
from typer.testing import CliRunner

from r2i import paths
from r2i.cli import app
from r2i.errors import TableError
from r2i.images import jpeg_bytes
from r2i.records import BENCHMARK, TRAIN
from r2i.report.charts import ci, curve, percent, points
from r2i.report.gather import choose, gather
from r2i.report.page import audit_groups, picture, render_page
from r2i.tables import read_table, write_table

STAGES = Path(__file__).parents[1] / "stages"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up run, scored, in the current directory."""
    monkeypatch.chdir(tmp_path)
    make_run(6)
    write_params(tmp_path)
    _run_stage(monkeypatch, "score")
    return tmp_path


def _run_stage(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    script = str(STAGES / f"{name}.py")
    monkeypatch.setattr(sys, "argv", [script])
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as done:
        if done.code:
            raise


def test_the_page_needs_nothing_from_outside(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run_stage(monkeypatch, "report")
    html = paths.REPORT.read_text(encoding="utf-8")
    assert not re.search(r"https?://|<script|<link|@import", html)
    assert set(re.findall(r'src="([^",]*),', html)) == {"data:image/jpeg;base64"}
    for section in ("dimensions", "funnel", "audit", "training", "rows", "fixed", "broken", "still-wrong"):
        assert f'<section id="{section}">' in html
    assert len(html) < 15 * 2**20


def test_the_same_run_gives_the_same_bytes(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run_stage(monkeypatch, "report")
    first = paths.REPORT.read_bytes()
    _run_stage(monkeypatch, "report")
    assert paths.REPORT.read_bytes() == first


def test_numbers_of_the_headline_are_those_of_the_metrics(run: Path) -> None:
    scores = json.loads(paths.metrics("evaluate").read_text())
    html = render_page(gather(0, 2), "smoke")
    share = 100 * scores["gap"]["closed_share"]
    assert f"closes {share:.0f} % of the zooming gap" in html
    assert f"{100 * scores['views']['full']['distilled']['accuracy']:.1f} %" in html


def test_text_of_models_is_escaped(run: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    items = read_table(paths.BENCHMARK, BENCHMARK, "benchmark")
    write_table(paths.BENCHMARK, [{**item, "question": evil} for item in items], BENCHMARK)
    rows = read_table(paths.TRAIN, TRAIN, "overlay")
    write_table(paths.TRAIN, [{**row, "options": [evil, "2", "3", "4"], "dimension": evil} for row in rows], TRAIN)
    html = render_page(gather(0, 3), evil)
    assert evil not in html
    assert "&lt;img src=x" in html


def test_examples_are_what_they_say(run: Path) -> None:
    story = gather(0, 3)
    for kind, before, after in (("fixed", False, True), ("broken", True, False), ("still wrong", False, False)):
        for row in story.examples[kind]:
            assert (row["base"]["correct"], row["distilled"]["correct"]) == (before, after)
    pairs = json.loads(paths.metrics("evaluate").read_text())["full_gain"]["pairs"]
    assert (story.totals["fixed"], story.totals["broken"]) == (pairs["fixed"], pairs["broken"])
    assert story.totals["still wrong"] == pairs["both_wrong"]


def test_training_rows_show_all_eight_answers_and_only_kept_rows(run: Path) -> None:
    story = gather(0, 4)
    assert len(story.train) == 4
    for row in story.train:
        assert row["status"] == "ok" and row["image"] and row["crop"]
        assert len(row["answers"]) == 8 and row["vote"]["asked"] == 8


def test_a_choice_does_not_depend_on_the_order_of_rows() -> None:
    rows = [{"id": str(i)} for i in range(50)]
    chosen = choose(rows, "id", 5, 0, "salt")
    assert choose(rows[::-1], "id", 5, 0, "salt") == chosen
    assert choose(rows, "id", 5, 1, "salt") != chosen


def test_audits_and_curves_may_be_missing(run: Path) -> None:
    paths.metrics("audit").unlink()
    shutil.rmtree(paths.TRAIN_LOGS)
    html = render_page(gather(0, 1), "smoke")
    assert 'id="audit"' not in html and 'id="training"' not in html


def test_a_report_before_the_score_names_what_to_run(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths.metrics("evaluate").unlink()
    with pytest.raises(SystemExit) as stopped:
        _run_stage(monkeypatch, "report")
    assert stopped.value.code == 1
    assert "dvc repro score" in capsys.readouterr().err
    assert not paths.REPORT.exists()


def test_a_broken_metrics_file_is_named(run: Path) -> None:
    paths.metrics("audit").write_text("{", encoding="utf-8")
    with pytest.raises(TableError, match=r"audit\.json"):
        gather(0, 1)


def test_large_pictures_are_made_smaller_and_small_ones_keep_their_bytes() -> None:
    from PIL import Image

    small = jpeg_bytes(Image.new("RGB", (128, 128), (9, 9, 9)))
    shown, large = picture(small, "full"), picture(jpeg_bytes(Image.new("RGB", (3000, 1500))), "full")
    assert shown and shown["small"]
    assert large and (large["width"], large["height"], large["small"]) == (3000, 1500, False)
    assert len(large["uri"]) < 20_000
    assert picture(None, "crop") is None


def test_shares_and_differences_as_text() -> None:
    assert (percent(0.8344), percent(None)) == ("83.4 %", "–")
    assert (points(0.3181), points(-0.0209), points(-0.0001)) == ("+31.8", "−2.1", "0.0")
    assert (ci([0.31, 0.365]), ci([-0.01, 0.02], signed=True)) == ("[31.0, 36.5]", "[−1.0, +2.0]")


def test_an_audit_share_is_one_line_with_its_cases() -> None:
    groups = audit_groups({"votes": {"kept": {"value": 0.99, "n": 1200}}, "available": True})
    assert groups == [("votes", [("kept", "99.0 %", "1,200")]), ("available", [("available", "True", "")])]


def test_a_curve_leaves_out_steps_without_a_number() -> None:
    steps = [{"step": 1, "reward": 0.0}, {"step": 2}, {"step": 3, "reward": None}, {"step": 5, "reward": 1.0}]
    found = curve(steps, "reward", "distilled")
    assert found and found["steps"] == "1 to 5"
    # two points: left bottom and right top of a 300 x 96 box with 4 px of air
    assert 'd="M0.0 92.0L300.0 4.0"' in found["svg"]
    assert curve(steps[:1], "reward", "distilled") is None


def test_the_summary_prints_funnel_scores_and_the_reports_path(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run_stage(monkeypatch, "report")
    said = CliRunner().invoke(app, ["summary"])
    assert said.exit_code == 0
    for text in ("truncated", "too easy", "distilled", "zooming gap", "report.html"):
        assert text in said.output


def test_a_summary_of_nothing_is_an_error_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(app, ["summary"])
    assert said.exit_code == 1 and "make repro" in said.output
