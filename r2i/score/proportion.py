"""Counts of independent trials: Wilson's interval, the exact McNemar test, pass@k."""

from math import comb, sqrt

from scipy.stats import binomtest

Interval = tuple[float, float]
Z = 1.959963984540054  # of a two-sided 95 % interval


def wilson(share: float, n: float, z: float = Z) -> Interval:
    """Wilson's score interval of a proportion: `share` of `n` independent trials.

    `z`: the quantile, of a 95 % interval unless told; `n` may be an effective number, with a fraction.
    """
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (0.0 if share == 0 else middle - half), (1.0 if share == 1 else middle + half)


def mcnemar_p(fixed: int, broken: int) -> float:
    """Two-sided exact McNemar test: are `fixed` and `broken` pairs equally likely? 1.0 without any.

    It takes the pairs for independent; the clustered test beside it does not.
    """
    return float(binomtest(fixed, fixed + broken, 0.5).pvalue) if fixed + broken else 1.0


def pass_at_k(right: int, tries: int, k: int) -> float:
    """Chance that one of `k` replies drawn from `tries` is right, of which `right` are: unbiased.

    1 - C(tries - right, k) / C(tries, k) (arXiv 2107.03374, eq. 1). Raises ValueError where
    `k > tries`: then there is no unbiased estimate.
    """
    if not 1 <= k <= tries:
        raise ValueError(f"pass@{k} needs at least {k} tries, not {tries}")
    return 1.0 - comb(tries - right, k) / comb(tries, k)
