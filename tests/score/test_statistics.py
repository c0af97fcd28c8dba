"""Statistics against arithmetic by hand, scipy, statsmodels, and simulated data."""

from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from r2i.score.bootstrap import Floats, accuracy_interval, bootstrap_means, interval
from r2i.score.clustered import (
    clustered_mean,
    design_effect,
    difference_interval,
    share_interval,
    zero_p,
)
from r2i.score.correction import benjamini_hochberg, holm
from r2i.score.paired import count_pairs, difference
from r2i.score.power import smallest_difference
from r2i.score.proportion import mcnemar_p, pass_at_k, wilson

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
    assert wilson(0.5, 10) == pytest.approx((0.236594, 0.763406), abs=1e-5)
    assert wilson(1, 10)[1] == 1.0 and wilson(1, 10)[0] == pytest.approx(10 / (10 + 3.84146), abs=1e-5)


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
    values, clusters = np.ones(40), [str(i // 4) for i in range(40)]
    assert accuracy_interval(values, clusters, 100, 0) == wilson(1, 10)
    assert share_interval(clustered_mean(values, clusters)) == wilson(1, 10)


def test_the_sandwich_by_hand() -> None:
    # a: 1 1, b: 1 0, c: 0; mean 3/5. Sums of residuals: a 4/5, b -1/5, c -3/5
    # se² = 3/2 · (16 + 1 + 9)/25 / 25 = 0.0624
    mean = clustered_mean(np.array([1.0, 1, 1, 0, 0]), ["a", "a", "b", "b", "c"])
    assert (mean.value, mean.n, mean.clusters) == (0.6, 5, 3)
    assert mean.se == pytest.approx(sqrt(0.0624))
    # t(2 degrees of freedom, 97.5 %) = 4.302653
    assert difference_interval(mean) == pytest.approx((0.6 - 4.302653 * sqrt(0.0624), 0.6 + 4.302653 * sqrt(0.0624)))
    # 0.24/0.0624 = 3.84615 effective trials, t² = 18.51282: centre (0.6 + 2.40667)/5.81333 = 0.517202,
    # half width 4.302653/5.81333 · √(0.0624 + 0.312867) = 0.453400
    assert share_interval(mean) == pytest.approx((0.063802, 0.970602), abs=1e-5)


def test_one_cluster_has_no_standard_error_and_nearly_no_information() -> None:
    mean = clustered_mean(np.array([1.0, 0, 1]), ["a", "a", "a"])
    assert mean.se is None
    assert share_interval(mean) == wilson(mean.value, 1)
    with pytest.raises(ValueError):
        clustered_mean(np.array([]), [])


def test_with_every_item_its_own_cluster_the_sandwich_is_the_textbook_error() -> None:
    values = np.random.default_rng(2).integers(0, 2, 60).astype(float)
    mean = clustered_mean(values, [str(i) for i in range(60)])
    assert mean.se == pytest.approx(values.std(ddof=1) / sqrt(60))
    assert design_effect(values, mean) == pytest.approx(1.0)


def test_clusters_of_equal_items_have_a_design_effect_of_their_size() -> None:
    # 50 questions asked 4 times with cycled options, always answered alike: 200 items are worth 50
    values = np.repeat(np.random.default_rng(3).integers(0, 2, 50), 4).astype(float)
    found = design_effect(values, clustered_mean(values, [str(i // 4) for i in range(200)]))
    # 50/49 · Σ(4r)²/200² over Σ4r²/199/200 = 4 · 50/49 · 199/200
    assert found == pytest.approx(4 * 50 / 49 * 199 / 200)


def test_models_that_never_differ_are_not_known_to_be_equal() -> None:
    same = np.ones(80)
    found = difference(same, same, [str(i // 2) for i in range(80)], 100, 0)
    assert found.mean.value == 0 and found.p_clustered == 1.0 and found.pairs.p_mcnemar == 1.0
    assert found.ci95 == found.ci95_clustered == (-wilson(0, 40)[1], wilson(0, 40)[1])
    assert found.smallest is None


def test_clusters_that_all_moved_one_way_are_a_sign_test() -> None:
    found = difference(np.zeros(10), np.ones(10), [str(i // 2) for i in range(10)], 100, 0)
    assert found.p_clustered == pytest.approx(2 / 2**5)  # five clusters
    assert found.ci95 == (1 - wilson(0, 5)[1], 1.0)


def test_pairs_are_counted_from_before_to_after() -> None:
    before, after = np.array([1, 1, 0, 0, 0], bool), np.array([1, 0, 1, 1, 0], bool)
    assert vars(count_pairs(before, after)) == {"fixed": 2, "broken": 1, "both_right": 1, "both_wrong": 1}
    assert count_pairs(before, after).discordance == 0.6


def test_holm_and_benjamini_hochberg_by_hand() -> None:
    p = [0.03, 0.01, 0.04]
    # Holm: 0.01·3 = 0.03; 0.03·2 = 0.06; 0.04·1 -> 0.06, never below the one before
    assert holm(p) == pytest.approx([0.06, 0.03, 0.06])
    # BH from above: 0.04·3/3 = 0.04; 0.03·3/2 = 0.045 -> 0.04; 0.01·3 = 0.03
    assert benjamini_hochberg(p) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == benjamini_hochberg([]) == []


def test_corrections_and_mcnemar_are_those_of_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    rng = np.random.default_rng(5)
    for size in (1, 2, 7, 30):
        p = rng.uniform(0, 0.2, size).round(3)  # with ties
        assert holm(p) == pytest.approx(multitest.multipletests(p, method="holm")[1].tolist())
        assert benjamini_hochberg(p) == pytest.approx(multitest.multipletests(p, method="fdr_bh")[1].tolist())
    for fixed, broken in ((0, 3), (12, 6), (40, 41), (228, 18)):
        table = [[100, broken], [fixed, 50]]
        assert mcnemar_p(fixed, broken) == pytest.approx(float(tables.mcnemar(table, exact=True).pvalue))


def test_the_sandwich_is_that_of_statsmodels() -> None:
    regression = pytest.importorskip("statsmodels.regression.linear_model")
    rng = np.random.default_rng(6)
    for clusters in (3, 40, 300):
        member = rng.integers(0, clusters, 3 * clusters)
        values = rng.integers(-1, 2, len(member)).astype(float)
        codes = np.unique(member, return_inverse=True)[1]
        fit = regression.OLS(values, np.ones(len(values))).fit(
            cov_type="cluster", cov_kwds={"groups": codes, "df_correction": True}, use_t=True
        )
        mean = clustered_mean(values, [str(m) for m in member])
        assert mean.se == pytest.approx(float(fit.bse[0]))
        assert difference_interval(mean) == pytest.approx(fit.conf_int()[0].tolist())
        assert zero_p(mean) == pytest.approx(float(fit.pvalues[0]))


# clusters, items in each (from, to), intra-cluster correlation: mini's size, V*Bench's, HR-Bench's cycled options
SHAPES = {"images": (360, (1, 3), 0.3), "single": (191, (1, 1), 0.3), "cycles": (200, (4, 4), 0.7)}


@pytest.mark.parametrize("accuracy", [0.6, 0.85, 0.975])
@pytest.mark.parametrize("shape", SHAPES)
def test_95_percent_intervals_hold_the_truth_in_at_least_93_percent_of_1000_draws(shape: str, accuracy: float) -> None:
    values, names = _benchmarks(shape, accuracy)
    means = [clustered_mean(column, names) for column in values.T]
    assert _coverage([share_interval(mean) for mean in means], accuracy) >= 0.93
    bootstrap = [interval(drawn) for drawn in bootstrap_means(values, names, 2000, 0).T]
    if (shape, accuracy) == ("cycles", 0.975):  # a handful of hard questions: t and percentiles are too short,
        assert _coverage([difference_interval(mean) for mean in means], accuracy) < 0.92  # Wilson's form is not
        assert _coverage(bootstrap, accuracy) < 0.93
        return
    assert _coverage(bootstrap, accuracy) >= 0.93
    if shape == "cycles":  # taking items for independent: the interval is half as wide as it must be
        naive = [share_interval(clustered_mean(column, np.arange(len(names)))) for column in values.T]
        assert _coverage(naive, accuracy) < 0.8


def _benchmarks(shape: str, accuracy: float, draws: int = 1000) -> tuple[Floats, list[str]]:
    """Right or wrong of (items, draws), and each item's cluster.

    A cluster's chance is drawn from a Beta with mean `accuracy`, so its items are alike.
    """
    count, (least, most), alike = SHAPES[shape]
    rng = np.random.default_rng(11)
    sizes = rng.integers(least, most + 1, count)
    weight = (1 - alike) / alike  # of a Beta whose intra-cluster correlation is `alike`
    chance = rng.beta(accuracy * weight, (1 - accuracy) * weight, (count, draws)).repeat(sizes, axis=0)
    return (rng.random(chance.shape) < chance).astype(float), np.arange(count).repeat(sizes).astype(str).tolist()


def _coverage(intervals: list[tuple[float, float]], truth: float) -> float:
    return float(np.mean([low <= truth <= high for low, high in intervals]))


def test_intervals_of_a_paired_gain_hold_the_truth_in_at_least_93_percent_of_1000_draws() -> None:
    """300 images of 2 questions; base and distilled share what makes an image hard; the gain is 8 points."""
    rng = np.random.default_rng(12)
    names = np.arange(300).repeat(2).astype(str).tolist()
    chance = rng.beta(3, 1.5, (300, 1000)).repeat(2, axis=0)  # mean 2/3
    before = (rng.random(chance.shape) < 0.88 * chance).astype(float)
    after = (rng.random(chance.shape) < chance).astype(float)
    sandwich = [difference_interval(clustered_mean(change, names)) for change in (after - before).T]
    means = bootstrap_means(np.concatenate([before, after], axis=1), names, 2000, 0)
    bootstrap = [interval(drawn) for drawn in (means[:, 1000:] - means[:, :1000]).T]
    assert _coverage(sandwich, 0.08) >= 0.93
    assert _coverage(bootstrap, 0.08) >= 0.93


def test_a_test_of_no_difference_is_wrong_in_about_5_percent() -> None:
    rng = np.random.default_rng(14)
    names = np.arange(200).repeat(4).astype(str).tolist()
    change = rng.choice([1.0, -1.0, 0.0], size=(1000, 200), p=[0.1, 0.1, 0.8]).repeat(4, axis=1)
    alarms = np.mean([zero_p(clustered_mean(row, names)) < 0.05 for row in change])
    assert alarms == pytest.approx(0.05, abs=0.02)  # three standard errors
    # McNemar takes the four cycles of a question for four questions
    exact = np.mean([mcnemar_p(int((row == 1).sum()), int((row == -1).sum())) < 0.05 for row in change])
    assert exact > 0.2


def test_the_smallest_difference_by_hand() -> None:
    # n = 845, a fifth of the items differ: δ²·845 = (1.959964·√0.2 + 0.841621·√(0.2 - δ²))²
    found = smallest_difference(845, 0.2)
    assert found is not None
    assert sqrt(845) * found == pytest.approx(1.959964 * sqrt(0.2) + 0.841621 * sqrt(0.2 - found**2), abs=1e-6)
    assert found == pytest.approx(0.0430, abs=1e-4)
    # four times the items: about half; clusters worth 4 items each take that back
    quarter = smallest_difference(4 * 845, 0.2)
    assert quarter == pytest.approx(found / 2, rel=0.01)
    assert smallest_difference(4 * 845, 0.2, design=4) == pytest.approx(found)


def test_more_discordance_hides_more_and_too_little_shows_nothing() -> None:
    found = [smallest_difference(845, share) for share in (0.05, 0.1, 0.2, 0.4, 1.0)]
    assert all(less < more for less, more in pairwise(found))
    # even if all 6 pairs of 845 went one way McNemar's p would be 2/2^6 = 0.03, at 3 of them 0.25: no power left
    assert smallest_difference(845, 3 / 845) is None
    assert smallest_difference(845, 0.0) is None


@pytest.mark.parametrize("size", [1, 4])
def test_a_difference_of_the_smallest_size_is_shown_in_80_percent_of_repetitions(size: int) -> None:
    """800 items in clusters of `size` that answer alike; a quarter of them differ."""
    items, discordance, draws = 800, 0.25, 4000
    delta = smallest_difference(items, discordance, design=size)
    assert delta is not None
    rng = np.random.default_rng(13)
    up, down = (discordance + delta) / 2, (discordance - delta) / 2
    clusters = items // size
    change = rng.choice([1.0, -1.0, 0.0], size=(draws, clusters), p=[up, down, 1 - discordance])
    error = change.std(axis=1, ddof=1) / sqrt(clusters)  # of equal clusters the sandwich is this
    one = clustered_mean(np.repeat(change[0], size), np.repeat(np.arange(clusters), size))
    assert one.se == pytest.approx(error[0])
    shown = np.abs(change.mean(axis=1)) / error > student.ppf(0.975, clusters - 1)
    # 4 000 draws: standard error 0.6 points; the formula is an approximation
    assert shown.mean() == pytest.approx(0.8, abs=0.025)
    assert norm.cdf(0.841621) == pytest.approx(0.8, abs=1e-5)
