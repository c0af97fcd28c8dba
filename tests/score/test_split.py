"""What the gap is made of, and averages over benchmarks."""

import numpy as np
import pytest
from test_score import _greedy, _items

from r2i.score.clustered import clustered_mean
from r2i.score.macro import macro_averages, macro_mean
from r2i.score.scores import Scores, collect_scores
from r2i.score.split import split_gap

T, F = True, False


def _alone(n: int, columns: dict[str, list[str]] | None = None, **views: list[bool | str | None]) -> Scores:
    return collect_scores(_items(n, **(columns or {})), {"base": _greedy(**views)}, 400, seed=0)


def test_the_gap_is_what_was_not_looked_at_and_what_was_not_seen() -> None:
    # full 1/8, box drawn 3/8, crop 7/8: pointing gains 2/8, enlarging 4/8 more; the last item has no box
    found = split_gap(_alone(
        9, full=[T, F, F, F, F, F, F, F, T], boxed=[T, T, T, F, F, F, F, F, "rejected"],
        crop=[T, T, T, T, T, T, T, F, "rejected"],
    ))  # fmt: skip
    parts = found["split"]["base"]["boxed"]
    assert (parts["not_looked_at"]["value"], parts["not_seen"]["value"], parts["gap"]["value"]) == (0.25, 0.5, 0.75)
    assert {part["n"] for part in parts.values()} == {8} and parts["not_seen"]["pairs"]["fixed"] == 4
    assert all(part["ci95"][0] <= part["value"] <= part["ci95"][1] for part in parts.values())
    assert "guessing" not in found and "recut" not in found and "by_magnification" not in found


def test_a_guess_is_no_evidence_that_was_used() -> None:
    # painted over 2/8, full 4/8, crop 6/8: of the 4/8 that the evidence is worth the full view gets half
    marks = {"removed": [T] * 2 + [F] * 6, "full": [T] * 4 + [F] * 4, "crop": [T] * 6 + [F] * 2}
    found = split_gap(_alone(8, **marks))["guessing"]["base"]["removed"]
    assert (found["full"]["value"], found["crop"]["value"], found["used"]["share"]) == (0.25, 0.5, 0.5)
    assert found["used"]["ci95"][0] < 0.5 < found["used"]["ci95"][1]
    useless = split_gap(_alone(8, **marks | {"crop": [T] * 2 + [F] * 6}))["guessing"]["base"]["removed"]
    assert useless["used"] == {"share": None, "ci95": [None, None], "n": 8}
    lost = {view: [*values, "failed" if view == "removed" else T] for view, values in marks.items()}
    assert split_gap(_alone(9, **lost))["guessing"]["base"]["removed"] == found  # a call that failed is no wrong guess


def test_strata_and_one_scale_stand_beside_the_gap() -> None:
    strata = {"magnification": ["native"] * 4 + ["twofold"] * 4 + ["unknown"]}
    found = split_gap(_alone(
        9, strata, full=[F] * 8 + [T], crop=[T, F, F, F, T, T, T, F, "rejected"],
        recut=[T, T, T, F, T, T, T, F, "rejected"],
    ))  # fmt: skip
    assert {name: cells["gaps"]["base"]["value"] for name, cells in found["by_magnification"].items()} == {
        "native": 0.25, "twofold": 0.75
    }  # fmt: skip
    assert found["recut"]["base"]["value"] == 0.75  # the crops as they came: 0.5


def test_a_small_benchmark_counts_as_much_as_a_large_one() -> None:
    # 1 of 2 and 8 of 8: pooled 90 %, macro 75 %
    of = {"source": ["small"] * 2 + ["large"] * 8, "group": ["seen"] * 10}
    scores = _alone(10, of, full=[T, F] + [T] * 8, crop=[T] * 2 + ["rejected"] * 8)
    found = macro_averages(scores)
    assert found is not None and list(found) == ["all"]  # the only group is all of them
    full = found["all"]["views"]["full"]["base"]
    assert full["value"] == 0.75 and full["ci95"][0] < 0.75 < full["ci95"][1]
    # CR1 of 1, 0 in two clusters: 2 · (1/4 + 1/4) / 4 = 1/4; large has none; over 2² = 4
    assert full["se"] == pytest.approx((0.25 / 4) ** 0.5)
    gap = found["all"]["gaps"]["base"]
    assert gap["value"] is None and gap["sources"] == ["small"]  # the other has no crop
    assert macro_averages(_alone(2, full=[T, F])) is None


def test_groups_have_averages_of_their_own() -> None:
    of = {"source": list("aabbccdd"), "group": ["near"] * 4 + ["far"] * 4}
    found = macro_averages(_alone(8, of, full=[T, T, T, F, F, F, T, F]))
    assert found is not None and list(found) == ["all", "far", "near"]
    values = {name: group["views"]["full"]["base"]["value"] for name, group in found.items()}
    assert values == {"all": 0.5, "far": 0.25, "near": 0.75}


def test_the_error_of_a_macro_average_is_that_of_independent_means_and_shared_images_count_once() -> None:
    rng = np.random.default_rng(0)
    values, of = rng.integers(0, 2, 90).astype(float), np.array(["a"] * 60 + ["b"] * 30)
    own = [f"{source}{at // 2}" for at, source in enumerate(of)]
    parts = [clustered_mean(values[:60], own[:60]), clustered_mean(values[60:], own[60:])]
    mean = macro_mean(values, of, own)
    assert mean.value == pytest.approx((parts[0].value + parts[1].value) / 2)
    assert mean.se == pytest.approx(((parts[0].se or 0) ** 2 + (parts[1].se or 0) ** 2) ** 0.5 / 2)
    assert 14 < mean.clusters < 45  # degrees of freedom between those of the smaller and of both together
    twins = macro_mean(np.concatenate([values[:30]] * 2), np.array(["a"] * 30 + ["b"] * 30), [*own[:30], *own[:30]])
    assert twins.se == pytest.approx(clustered_mean(values[:30], own[:30]).se)  # the same images twice tell nothing new
