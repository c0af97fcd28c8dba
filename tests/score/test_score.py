"""What `score` says of predictions, and the layout of metrics/evaluate.json."""

import json
import shutil
from pathlib import Path

import pytest
from made_run import make_run, run_stage, write_params

from r2i.core import paths
from r2i.core.errors import TableError
from r2i.core.records import ATTENTION, PREDICTIONS
from r2i.core.tables import read_table, write_table
from r2i.score.compare import accuracy, compare, corrected, gain, gap
from r2i.score.coverage import compare_coverage
from r2i.score.proportion import mcnemar_p
from r2i.score.replies import cost, count_failed, count_unscored, pass_curve, repeat_spread, rule_shares
from r2i.score.scores import collect_scores

Marks = list[bool | str | None]  # right, wrong, unscored; "failed": the call failed; "rejected": no such view


def _items(n: int, **columns: list[str]) -> list[dict]:
    base = {"options": ["a", "b"], "dimension": "ocr", "source": "made", "status": "ok"}
    return [
        {"item_id": f"i{i}", "image_id": f"m{i}", "cluster_id": f"m{i}", **base}
        | {name: values[i] for name, values in columns.items()}
        for i in range(n)
    ]


def _row(item: int, view: str, mark: bool | str | None, sample: int = 0) -> dict:
    said = isinstance(mark, str)
    return {
        "item_id": f"i{item}", "view": view, "sample": sample, "correct": None if said else mark,
        "rule": "none" if said or mark is None else "letter", "status": mark if said else "ok",
        "tokens_in": None if said else 100, "tokens_out": None if said else 4, "vision_forwards": None if said else 1,
    }  # fmt: skip


def _greedy(**views: Marks) -> list[dict]:
    return [_row(i, view, mark) for view, marks in views.items() for i, mark in enumerate(marks)]


def _scores(base: list[dict], distilled: list[dict], n: int, **columns: list[str]):
    return collect_scores(_items(n, **columns), {"base": base, "distilled": distilled}, 200, seed=0)


def test_gap_and_its_change() -> None:
    # base: crop 4/4, full 1/4: gap 0.75; distilled: crop 4/4, full 3/4: gap 0.25; two thirds are gone
    base = _greedy(full=[True, False, False, False], crop=[True] * 4)
    distilled = _greedy(full=[True, True, True, False], crop=[True] * 4)
    found = gap(_scores(base, distilled, 4), "distilled")
    assert (found["base"], found["distilled"], found["change"]) == pytest.approx((0.75, 0.25, -0.5))
    assert found["closed_share"] == pytest.approx(2 / 3)
    assert found["ci95"][0] <= -0.5 <= found["ci95"][1]
    # changes by item 0, -1, -1, 0; sums of residuals ±1/2: se² = 4/3 · 4 · 1/4 / 16 = 1/12
    assert found["se"] == pytest.approx((1 / 12) ** 0.5)


def test_every_model_has_its_own_gap_with_interval_and_test() -> None:
    # full 1/4, crop 4/4: gap 3/4 by three items of one side; McNemar 2/2^3
    base = _greedy(full=[True, False, False, False], crop=[True] * 4)
    alone = compare(collect_scores(_items(4, dimension=["a", "a", "b", "b"]), {"base": base}, 200, seed=0))
    found = alone["gaps"]["base"]
    assert (found["value"], found["n"], found["p_mcnemar"]) == (0.75, 4, 0.25)
    assert found["pairs"] == {"fixed": 3, "broken": 0, "both_right": 1, "both_wrong": 0}
    assert found["ci95"][0] < 0.75 <= found["ci95"][1] and found["se"] == pytest.approx((4 / 3 * 0.75 / 16) ** 0.5)
    assert alone["gap"] == {"base": 0.75}
    assert {name: group["gaps"]["base"]["value"] for name, group in alone["by_dimension"].items()} == {"a": 0.5, "b": 1}
    assert not {"full_gain", "crop_change", "corrected", "power"} & set(alone)
    beside = compare(_scores(base, _greedy(full=[True] * 4, crop=[True] * 4), 4, dimension=["a", "a", "b", "b"]))
    assert beside["gaps"]["base"] == found and beside["gap"]["base"] == 0.75
    assert beside["gaps"]["distilled"]["value"] == 0.0 and beside["gap"]["change"] == -0.75


def test_unscored_replies_are_wrong_and_failed_calls_are_in_no_accuracy_and_no_pair() -> None:
    # distilled: item 1 fails, item 3 can't be read: right are 0 and 2 of 0, 2, 3; the base has 0 of these
    base = _greedy(full=[True, True, False, False], crop=[True] * 4)
    distilled = _greedy(full=[True, "failed", True, None], crop=[True] * 4)
    scores = _scores(base, distilled, 4)
    found = gain(scores, "distilled", "full")
    assert found["n"] == 3 and found["value"] == pytest.approx(1 / 3)
    assert found["pairs"] == {"fixed": 1, "broken": 0, "both_right": 1, "both_wrong": 1}
    compared = compare(scores)
    assert compared["views"]["full"]["distilled"]["accuracy"] == pytest.approx(2 / 3)
    assert compared["gaps"]["distilled"]["n"] == compared["gap"]["n"] == 3 and compared["gaps"]["base"]["n"] == 4
    other = compare(_scores(_greedy(full=[True, "failed"]), _greedy(full=["failed", True]), 2))
    assert other["full_gain"]["value"] is None and other["power"]["n"] == 0  # no item that both answered
    with pytest.raises(TableError, match="was answered"):
        _scores(_greedy(full=[True, True]), _greedy(full=["failed", "failed"]), 2)
    assert count_failed(distilled) == count_unscored(distilled) == {"full": 1, "crop": 0}


def test_items_without_a_box_have_no_crop_view_and_are_left_out_of_the_gap_alone() -> None:
    # crop of item 2: no row for the one model, a rejected row for the other
    base = _greedy(full=[False, False, True], crop=[True, True])
    distilled = _greedy(full=[True, False, True], crop=[True, True, "rejected"])
    scores = _scores(base, distilled, 3)
    assert gap(scores, "distilled")["n"] == 2
    assert gap(scores, "distilled")["base"] == 1.0
    assert gain(scores, "distilled", "full")["n"] == 3
    assert accuracy(scores, ("distilled", "crop"))["n"] == 2


def test_a_benchmark_without_any_box_has_no_gap() -> None:
    scores = _scores(_greedy(full=[True, False]), _greedy(full=[True, True]), 2)
    found = compare(scores)
    assert found["gap"]["change"] is None and found["gap"]["n"] == 0
    assert found["views"]["crop"]["base"]["accuracy"] is None
    assert found["full_gain"]["value"] == 0.5


def test_predictions_of_another_benchmark_are_refused() -> None:
    whole = _greedy(full=[True, True], crop=[True, True])
    with pytest.raises(TableError, match="i1"):
        _scores(whole, whole, 1)
    with pytest.raises(TableError, match="cover 2 of 3"):
        _scores(whole, whole, 3)
    with pytest.raises(TableError, match="no crop view"):
        _scores(whole, [row for row in whole if row["view"] == "full"], 2)
    with pytest.raises(TableError, match="other items in the crop view"):
        _scores(whole, whole[:-1], 2)
    with pytest.raises(TableError, match="no full view"):
        _scores([row for row in whole if row["view"] == "crop"], whole, 2)


def test_options_that_were_cycled_are_one_cluster() -> None:
    # 8 questions x 4 cycles, each question answered alike four times: as good as 8 items
    marks: Marks = [bool(i // 4 % 2) for i in range(32)]
    alone = _scores(_greedy(full=marks), _greedy(full=marks), 32)
    cycled = _scores(_greedy(full=marks), _greedy(full=marks), 32, cluster_id=[f"q{i // 4}" for i in range(32)])
    se = [accuracy(scores, ("base", "full"))["se"] for scores in (alone, cycled)]
    # s²/n with s² = 32/31 · 1/4, against 8/7 · 1/4 / 8
    assert se == pytest.approx([(0.25 / 31) ** 0.5, (0.25 / 7) ** 0.5])


def test_p_values_by_dimension_are_corrected_for_their_number() -> None:
    # a: 6 fixed of 6, p = 2/2^6; b: nothing changes, p = 1
    base, distilled = [False] * 6 + [True] * 4, [True] * 10
    scores = _scores(
        _greedy(full=base), _greedy(full=distilled), 10, dimension=["a"] * 6 + ["b"] * 4, source=["x", "y"] * 5
    )
    found = corrected(scores, "distilled", "dimension")
    assert found["a"]["gain"] == 1.0 and found["b"]["gain"] == 0.0
    assert found["a"]["p_mcnemar"] == pytest.approx({"raw": 1 / 32, "holm": 1 / 16, "bh": 1 / 16})
    assert found["b"]["p_mcnemar"] == {"raw": 1.0, "holm": 1.0, "bh": 1.0}
    by_source = corrected(scores, "distilled", "source")
    assert set(by_source) == {"x", "y"}
    assert by_source["x"]["p_mcnemar"]["raw"] == mcnemar_p(3, 0)
    assert compare(scores)["by_source"]["x"]["full"]["base"]["n"] == 5


def test_pass_curve_leaves_out_items_with_a_failed_try() -> None:
    tries: list[Marks] = [[True, False, False, False], [False, False, None, False], [True, True, "failed", True]]
    rows = [_row(item, "full", mark, n + 1) for item, marks in enumerate(tries) for n, mark in enumerate(marks)]
    # item 0: 1 of 4 right, so pass@1 1/4, pass@2 1 - C(3,2)/C(4,2) = 1/2, pass@4 1; item 1: 0; means over 2 items
    assert pass_curve(rows) == {"1": 0.125, "2": 0.25, "4": 0.5, "n": 2}
    assert pass_curve([{**row, "sample": 0} for row in rows]) == {}
    assert pass_curve(rows, "crop") == {}


def test_repeats_have_a_mean_and_a_spread() -> None:
    tries: list[Marks] = [[True, False], [True, "failed"], [False, False], [True, True]]
    rows = [_row(item, "full", mark, n + 1) for item, marks in enumerate(tries) for n, mark in enumerate(marks)]
    # repeats 3/4 and 1/3, where one call failed: mean 13/24, sd (5/12) / √2
    found = repeat_spread(rows)["full"]
    assert (found["accuracy"], found["repeats"]) == (pytest.approx(13 / 24), 2)
    assert found["sd"] == pytest.approx(5 / 12 / 2**0.5)


def test_shares_of_rules_are_of_the_replies_that_came() -> None:
    rows = _greedy(full=[True, False, None, "failed"])
    assert rule_shares(rows) == pytest.approx({"letter": 2 / 3, "none": 1 / 3})
    assert rule_shares([]) == {}


def test_zoom_costs_over_the_full_view_are_of_the_same_items() -> None:
    rows = _greedy(full=[True, True], zoom=[True, "failed"])
    rows[0] |= {"tokens_in": 50}
    rows[2] |= {"tokens_in": 150, "tokens_out": 10, "vision_forwards": 2}
    found = cost({"base": rows})
    assert found["full"]["base"] == {"tokens_in": 75.0, "tokens_out": 4.0, "vision_forwards": 1.0}
    assert found["zoom_over_full"]["base"] == {"tokens_in": 3.0, "tokens_out": 2.5, "vision_forwards": 2.0}
    assert cost({"base": rows[:2]})["zoom_over_full"] is None
    unknown = cost({"base": [{**row, "tokens_in": None} for row in rows]})
    assert unknown["zoom_over_full"]["base"]["tokens_in"] is None


def _looks(*coverage: float | None) -> list[dict]:
    return [
        {"item_id": f"i{i}", "cluster_id": f"m{i}", "coverage": value, "box_share": 0.1,
         "status": "failed" if value is None else "ok"}
        for i, value in enumerate(coverage)
    ]  # fmt: skip


def test_coverage_is_paired_by_item() -> None:
    # item 2 failed for distilled: of items 0 and 1 the base covers 0.2 on average, distilled 0.45
    rows = {"base": _looks(0.1, 0.3, 0.9), "distilled": _looks(0.3, 0.6, None)}
    for looks in rows.values():
        looks[1]["box_share"] = 0.3
    found = compare_coverage(rows, 200, 0)
    assert found is not None and found["n"] == 2
    assert (found["base"], found["distilled"], found["change"]) == pytest.approx((0.2, 0.45, 0.25))
    # 0.1/0.1 and 0.3/0.3; 0.3/0.1 and 0.6/0.3
    assert (found["focus_base"], found["focus_distilled"]) == pytest.approx((1.0, 2.5))
    assert found["ci95"] == pytest.approx([0.2, 0.3])
    assert (
        compare_coverage({"base": _looks(0.1), "distilled": [{**_looks(0.1)[0], "item_id": "other"}]}, 200, 0) is None
    )


def test_focus_is_over_the_share_of_a_models_own_tokens() -> None:
    finer = [look | {"box_share": 0.05} for look in _looks(0.2, 0.2)]
    found = compare_coverage({"base": _looks(0.2, 0.2), "distilled": finer}, 200, 0)
    assert (found["focus_base"], found["focus_distilled"]) == (pytest.approx(2), pytest.approx(4))


def test_coverage_of_the_only_model_that_was_measured_has_its_interval() -> None:
    found = compare_coverage({"base": _looks(0.1, 0.3)}, 200, 0)
    assert found is not None and (found["base"], found["n"]) == (pytest.approx(0.2), 2)
    assert found["ci95"] == pytest.approx([0.1, 0.3]) and "change" not in found
    assert compare_coverage({"base": _looks(0.1, 0.3), "distilled": _looks(None)}, 200, 0) == found
    assert compare_coverage({"base": _looks(None)}, 200, 0) is None is compare_coverage({}, 200, 0)


def test_every_layer_has_its_coverage_and_a_layer_that_says_nothing_is_null() -> None:
    # box share 0.1: focus is ten times the coverage; of layer 1 one item says nothing, of layer 2 none does
    curves = [[0.1, 0.2, None], [0.3, None, None]]
    looks = [look | {"curve": curve} for look, curve in zip(_looks(0.1, 0.3), curves, strict=True)]
    found = compare_coverage({"base": looks}, 200, 0)
    assert found is not None
    curve = found["curve"]["base"]
    assert curve["coverage"] == [pytest.approx(0.2), pytest.approx(0.2), None] and curve["n"] == 2
    assert curve["focus"] == [pytest.approx(2), pytest.approx(2), None]
    assert curve["ci95"][0] == pytest.approx([0.1, 0.3]) and curve["ci95"][2] == [None, None]
    older = compare_coverage({"base": _looks(0.1)}, 200, 0)
    assert older is not None and older["curve"] == {}


def test_layers_of_an_item_are_averaged() -> None:
    rows = {"base": _looks(0.1) + _looks(0.3), "distilled": _looks(0.2)}
    found = compare_coverage(rows, 200, 0)
    assert found is not None and found["base"] == pytest.approx(0.2) and found["n"] == 1


def test_the_stage_writes_what_the_issue_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(6)
    shutil.rmtree(paths.IMAGES)  # no contamination without them
    write_params(tmp_path)
    _fail_one_call()
    run_stage(monkeypatch, "score")
    found = json.loads(Path("metrics/evaluate.json").read_text())
    assert set(found["views"]) == {"full", "crop", "boxed"}
    assert set(found["views"]["full"]["base"]) == {"accuracy", "ci95", "n", "se", "ci95_clustered"}
    assert {"base", "distilled", "change", "ci95"} <= set(found["gap"])
    assert {"value", "ci95", "p_mcnemar"} <= set(found["full_gain"])
    assert set(found["by_dimension"]["ocr"]) == {"full", "crop", "gaps"}
    assert set(found["by_source"]["made"]) == {"full", "crop", "gaps"}
    assert set(found["corrected"]["dimension"]["ocr"]["p_mcnemar"]) == {"raw", "holm", "bh"}
    assert {"smallest_difference", "n", "discordance"} <= set(found["power"])
    assert set(found["pass_at_k"]["base"]) == {"1", "2", "n"}
    assert found["rules"]["base"] == {"letter": 1.0}
    assert found["failed"]["base"] == {"full": 1, "crop": 0, "boxed": 0}
    assert found["unscored"]["base"] == {"full": 0, "crop": 0, "boxed": 0}
    assert found["seeds"] == {"run": 0, "bootstrap_draws": 200}
    assert found["chance"] == 0.25
    assert found["coverage"] is None and found["contamination"] is None
    first = Path("metrics/evaluate.json").read_bytes()
    run_stage(monkeypatch, "score")
    assert Path("metrics/evaluate.json").read_bytes() == first


def test_the_stage_reads_attention_where_it_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(2)
    write_params(tmp_path)
    for model, coverage in (("base", 0.1), ("distilled", 0.4)):
        write_table(
            paths.ATTENTION / model,
            [{**look, "layer": 4, "attention_id": f"{look['item_id']}-4"} for look in _looks(coverage)],
            ATTENTION,
        )
    run_stage(monkeypatch, "score")
    found = json.loads(Path("metrics/evaluate.json").read_text())["coverage"]
    assert (found["base"], found["distilled"], found["focus_distilled"]) == (0.1, 0.4, 4.0)


def test_the_stage_ends_with_a_remedy_where_predictions_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(2)
    write_params(tmp_path)
    for part in Path("data/evaluate/distilled").iterdir():
        part.unlink()
    with pytest.raises(SystemExit) as stopped:
        run_stage(monkeypatch, "score")
    assert stopped.value.code == 1
    assert "dvc repro evaluate@distilled" in capsys.readouterr().err
    assert not Path("metrics/evaluate.json").exists()


def _fail_one_call() -> None:
    rows = read_table(paths.PREDICTIONS / "base", PREDICTIONS, "evaluate@base")
    first = next(row for row in rows if row["view"] == "full" and row["sample"] == 0)
    first |= {"status": "failed", "reason": "timeout", "correct": None}
    write_table(paths.PREDICTIONS / "base", rows, PREDICTIONS)
