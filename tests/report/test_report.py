"""The report: complete, offline, escaped, the same bytes twice; and the summary in the terminal."""

import base64
import json
import re
import shutil
from pathlib import Path

import pytest
from made_run import NAMES, add_attention, add_zoom, make_run, run_stage, write_params
from typer.testing import CliRunner

from r2i.cli.main import app
from r2i.core import paths
from r2i.core.errors import TableError
from r2i.core.images import jpeg_bytes
from r2i.core.records import ATTENTION, BENCHMARK, PREDICTIONS, TRAIN
from r2i.core.tables import read_table, write_table
from r2i.report.cards import example_card
from r2i.report.charts import ci, cost_rows, percent, points
from r2i.report.checks import audit_groups, check_cards
from r2i.report.curves import curve
from r2i.report.galleries import greedy, pick_looks
from r2i.report.gather import gather
from r2i.report.looks import coverage_tiles, look_card
from r2i.report.page import render_page
from r2i.report.pictures import picture


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up run without images, scored, in the current directory."""
    monkeypatch.chdir(tmp_path)
    make_run(6)
    shutil.rmtree(paths.IMAGES)
    write_params(tmp_path)
    run_stage(monkeypatch, "score")
    return tmp_path


def test_the_page_needs_nothing_from_outside(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_stage(monkeypatch, "report")
    html = paths.REPORT.read_text(encoding="utf-8")
    assert not re.search(r"https?://|<script|<link|@import", html)
    assert set(re.findall(r'src="([^",]*),', html)) == {"data:image/jpeg;base64"}
    for section in (
        "result",
        "dimensions",
        "funnel",
        "audit",
        "spread",
        "training",
        "rows",
        "fixed",
        "broken",
        "still-wrong",
    ):
        assert f'<section id="{section}"' in html
    assert len(html) < 15 * 2**20


def test_the_same_run_gives_the_same_bytes(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_stage(monkeypatch, "report")
    first = paths.REPORT.read_bytes()
    run_stage(monkeypatch, "report")
    assert paths.REPORT.read_bytes() == first


def test_numbers_of_the_headline_are_those_of_the_metrics(run: Path) -> None:
    scores = json.loads(paths.metrics("evaluate").read_text())
    html = render_page(gather(0, 2, NAMES), "smoke")
    share = 100 * scores["gap"]["closed_share"]
    assert f"closes {share:.0f} % of the zooming gap" in html
    assert f"{100 * scores['views']['full']['distilled']['accuracy']:.1f} %" in html


def test_text_of_models_is_escaped(run: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    items = read_table(paths.BENCHMARK, BENCHMARK, "benchmark")
    write_table(paths.BENCHMARK, [{**item, "question": evil} for item in items], BENCHMARK)
    rows = read_table(paths.TRAIN, TRAIN, "overlay")
    write_table(paths.TRAIN, [{**row, "options": [evil, "2", "3", "4"], "dimension": evil} for row in rows], TRAIN)
    html = render_page(gather(0, 3, NAMES), evil)
    assert evil not in html
    assert "&lt;img src=x" in html


def test_examples_are_what_they_say(run: Path) -> None:
    story = gather(0, 3, NAMES)
    for kind, before, after in (("fixed", False, True), ("broken", True, False), ("still wrong", False, False)):
        for row in story.examples[kind]:
            assert tuple(greedy(row[model], "full")["correct"] for model in ("base", "distilled")) == (before, after)
    pairs = json.loads(paths.metrics("evaluate").read_text())["full_gain"]["pairs"]
    assert (story.totals["fixed"], story.totals["broken"]) == (pairs["fixed"], pairs["broken"])
    assert story.totals["still wrong"] == pairs["both_wrong"]


def test_training_rows_show_all_eight_answers_and_only_kept_rows(run: Path) -> None:
    story = gather(0, 4, NAMES)
    assert len(story.train) == 4
    for row in story.train:
        assert row["status"] == "ok" and row["image"] and row["region"]["crop"]
        assert len(row["answers"]) == 8 and row["vote"]["asked"] == 8


def test_audits_and_curves_may_be_missing(run: Path) -> None:
    paths.metrics("audit").unlink()
    shutil.rmtree(paths.TRAIN_LOGS)
    html = render_page(gather(0, 1, NAMES), "smoke")
    assert 'id="audit"' not in html and 'id="training"' not in html


def _card(title: str, scores: dict) -> dict:
    return next(card for card in check_cards(scores, NAMES) if card["title"] == title)


def test_all_that_the_evaluation_found_is_shown(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_zoom()
    add_attention()
    run_stage(monkeypatch, "score")
    run_stage(monkeypatch, "report")
    html = paths.REPORT.read_text(encoding="utf-8")
    for section in ("attention", "cost", "checks"):
        assert f'<section id="{section}">' in html and f'href="#{section}"' in html
    assert "Zoom, region given" in html and html.count('class="dot zoom"') == 4  # a model each
    assert html.count('<article class="card look">') == 4  # report.gallery of smoke
    run_stage(monkeypatch, "report")
    assert paths.REPORT.read_text(encoding="utf-8") == html


def test_metrics_of_an_older_run_leave_the_new_sections_out(run: Path) -> None:
    scores = json.loads(paths.metrics("evaluate").read_text())
    assert scores["coverage"] is None and scores["cost"]["zoom_over_full"] is None and "zoom" not in scores["views"]
    for key in ("coverage", "cost", "contamination", "power", "unscored", "failed", "rules"):
        del scores[key]
    paths.metrics("evaluate").write_text(json.dumps(scores), encoding="utf-8")
    html = render_page(gather(0, 1, NAMES), "smoke")
    for name in ("attention", "cost", "checks"):
        assert f'id="{name}"' not in html and f"#{name}" not in html
    assert "dot zoom" not in html and "Zoom view" not in html


def test_parts_that_are_null_leave_the_others_as_they_are(run: Path) -> None:
    # a made run has no attention, no zoom and no images table: coverage, the ratio and contamination are null
    html = render_page(gather(0, 1, NAMES), "smoke")
    assert 'id="attention"' not in html and 'id="cost"' not in html
    assert "Contamination" not in html and "What so many items can show" in html


def test_coverage_stands_with_its_change_and_interval() -> None:
    cell = {"base": 0.0625, "distilled": 0.5, "change": 0.4375, "ci95": [0.43, 0.445], "n": 60,
            "focus_base": 1.0, "focus_distilled": 8.0}  # fmt: skip
    share, focus = coverage_tiles({"coverage": cell}, NAMES)
    assert share[1:] == (["6.2 %", "50.0 %"], "change +43.8 [+43.0, +44.5], 60 items")
    assert focus[1] == ["1.0×", "8.0×"]
    alone = {"base": 0.0625, "ci95": [0.06, 0.065], "n": 60, "focus_base": 1.0}
    assert coverage_tiles({"coverage": alone}, NAMES)[0][1:] == (["6.2 %"], "[6.0, 6.5], 60 items")
    assert coverage_tiles({"coverage": None}, NAMES) == coverage_tiles({}, NAMES) == []


def test_a_heat_map_shows_base_beside_distilled_over_all_layers(run: Path) -> None:
    from io import BytesIO

    from PIL import Image

    add_attention(layers=(1, 2))
    looks = pick_looks(0, 3, NAMES.leading)
    assert len(looks) == 3 and pick_looks(0, 3, NAMES.leading) == looks
    assert [one["layer"] for one in looks[0]["looks"]["base"]] == [1, 2]
    card = look_card(looks[0])
    # base looks at 16 tokens alike: 1/16 in each; distilled gives one half of its attention
    assert card and card["inside"] == {"base": "6.2 %", "distilled": "50.0 %"}
    sheet = Image.open(BytesIO(base64.b64decode(card["picture"].uri.partition(",")[2])))
    assert sheet.size == (3 * 400 + 2 * 12, 400)


def test_only_items_that_all_measured_models_have_are_drawn(run: Path) -> None:
    add_attention()
    rows = read_table(paths.ATTENTION / "base", ATTENTION, "evaluate@base")
    kept, failed = rows[0], [{**row, "status": "failed", "reason": "unreadable"} for row in rows[1:]]
    write_table(paths.ATTENTION / "base", [kept, *failed], ATTENTION)
    assert [row["item_id"] for row in pick_looks(0, 6, NAMES.leading)] == [kept["item_id"]]
    write_table(paths.ATTENTION / "distilled", [], ATTENTION)  # what evaluate writes of a model on a server
    (alone,) = pick_looks(0, 6, NAMES.leading)
    assert list(alone["looks"]) == ["base"] and look_card(alone)


def test_maps_in_different_grids_are_not_compared(run: Path) -> None:
    add_attention()
    row = pick_looks(0, 1, NAMES.leading)[0]
    row["looks"]["distilled"][0]["grid"] = [2, 8]
    assert look_card(row) is None


def test_cost_of_a_zoom_beside_the_full_view() -> None:
    cells = {view: {"base": {"accuracy": share}} for view, share in (("full", 0.5), ("zoom", 0.9))}
    cost = {
        "full": {"base": {"vision_forwards": 1.0, "tokens_in": 1200.0, "tokens_out": None}},
        "zoom": {"base": {"vision_forwards": 3.0, "tokens_in": 3000.0, "tokens_out": None}},
        "zoom_over_full": {"base": {"vision_forwards": 3.0, "tokens_in": 2.5, "tokens_out": None}},
    }
    full, zoom = cost_rows({"views": cells, "cost": cost}, NAMES)
    assert full["costs"] == [("1", ""), ("1,200", ""), ("–", "")]
    assert zoom["costs"] == [("3", "× 3.0"), ("3,000", "× 2.5"), ("–", "")]
    assert (full["accuracy"], zoom["accuracy"]) == (0.5, 0.9)
    assert cost_rows({"views": cells, "cost": {**cost, "zoom_over_full": None}}, NAMES) == []


def test_a_region_that_models_chose_is_not_called_given(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_zoom()
    run_stage(monkeypatch, "score")
    assert gather(0, 1, NAMES).zoom_given
    rows = read_table(paths.PREDICTIONS / "base", PREDICTIONS, "evaluate@base")
    next(row for row in rows if row["view"] == "zoom")["zoom_box"] = [0, 0, 30, 30]
    write_table(paths.PREDICTIONS / "base", rows, PREDICTIONS)
    story = gather(0, 1, NAMES)
    assert not story.zoom_given
    assert "Zoom view" in render_page(story, "smoke")


def test_unscored_and_failed_replies_are_counted_by_view() -> None:
    counts = {"base": {"full": 3, "crop": 0}, "distilled": {"full": 0, "crop": 0}}
    none = {"base": {"full": 0}, "distilled": {"full": 0}}
    card = _card("Replies that nothing could decide on", {"unscored": counts, "failed": none})
    assert (card["head"], card["lines"]) == (["", "Base", "Distilled"], [("full", "3", "0")])
    assert _card("Calls that failed, of the model or its judge", {"failed": none})["lines"] == [
        ("none, in any view", "0")
    ]


def test_rules_stand_by_how_much_they_decide_and_unread_replies_last() -> None:
    rules = {"base": {"none": 0.3, "letter": 0.6, "option_text": 0.1}, "distilled": {"letter": 1.0}}
    assert _card("What read the replies", {"rules": rules})["lines"] == [
        ("letter", "60.0 %", "100.0 %"), ("option text", "10.0 %", "0.0 %"), ("none", "30.0 %", "0.0 %"),
    ]  # fmt: skip


def test_contamination_and_power_in_words() -> None:
    seen = {"same_bytes": 0, "same_pixels": 1, "near": 2, "items": ["a", "b", "c"], "share": 0.03, "checked": 100,
            "images": 341, "bits": 6}  # fmt: skip
    power = {"smallest_difference": 0.061, "n": 100, "clusters": 50, "discordance": 0.33}
    scores = {"contamination": seen, "power": power, "full_gain": {"value": -0.02}}
    card = _card("Contamination", scores)
    assert "341 images" in card["note"]
    assert [line[1] for line in card["lines"]] == ["0", "1", "2", "3.0 % of 100"]
    assert [line[1] for line in _card("What so many items can show", scores)["lines"]] == [
        "6.1 points", "−2.0 points", "33.0 %", "100", "50",
    ]  # fmt: skip
    flat = _card("What so many items can show", scores | {"power": power | {"smallest_difference": None}})
    assert flat["lines"][0] == ("smallest difference", "none")


def test_an_item_without_a_box_shows_its_plain_image(run: Path) -> None:
    items = read_table(paths.BENCHMARK, BENCHMARK, "benchmark")
    write_table(paths.BENCHMARK, [{**item, "boxed": None, "crop": None, "box": None} for item in items], BENCHMARK)
    story = gather(0, 1, NAMES)
    assert all(example_card(row, NAMES, ["full"])["full"] for rows in story.examples.values() for row in rows)


def test_a_report_before_the_score_names_what_to_run(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths.metrics("evaluate").unlink()
    with pytest.raises(SystemExit) as stopped:
        run_stage(monkeypatch, "report")
    assert stopped.value.code == 1
    assert "dvc repro score" in capsys.readouterr().err
    assert not paths.REPORT.exists()


def test_a_broken_metrics_file_is_named(run: Path) -> None:
    paths.metrics("audit").write_text("{", encoding="utf-8")
    with pytest.raises(TableError, match=r"audit\.json"):
        gather(0, 1, NAMES)


def test_large_pictures_are_made_smaller_and_small_ones_keep_their_bytes() -> None:
    from PIL import Image

    small = jpeg_bytes(Image.new("RGB", (128, 128), (9, 9, 9)))
    shown, large = picture(small, "full"), picture(jpeg_bytes(Image.new("RGB", (3000, 1500))), "full")
    assert shown and shown.small and base64.b64decode(shown.uri.partition(",")[2]) == small
    assert large and (large.width, large.height, large.small) == (3000, 1500, False)
    assert len(large.uri) < 20_000
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
    found = curve(steps, "reward", "compared")
    assert found and found["steps"] == "1 to 5"
    # two points: left bottom and right top of a 300 x 96 box with 4 px of air
    assert 'd="M0.0 92.0L300.0 4.0"' in found["svg"]
    assert curve(steps[:1], "reward", "compared") is None


def test_the_summary_prints_funnel_scores_and_the_reports_path(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_stage(monkeypatch, "report")
    said = CliRunner().invoke(app, ["summary"])
    assert said.exit_code == 0
    for text in ("truncated", "too easy", "Distilled", "zooming gap", "asked by protocol r2i", "report.html"):
        assert text in said.output


def test_a_summary_of_nothing_is_an_error_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(app, ["summary"])
    assert said.exit_code == 1 and "make repro" in said.output
