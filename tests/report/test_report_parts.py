"""The report's parts: rows by chance, pictures within limits, bias tests, what was dropped, hostile text."""

import json
import re
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from made_rows import picture as photograph
from made_run import NAMES, run_stage
from report.made_report import EVIL, MODELS, big_noise, make_hostile, make_whole_run

from r2i.core import paths
from r2i.core.catalogue import ANSWERS, BENCHMARK, IMAGES, REGIONS, TABLES, TRAIN, VOTES, Listed
from r2i.core.ids import unit_of
from r2i.core.images import sha256
from r2i.core.names import ModelNames
from r2i.core.records import FAILED, OK, PREDICTIONS
from r2i.core.tables import read_table, write_table
from r2i.report import dropped, page
from r2i.report.bars import bars_of, bias_words, chosen_table
from r2i.report.cards import funnel_card
from r2i.report.charts import dimension_rows, group_heads, source_rows
from r2i.report.curves import POINTS, curve, curve_table
from r2i.report.dropped import pick_dropped
from r2i.report.evaluated import evaluation_lines
from r2i.report.gap import gap_picture
from r2i.report.gather import FUNNEL, LOOKS, Step, gather, read_json
from r2i.report.page import render_page
from r2i.report.pick import Draw, fetch
from r2i.report.pictures import LIMIT, picture
from r2i.report.published import published_beside
from r2i.report.replies import items_by_kind, predictions_of, read_replies
from r2i.report.spread import Letters, measure_spread
from r2i.report.study import study_picture
from r2i.report.teaching import agreement_bars, cost_lines, filter_lines, review_cards
from r2i.report.text import plain


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up run with everything, scored, in the current directory."""
    monkeypatch.chdir(tmp_path)
    make_whole_run(tmp_path)
    run_stage(monkeypatch, "score")
    return tmp_path


def test_a_draw_does_not_depend_on_the_order_of_rows() -> None:
    ids = [f"row-{n}" for n in range(500)]
    draws = [Draw(7, 0, "salt") for _ in range(2)]
    draws[0].add(ids)
    for one in reversed(ids):
        draws[1].add([one])
    assert draws[0].ids() == draws[1].ids() == sorted(ids, key=lambda one: unit_of(0, "salt", one))[:7]
    other = Draw(7, 1, "salt")
    other.add(ids)
    assert other.ids() != draws[0].ids()


def test_rows_are_found_in_whatever_row_group_and_shard_they_are(tmp_path: Path) -> None:
    schema = pa.schema([("key", pa.string()), ("group", pa.string()), ("heavy", pa.binary())])
    for shard in range(3):
        rows = [{"key": f"{shard}-{n:03d}", "group": f"g{n % 5}", "heavy": b"%d" % n} for n in range(40)]
        part = tmp_path / f"part-{shard:05d}-of-00003.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), part, row_group_size=7)
    listed = Listed("made", tmp_path, schema, "made")
    found = fetch(listed, "key", ["2-039", "0-000", "1-007", "nowhere"], ["heavy"])
    assert found == [
        {"key": "0-000", "heavy": b"0"}, {"key": "1-007", "heavy": b"7"}, {"key": "2-039", "heavy": b"39"},
    ]  # fmt: skip
    assert len(fetch(listed, "group", ["g3"], [])) == 3 * 8
    assert fetch(listed, "key", [], ["heavy"]) == []


def test_a_picture_that_can_not_be_made_small_loses_pixels() -> None:
    noise = big_noise(1500)
    for kind in ("full", "crop", "thumb"):
        shown = picture(noise, kind)
        assert shown and len(shown.uri) * 3 / 4 < LIMIT[kind] + 100
    tiny = picture(noise, "full", scale=0.02)
    assert tiny and len(tiny.uri) * 3 / 4 < 0.02 * LIMIT["full"] + 100
    assert picture(b"no picture", "full") is None


def test_a_gallery_of_any_size_stays_within_its_bytes(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = big_noise(640)
    items = read_table(paths.BENCHMARK, BENCHMARK.schema, "benchmark")
    write_table(paths.BENCHMARK, [{**row, "boxed": noise, "crop": noise} for row in items], BENCHMARK.schema)
    few, many = (_gallery_bytes(render_page(gather(0, count, NAMES), "smoke")) for count in (2, 200))
    assert 10 * few > many > few > 400_000
    monkeypatch.setattr(page, "BYTES", 700_000)
    assert 0.3 * 700_000 < _gallery_bytes(render_page(gather(0, 200, NAMES), "smoke")) < 700_000


def test_all_pictures_at_their_limits_leave_room_for_text_in_15_mb() -> None:
    with_pictures = len(FUNNEL) - 1  # images that were dropped have none
    thumbs = with_pictures * dropped.MOST * dropped.EACH * LIMIT["thumb"]
    assert (page.BYTES + LOOKS * LIMIT["look"] + thumbs) * 4 / 3 < 13_500_000


def _gallery_bytes(html: str) -> float:
    """Of the JPEGs after the start of the galleries: 4 characters hold 3 bytes."""
    return sum(len(data) for data in re.findall(r"base64,([^\"]*)", html.split('id="rows"')[1])) * 3 / 4


def test_an_outline_is_given_in_shares_of_the_picture() -> None:
    shown = picture(big_noise(200), "full", (50, 20, 150, 120))
    assert shown and shown.box == "left:25.00%;top:10.00%;width:50.00%;height:50.00%"


def test_text_is_cut_and_its_hidden_marks_are_seen() -> None:
    assert plain("a\x00b\u202ec\nd") == "a⟨U+0000⟩b⟨U+202E⟩c\nd"
    assert plain("a\U000e0041\u3164\u034f\U000e0100\xad") == "a⟨U+E0041⟩⟨U+3164⟩⟨U+034F⟩⟨U+E0100⟩⟨U+00AD⟩"
    assert plain("x" * 5000, 10) == "x" * 10 + " … (5,000 characters)"
    assert plain("Größe 數 😀 $\\pi$") == "Größe 數 😀 $\\pi$"


def test_even_letters_are_no_bias_and_uneven_ones_are() -> None:
    even = Letters(expected=dict.fromkeys("ABCD", 100.0))
    even.counts.update({"A": 110, "B": 95, "C": 90, "D": 105})
    # (10² + 5² + 10² + 5²) / 100 = 2.5; with 3 degrees of freedom p = 0.48
    assert bias_words(even) == "χ² = 2.5, 3 degrees of freedom, p = 0.48: no sign of a bias."
    even.counts.update({"A": 80})  # 190 of 480 against 100 expected of 400: not a table of one total
    assert "no test" in bias_words(even)
    skewed = Letters(expected=dict.fromkeys("ABCD", 100.0))
    skewed.counts.update({"A": 160, "B": 80, "C": 80, "D": 80})
    assert "p < 0.0001: letters are uneven." in bias_words(skewed)
    few = Letters(expected=dict.fromkeys("ABCD", 2.0))
    few.counts.update({"A": 2, "B": 2, "C": 2, "D": 2})
    assert "with care" in bias_words(few)


def test_letters_are_expected_by_how_many_options_a_question_has(whole: Path) -> None:
    rows = read_table(paths.TRAIN, TRAIN.schema, "overlay")
    kept = [row for row in rows if row["status"] == OK]
    copies = [{**row, "row_id": f"{row['row_id']}-full", "view": "full"} for row in kept]  # a second view counts once
    two = {**kept[0], "row_id": "two", "question_id": "two", "options": ["yes", "no"], "label": "A"}
    write_table(paths.TRAIN, [*rows, *copies, two], TRAIN.schema)
    found = measure_spread()
    letters = found.letters["training rows"]
    assert found.questions == len(kept) + 1 == sum(letters.counts.values())
    assert letters.expected["A"] == pytest.approx(len(kept) / 4 + 0.5)
    assert letters.expected["D"] == pytest.approx(len(kept) / 4)


def test_very_many_kinds_become_one_line() -> None:
    lines = bars_of({f"kind {n:03d}": 100 - n for n in range(60)})
    assert len(lines) == 25 and lines[-1][0] == "36 others"
    assert lines[0] == ("kind 000", 100.0, f"100 ({100 * 100 / 4230:.1f} %)")  # 100 + 99 + ... + 41 = 4230


def test_every_reason_has_examples_with_what_there_is_to_see(whole: Path) -> None:
    found = pick_dropped(0)
    assert pick_dropped(0) == found
    assert {stage: list(reasons) for stage, reasons in found.items()} == {
        "sample": ["rejected: near_duplicate"], "crop": ["rejected: too_small"],
        "question": ["rejected: one_clear_answer"], "answer": ["rejected: no_answer"],
        "vote": ["rejected: no_agreement"], "overlay": ["rejected: too_easy"],
    }  # fmt: skip
    assert all(1 <= len(rows) <= 3 for reasons in found.values() for rows in reasons.values())
    region = found["crop"]["rejected: too_small"][0]
    assert region["picture"] and len(region["box"]) == 4  # its crop was never cut: the image, and where
    answer = found["answer"]["rejected: no_answer"][0]
    assert answer["picture"] and dict(answer["facts"])["question"] and dict(answer["facts"])["teacher"]
    assert found["overlay"]["rejected: too_easy"][0]["picture"]
    assert found["sample"]["rejected: near_duplicate"][0]["picture"] is None  # no pool here has the file


def test_an_image_that_was_passed_over_is_shown_as_its_pool_has_it(whole: Path) -> None:
    """Near duplicates, and second copies, whose id is not the file's hash alone."""
    data = photograph(7)
    (whole / "photos").mkdir()
    (whole / "photos" / "a.jpg").write_bytes(data)
    values = yaml.safe_load(Path("params.yaml").read_text())
    values["profiles"]["smoke"]["sample"]["pools"] = [{"kind": "folder", "name": "photos", "path": "photos"}]
    Path("params.yaml").write_text(yaml.safe_dump(values))
    rows = read_table(paths.IMAGES, IMAGES.schema, "sample")
    source = {"pool": "photos", "member": "a.jpg", "start": None, "size": len(data), "image": None}
    lost = [
        {**rows[0], **source, "image_id": name, "status": status, "reason": reason}
        for name, status, reason in (
            (sha256(data), "rejected", "near_duplicate"),
            (f"{sha256(data)}-second", "rejected", "duplicate"),
            ("0" * 64, "rejected", "too_small"),  # the file is another by now
            (f"{sha256(data)}-torn", "failed", "truncated"),  # what nobody could read is not read again
        )
    ]
    write_table(paths.IMAGES, [*(row for row in rows if row["image_id"] != "lost"), *lost], IMAGES.schema)
    found = pick_dropped(0)["sample"]
    assert {reason: [row["picture"] for row in of] for reason, of in found.items()} == {
        "rejected: near_duplicate": [data], "rejected: duplicate": [data],
        "rejected: too_small": [None], "failed: truncated": [None],
    }  # fmt: skip


def test_all_sections_are_there_when_all_was_measured(whole: Path) -> None:
    html = render_page(gather(0, 2, NAMES), "smoke")
    ids = re.findall(r'<section id="([\w-]+)"', html)
    assert ids == ["result", "dimensions", "attention", "cost", "checks", "funnel", "teachers", "audit", "review",
                   "spread", "training", "rows", "fixed", "broken", "still-wrong"]  # fmt: skip
    assert set(re.findall(r'href="#([\w-]+)"', html)) == set(ids)
    levels = [int(level) for level in re.findall(r"<h(\d)", html)]
    assert levels[0] == 1 and levels.count(1) == 1 and max(np.diff(levels)) <= 1


def test_a_rehearsal_says_so_before_all_else(whole: Path) -> None:
    story = gather(0, 2, NAMES)
    shown = render_page(story, "smoke", rehearsal=True)
    assert shown.index("Rehearsal") < shown.index("<h1>") and "Rehearsal" not in render_page(story, "smoke")


def test_shards_and_the_order_of_rows_leave_the_page_as_it_is(whole: Path) -> None:
    before = render_page(gather(0, 3, NAMES), "smoke")
    for listed in (*TABLES, predictions_of("base"), predictions_of("distilled")):
        rows = read_table(listed.folder, listed.schema, listed.stage)
        write_table(listed.folder, rows, listed.schema, shards=5)
    assert render_page(gather(0, 3, NAMES), "smoke") == before


def test_letters_of_the_models_stand_beside_the_right_ones(whole: Path) -> None:
    chosen = gather(0, 1, NAMES).chosen
    items = read_json(paths.metrics("evaluate"))["items"]
    assert [sum(chosen[model].values()) for model in NAMES] == [items] * len(list(NAMES))
    head, lines = chosen_table(measure_spread(), chosen, NAMES)
    assert head == ["Letter", "right option", *NAMES.titles.values()]
    shares = [[float(cell.removesuffix(" %")) for cell in line[1:]] for line in lines]
    assert np.sum(shares, axis=0) == pytest.approx([100] * (1 + len(NAMES.titles)), abs=0.3)


def test_a_benchmark_without_boxes_has_no_gap_and_says_so(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for listed in MODELS:
        rows = read_table(listed.folder, listed.schema, "evaluate")
        write_table(listed.folder, [row for row in rows if row["view"] == "full"], listed.schema)
    items = read_table(paths.BENCHMARK, BENCHMARK.schema, "benchmark")
    write_table(paths.BENCHMARK, [{**i, "box": None, "crop": None, "boxed": None} for i in items], BENCHMARK.schema)
    run_stage(monkeypatch, "score")
    html = render_page(gather(0, 2, NAMES), "smoke")
    assert "Distillation changes the full view by" in html
    assert "Crop view" not in html and "Zooming gap, points" not in html and 'class="gap"' not in html


def test_very_many_reasons_and_dimensions_are_cut(whole: Path) -> None:
    step = Step("crop", "regions", 100, {"ok": 1}, {f"rejected: r{n}": 1 for n in range(99)})
    card = funnel_card(step, {})
    assert len(card["reasons"]) == 40 and card["rest"] == "59 other reasons: 59"
    scores = read_json(paths.metrics("evaluate"))
    scores["by_dimension"] = {f"d{n}": next(iter(scores["by_dimension"].values())) for n in range(90)}
    assert len(dimension_rows(scores, NAMES)) == 40


def test_the_teaching_side_may_be_missing_altogether(whole: Path) -> None:
    for folder in ("sample", "crop", "question", "answer", "vote", "overlay", "train", "attention"):
        shutil.rmtree(Path("data") / folder)
    for file in Path("metrics").glob("*.json"):
        if file.stem != "evaluate":
            file.unlink()
    html = render_page(gather(0, 2, NAMES), "smoke")
    assert "run <code>dvc repro</code>" in html and 'id="fixed"' in html
    assert "data/vote/votes</code>: run <code>dvc repro vote" in html
    for section in ("rows", "teachers", "audit", "review", "training"):
        assert f'id="{section}"' not in html and f'href="#{section}"' not in html


def test_rows_that_others_made_are_shown_without_their_votes(whole: Path) -> None:
    for listed in (VOTES, ANSWERS, REGIONS):
        shutil.rmtree(listed.folder)
    rows = gather(0, 2, NAMES).train
    assert [row["answers"] for row in rows] == [[], []] and all(row["image"] for row in rows)
    assert "? agree" in render_page(gather(0, 2, NAMES), "smoke")


def test_hostile_text_is_text(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_hostile()
    run_stage(monkeypatch, "score")
    run_stage(monkeypatch, "report")
    html = paths.REPORT.read_text(encoding="utf-8")
    assert EVIL[:8] not in html and "<img src=x" not in html and "onload=" not in html.replace("onload=&#34;", "")
    assert "&lt;script&gt;window.ran=1" in html and "{{ 7*7 }}" in html
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069\u200e\u200f\U000e0000-\U000e0fff]", html)
    assert "⟨U+0000⟩" in html and "⟨U+202E⟩" in html and "⟨U+E0041⟩" in html and "W" * 510 not in html
    assert len(html) < 15 * 2**20


def test_published_figures_stand_beside_ours_only_where_that_benchmark_was_measured(whole: Path) -> None:
    scores = read_json(paths.metrics("evaluate"))
    metrics = {"benchmark": {"sources": {"made": {"kind": "zoombench"}, "other": {"kind": "rendered"}}}}
    (card,) = published_beside(metrics, scores, NAMES)
    assert card["ours"]["before"] == scores["by_source"]["made"]["full"]["base"]["accuracy"]
    eight = next(row for row in card["rows"] if row["name"] == "ZwZ-8B")
    assert (eight["before"], eight["after"]) == (0.3787, 0.5811)
    assert eight["crop_before"] - eight["before"] == pytest.approx(eight["gap_before"])
    assert published_beside({"benchmark": {"sources": {"made": {"kind": "rendered"}}}}, scores, NAMES) == []
    assert card["differs"] == [
        "protocol: zwz there, r2i here", "judge: Qwen3-30B-A3B-Instruct-2507 there, none here",
        "items: 845 there, 0 of 0 rows here",
        "judged by: MathRuler and a yes-or-no prompt there, our rules alone here",
    ]  # fmt: skip
    alike = {"protocol": {"name": "zwz", "kind": "zwz"}, "judge": "Qwen/Qwen3-30B-A3B-Instruct-2507"}
    judged = "judged by: MathRuler and a yes-or-no prompt there, our rules, then a judge by our prompt here"
    whole = {"kind": "zoombench", "found": {"rows": 845}, "status": {"ok": 845}, "complete": True}
    for source, differs in (
        (whole, []),
        (whole | {"status": {"ok": 12}}, ["items: 845 there, 12 of 845 rows here"]),
        (whole | {"found": {"rows": 12}, "status": {"ok": 12}, "complete": False},
         ["items: 845 there, 12 of 12 rows here"]),
    ):  # fmt: skip
        (card,) = published_beside({"benchmark": {"sources": {"made": source}}}, scores | alike, NAMES)
        assert card["differs"] == [*differs, judged]
    assert "ZwZ-8B" in render_page(gather(0, 1, NAMES), "smoke")


def test_a_zoom_is_said_to_be_given_only_where_no_model_chose_its_box() -> None:
    ratios = {"vision_forwards": 3.0, "tokens_in": 2.5, "tokens_out": 1.0}
    scores = {"cost": {"zoom_over_full": {NAMES.headline: ratios}}}
    chosen, given = ("\n".join(evaluation_lines(scores, NAMES, box)) for box in (False, True))
    assert "mini can't" not in given and "the item's own" in given and "the item's own" not in chosen


def test_sampled_replies_are_said_to_be_of_the_temperature_that_was_used(whole: Path) -> None:
    rows = read_table(paths.PREDICTIONS / "base", PREDICTIONS, "evaluate@base")
    for row in rows:
        row["sampling"] = json.dumps({"temperature": 0.7 if row["sample"] else 0.0})
    write_table(paths.PREDICTIONS / "base", rows, PREDICTIONS)
    assert read_replies("base").temperatures == {0.7}
    story = replace(gather(0, 1, NAMES), temperatures=(0.7,))
    assert "sampled at temperature 0.7" in render_page(story, "smoke")


def test_the_gap_is_drawn_from_view_to_view() -> None:
    cell = {"ci95": [0.5, 0.7], "n": 10}
    views = {
        "full": {"base": {**cell, "accuracy": 0.6}, "distilled": {**cell, "accuracy": 0.8}},
        "crop": {"base": {**cell, "accuracy": 1.0}, "distilled": {**cell, "accuracy": 1.0}},
    }
    svg = gap_picture({"views": views, "chance": 0.25}, NAMES)
    # the axis starts at 15 %: 100 % is at y = 24, 15 % at y = 244; 60 % is 40/85 of the 220 px below the top
    assert "M62 24.0L350 24.0L350 75.8L62 127.5Z" in svg
    assert "gap 40.0" in svg and "gap 20.0" in svg
    low = {"full": {"base": {**cell, "accuracy": 0.4, "ci95": [0.1, 0.7]}},
           "crop": {"base": {**cell, "accuracy": 0.1, "ci95": [0.0, 0.4]}}}  # fmt: skip
    svg = gap_picture({"views": low, "chance": 0.25}, ModelNames({"base": "Base"}, {}))
    heights = [float(y) for y in re.findall(r'class="(?:value|points|model)"[^>]* y="([\d.]+)"', svg)]
    height = float(re.findall(r'viewBox="0 0 400 ([\d.]+)"', svg)[0])
    assert all(abs(one - other) >= 12 for one, other in pairwise(sorted(heights))) and max(heights) < height
    assert gap_picture({"views": {"full": {}, "crop": {}}, "chance": 0.25}, NAMES) == ""


def test_a_long_training_is_drawn_with_few_points() -> None:
    steps = [{"step": n, "reward": float(n)} for n in range(1, 5001)]
    found = curve(steps, "reward", "compared")
    assert found and found["first"] == "1" and found["steps"] == "1 to 5000"
    assert found["svg"].count("L") <= 2 * POINTS
    head, lines = curve_table(steps)
    assert head == ["Step", "Reward"] and len(lines) == 12
    assert (lines[0], lines[-1]) == (["1", "1"], ["5000", "5e+03"])


def test_cost_is_counted_for_a_kept_question() -> None:
    calls = {"calls": {"m": {"requests": 10, "tokens_in": 900, "tokens_out": 70, "cost": 2.0}}}
    metrics = {"question": calls, "answer": calls, "vote": {}, "overlay": {"questions": {"status": {"ok": 4}}}}
    head, lines = cost_lines(metrics)
    assert head[-1] == "Cost" and lines[-1] == ["for a kept question", "", "5", "450", "35", "1"]
    del calls["calls"]["m"]["cost"]
    assert cost_lines(metrics)[0][-1] == "Reply tokens"


def test_what_a_filter_changed_is_known_only_with_the_truth() -> None:
    counts = {"rows": 10, "status": {"ok": 8}}
    audit = {
        "votes": {
            "majority": {"value": 0.9, "n": 10},
            "kept": {"value": 1.0, "n": 8},
            "dropped": {"value": 0.5, "n": 2},
        }
    }
    metrics = {"question": {}, "vote": counts, "overlay": {}, "audit": audit}
    assert filter_lines(metrics) == [
        ["Vote: the most common answer is right", "8 of 10", "90.0 %", "100.0 %", "50.0 %"]
    ]
    assert filter_lines({**metrics, "audit": {}}) == []


def test_agreement_says_how_often_it_was_right() -> None:
    metrics = {
        "vote": {"agree": {"5": 10, "8": 30}},
        "audit": {"votes": {"by_agreement": {"8": {"value": 0.97, "n": 30}}}},
    }
    assert agreement_bars(metrics) == [("8", 100.0, "30 (75.0 %) · 97.0 % right"), ("5", 33.33, "10 (25.0 %)")]


def test_a_human_check_is_shown_once_somebody_has_looked() -> None:
    review = {"reviewed": 0, "alpha": {"value": None, "n": 0}}
    assert review_cards({"overlay": {"review": review}, "benchmark": {}}) == []
    found = {
        "reviewed": 9,
        "accepted": 8,
        "acceptance": {"value": 0.875, "ci95": [0.5, 0.98]},
        "alpha": {"value": None},
    }
    (card,) = review_cards({"overlay": {}, "benchmark": {"review": found}})
    assert card["title"] == "Benchmark items"
    assert card["lines"] == [["reviewed", "9"], ["accepted", "8"], ["acceptance", "87.5 % [50.0, 98.0]"]]


def test_benchmarks_are_listed_where_there_are_several() -> None:
    cells = {
        "full": {
            "base": {"accuracy": 0.5, "ci95": [0.4, 0.6], "n": 7},
            "distilled": {"accuracy": 0.6, "ci95": [0.5, 0.7], "n": 7},
        },
        "crop": {"base": None},
    }
    assert source_rows({"by_source": {"one": cells}}, NAMES) == []
    scores = {"views": cells, "by_source": {"two": cells, "one": cells}}
    rows = source_rows(scores, NAMES)
    assert [(row["name"], row["n"]) for row in rows] == [("one", 7), ("two", 7)]
    assert group_heads(scores, NAMES) == ["Base, full", "Distilled, full"]  # nobody saw a crop
    assert rows[0]["cells"] == [("50.0 %", "[40.0, 60.0]"), ("60.0 %", "[50.0, 70.0]")]


def test_the_latency_bench_is_shown_for_the_model_that_it_measured(whole: Path) -> None:
    bench = {"model": "models/mini", "device": "cpu", "items": 5,
             "batch_1": {view: {"p50_ms": 17.2, "p95_ms": 18.1} for view in ("full", "zoom")}}  # fmt: skip
    Path("bench/results").mkdir(parents=True)
    Path("bench/results/latency.json").write_text(json.dumps(bench), encoding="utf-8")
    assert "P95, ms" in render_page(gather(0, 1, NAMES, "models/mini"), "smoke")
    assert "P95, ms" not in render_page(gather(0, 1, NAMES, "another"), "smoke")


def test_the_study_is_one_picture_of_the_profile_that_it_is_of(whole: Path) -> None:
    """The interval ends at 5 points, so the axis at 6, the next multiple of 2: 3 points lie at three quarters."""
    same = {"paper": "–", "unit": "points", "bound": 0.0, "profile": "smoke", "seeds": 3}
    found = {
        "a": same | {"says": "It <b>helps</b>", "ours": 0.03, "ci95": [0.01, 0.05], "verdict": "holds here"},
        "b": same | {"says": "It costs less", "ours": 0.5, "ci95": [0.5, 0.5], "unit": "ratio", "verdict": "does not"},
        "c": same | {"says": "Not yet", "ours": None, "ci95": None, "verdict": "not run", "seeds": 0},
    }
    drawn = study_picture(found, "smoke")
    assert [row["spot"] and row["spot"]["at"] for row in drawn["rows"]] == [75.0, None, None]
    assert [tick["text"] for tick in drawn["ticks"]] == ["−6", "−4", "−2", "0", "+2", "+4", "+6"]
    assert drawn["rows"][1]["ours"] == "0.50 times [0.50, 0.50]"
    assert study_picture(found, "mini") == {} == study_picture({"c": found["c"]}, "smoke")
    Path("metrics/study.json").write_text(json.dumps(found), encoding="utf-8")
    text = render_page(gather(0, 1, NAMES), "smoke")
    assert 'href="#study"' in text and "It &lt;b&gt;helps" in text
    assert 'id="study"' not in render_page(gather(0, 1, NAMES), "mini")


def test_a_failed_call_is_in_no_gallery_as_it_is_in_no_score(whole: Path) -> None:
    def totals() -> dict[str, int]:
        return {kind: len(ids) for kind, ids in items_by_kind([read_replies(m) for m in NAMES.leading]).items()}

    listed = predictions_of("base")
    rows = read_table(listed.folder, PREDICTIONS, listed.stage)
    after = read_table(predictions_of("distilled").folder, PREDICTIONS, "evaluate")
    right = {row["item_id"] for row in after if row["view"] == "full" and row["sample"] == 0 and row["correct"]}
    before = totals()
    one = next(r for r in rows if r["view"] == "full" and r["sample"] == 0 and r["correct"] and r["item_id"] in right)
    one |= {"status": FAILED, "reason": "timeout", "correct": None, "predicted": "", "reply": ""}
    write_table(listed.folder, rows, PREDICTIONS)
    assert totals() == before
    assert read_replies("base").outcomes.num_rows == read_replies("distilled").outcomes.num_rows - 1


def test_rows_of_others_have_no_votes_and_no_tries_and_the_page_does_not_invent_them(whole: Path) -> None:
    rows = read_table(TRAIN.folder, TRAIN.schema, TRAIN.stage)
    story = gather(0, 3, NAMES)
    assert "tries right on the boxed image" in render_page(story, "mini")
    write_table(TRAIN.folder, [row | {"agree": None, "right": None, "tries": None} for row in rows], TRAIN.schema)
    html = render_page(gather(0, 3, NAMES), "mini")
    assert "tries right on the boxed image" not in html and "None of" not in html
