"""Statistics against arithmetic by hand, and the layout of metrics/evaluate.json."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from made_run import make_run, write_params

from r2i.errors import TableError
from r2i.score.compare import collect_scores, compare, gain, gap, pass_curve
from r2i.score.statistics import accuracy_interval, bootstrap_means, interval, mcnemar_p, pass_at_k, wilson

SCORE = Path(__file__).parents[1] / "stages" / "score.py"
NAN = float("nan")


def test_mcnemar_is_the_binomial_of_the_pairs_that_differ() -> None:
    # 9 fixed, 1 broken: P(X <= 1 or X >= 9) = 2 * (C(10,0) + C(10,1)) / 2**10 = 22 / 1024
    assert mcnemar_p(9, 1) == pytest.approx(22 / 1024)
    assert mcnemar_p(1, 9) == mcnemar_p(9, 1)
    assert mcnemar_p(5, 5) == 1.0
    assert mcnemar_p(0, 0) == 1.0


def test_wilson_of_five_in_ten() -> None:
    # centre 0.5; half width = z/(1+z²/n) * sqrt(p(1-p)/n + z²/4n²), z² = 3.84146
    # = 1.95996/1.384146 * sqrt(0.025 + 0.0096036) = 1.41601 * 0.186020 = 0.263406
    low, high = wilson(5, 10)
    assert (low, high) == pytest.approx((0.236594, 0.763406), abs=1e-5)
    assert wilson(10, 10)[1] == 1.0 and wilson(10, 10)[0] == pytest.approx(10 / (10 + 3.84146), abs=1e-5)


def test_pass_at_k_is_one_minus_the_chance_that_all_k_are_wrong() -> None:
    # 2 of 8 right, k = 4: 1 - C(6,4)/C(8,4) = 1 - 15/70
    assert pass_at_k(2, 8, 4) == pytest.approx(55 / 70)
    assert pass_at_k(2, 8, 1) == pytest.approx(2 / 8)
    assert pass_at_k(0, 8, 8) == 0.0
    assert pass_at_k(1, 8, 8) == 1.0
    with pytest.raises(ValueError):
        pass_at_k(1, 2, 3)


def test_bootstrap_draws_whole_clusters() -> None:
    # two images of 3 items each, one all right and one all wrong: a draw of 2 images has mean 0, 0.5 or 1
    values = np.array([[1.0], [1.0], [1.0], [0.0], [0.0], [0.0]])
    means = bootstrap_means(values, ["a", "a", "a", "b", "b", "b"], 400, seed=1)[:, 0]
    assert set(means.tolist()) == {0.0, 0.5, 1.0}
    # each of 0 and 1 comes with chance 1/4: 100 of 400, give or take 5 standard deviations of 8.7
    assert 57 < (means == 0.0).sum() < 143


def test_one_draw_serves_all_columns() -> None:
    rng = np.random.default_rng(0)
    before = rng.integers(0, 2, 50).astype(float)
    drawn = bootstrap_means(np.stack([before, before], axis=1), [str(i // 2) for i in range(50)], 100, seed=3)
    assert (drawn[:, 0] == drawn[:, 1]).all()  # a paired difference of equals is 0 in every draw


def test_items_without_a_value_do_not_count() -> None:
    means = bootstrap_means(np.array([[1.0], [NAN], [NAN]]), ["a", "b", "b"], 50, seed=0)[:, 0]
    assert set(means[~np.isnan(means)].tolist()) == {1.0}
    assert np.isnan(means).any()  # draws of b alone hold no value


def test_the_order_of_items_plays_no_part() -> None:
    values = np.array([[1.0], [0.0], [1.0], [0.0], [0.0]])
    names = ["a", "b", "c", "a", "b"]
    turned = bootstrap_means(values[::-1], names[::-1], 50, seed=0)
    assert (bootstrap_means(values, names, 50, seed=0) == turned).all()


def test_the_interval_of_independent_items_is_near_the_normal_one() -> None:
    # 200 items, half right: 0.5 -+ 1.96 * sqrt(0.25/200) = 0.5 -+ 0.0693
    values = np.array([[float(i % 2)] for i in range(200)])
    low, high = interval(bootstrap_means(values, [str(i) for i in range(200)], 4000, seed=0)[:, 0])
    assert (low, high) == pytest.approx((0.4307, 0.5693), abs=0.01)


def test_clusters_that_agree_widen_the_interval() -> None:
    values = np.array([float(i // 4 % 2) for i in range(200)])  # images of 4 items, all right or all wrong
    low, high = accuracy_interval(values, [str(i // 4) for i in range(200)], 2000, 0)
    narrow = accuracy_interval(values, [str(i) for i in range(200)], 2000, 0)
    assert (high - low) / (narrow[1] - narrow[0]) == pytest.approx(2, abs=0.3)  # sqrt(4)


def test_a_perfect_score_still_has_an_interval_with_images_as_trials() -> None:
    assert accuracy_interval(np.ones(40), [str(i // 4) for i in range(40)], 100, 0) == wilson(10, 10)


def _items(n: int) -> list[dict]:
    return [
        {"item_id": f"i{i}", "image_id": f"m{i}", "options": ["a", "b"], "dimension": "ocr", "status": "ok"}
        for i in range(n)
    ]


def _greedy(full: list[bool | None], crop: list[bool | None]) -> list[dict]:
    return [
        {"item_id": f"i{i}", "view": view, "sample": 0, "correct": right, "status": "failed" if right is None else "ok"}
        for view, marks in (("full", full), ("crop", crop))
        for i, right in enumerate(marks)
    ]


def _scores(base: list[dict], distilled: list[dict], n: int):
    return collect_scores(_items(n), {"base": base, "distilled": distilled}, 200, seed=0)


def test_gap_and_its_change() -> None:
    # base: crop 4/4, full 1/4: gap 0.75; distilled: crop 4/4, full 3/4: gap 0.25; two thirds are gone
    base = _greedy([True, False, False, False], [True] * 4)
    distilled = _greedy([True, True, True, False], [True] * 4)
    found = gap(_scores(base, distilled, 4), "distilled")
    assert (found["base"], found["distilled"], found["change"]) == pytest.approx((0.75, 0.25, -0.5))
    assert found["closed_share"] == pytest.approx(2 / 3)
    assert found["ci95"][0] <= -0.5 <= found["ci95"][1]


def test_a_failed_call_is_left_out_of_both_sides() -> None:
    # item 1 fails for distilled: of items 0, 2, 3 the base has 1 right and distilled 2, so +1/3
    base = _greedy([True, True, False, False], [True] * 4)
    distilled = _greedy([True, None, True, False], [True] * 4)
    scores = _scores(base, distilled, 4)
    found = gain(scores, "distilled", "full")
    assert found["n"] == 3 and found["value"] == pytest.approx(1 / 3)
    assert found["pairs"] == {"fixed": 1, "broken": 0, "both_right": 1, "both_wrong": 1}
    assert compare(scores)["unscored"]["distilled"] == {"full": 1, "crop": 0}
    assert compare(scores)["views"]["full"]["base"]["n"] == 4


def test_predictions_of_another_benchmark_are_refused() -> None:
    whole = _greedy([True, True], [True, True])
    with pytest.raises(TableError, match="i1"):
        _scores(whole, whole, 1)
    with pytest.raises(TableError, match="cover"):
        _scores(whole, whole, 3)
    with pytest.raises(TableError, match="no crop view"):
        _scores([row for row in whole if row["view"] == "full"], whole, 2)


def test_pass_curve_leaves_out_items_with_a_failed_try() -> None:
    tries = {"a": [True, False, False, False], "b": [False] * 4, "c": [True, True, None, True]}
    rows = [
        {
            "item_id": item,
            "view": "full",
            "sample": i + 1,
            "correct": right,
            "status": "failed" if right is None else "ok",
        }
        for item, marks in tries.items()
        for i, right in enumerate(marks)
    ]
    # a: 1 of 4 right, so pass@1 1/4, pass@2 1 - C(3,2)/C(4,2) = 1/2, pass@4 1; b: 0; means over 2 items
    assert pass_curve(rows) == {"1": 0.125, "2": 0.25, "4": 0.5, "n": 2}
    assert pass_curve([{**row, "sample": 0} for row in rows]) == {}


def test_the_stage_writes_what_the_issue_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(6)
    write_params(tmp_path)
    _run_stage(monkeypatch)
    found = json.loads(Path("metrics/evaluate.json").read_text())
    assert set(found["views"]) == {"full", "crop", "boxed"}
    assert set(found["views"]["full"]["base"]) == {"accuracy", "ci95", "n"}
    assert {"base", "distilled", "change", "ci95"} <= set(found["gap"])
    assert {"value", "ci95", "p_mcnemar"} <= set(found["full_gain"])
    assert set(found["by_dimension"]["ocr"]) == {"full", "crop"}
    assert set(found["pass_at_k"]["base"]) == {"1", "2", "n"}
    assert found["chance"] == 0.25
    first = Path("metrics/evaluate.json").read_bytes()
    _run_stage(monkeypatch)
    assert Path("metrics/evaluate.json").read_bytes() == first


def test_the_stage_ends_with_a_remedy_where_predictions_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(2)
    write_params(tmp_path)
    for part in Path("data/evaluate/distilled").iterdir():
        part.unlink()
    with pytest.raises(SystemExit) as stopped:
        _run_stage(monkeypatch)
    assert stopped.value.code == 1
    assert "dvc repro evaluate@distilled" in capsys.readouterr().err
    assert not Path("metrics/evaluate.json").exists()


def _run_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCORE)])
    try:
        runpy.run_path(str(SCORE), run_name="__main__")
    except SystemExit as done:
        if done.code:
            raise
