"""Statistics of paired, clustered right-or-wrong data. Pure: arrays in, numbers out.

Questions about one image are not independent: intervals come from a bootstrap that draws whole
images. One draw is used for all columns of a table, so that differences between them are paired.
"""

from collections.abc import Sequence
from math import comb, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

Floats = NDArray[np.float64]
Interval = tuple[float, float]
LEVEL = 0.95
Z = 1.959963984540054  # of a two-sided 95 % interval


def bootstrap_means(values: Floats, clusters: Sequence[str], draws: int, seed: int) -> Floats:
    """Means of every column in `draws` resamples of whole clusters.

    `values`: (items, columns), NaN where an item has no value in a column. `clusters`: the cluster
    of each item. Returns (draws, columns); NaN where a resample holds no value of a column. The
    result depends on neither the order of items nor the names of clusters that hold none.
    """
    names, member = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.zeros((len(names), values.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, member, np.nan_to_num(values))
    np.add.at(counts, member, ~np.isnan(values))
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)  # (draws, clusters)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (drawn @ sums) / (drawn @ counts)


def interval(samples: Floats) -> Interval:
    """The percentile interval of `samples`, (draws,), at 95 %; NaNs are left out."""
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(samples, [tail, 1 - tail])
    return float(low), float(high)


def wilson(right: int, n: int) -> Interval:
    """Wilson's 95 % interval of a proportion of independent trials."""
    share = right / n
    middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return (0.0 if right == 0 else middle - half), (1.0 if right == n else middle + half)


def accuracy_interval(values: Floats, clusters: Sequence[str], draws: int, seed: int) -> Interval:
    """95 % interval of the mean of `values`, (items,) of 0 and 1, clustered.

    Where all items are right (or all wrong) resampling shows no spread: then Wilson's interval,
    with clusters as the trials.
    """
    mean = float(values.mean())
    if mean in (0.0, 1.0):
        n = len(set(clusters))
        return wilson(n if mean else 0, n)
    return interval(bootstrap_means(values[:, None], clusters, draws, seed)[:, 0])


def mcnemar_p(fixed: int, broken: int) -> float:
    """Two-sided exact McNemar test: are `fixed` and `broken` pairs equally likely? 1.0 without any.

    It takes the pairs for independent; the clustered interval beside it does not.
    """
    return float(binomtest(fixed, fixed + broken, 0.5).pvalue) if fixed + broken else 1.0


def pass_at_k(right: int, tries: int, k: int) -> float:
    """Chance that one of `k` replies drawn from `tries` is right, of which `right` are: unbiased.

    Raises ValueError where `k > tries`: then there is no unbiased estimate.
    """
    if not 1 <= k <= tries:
        raise ValueError(f"pass@{k} needs at least {k} tries, not {tries}")
    return 1.0 - comb(tries - right, k) / comb(tries, k)
