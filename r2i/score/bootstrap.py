"""The bootstrap that draws whole clusters.

One draw is used for all columns of a table, so that differences between them are paired.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from r2i.score.proportion import Interval, wilson

Floats = NDArray[np.float64]
LEVEL = 0.95


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


def accuracy_interval(values: Floats, clusters: Sequence[str], draws: int, seed: int) -> Interval:
    """95 % interval of the mean of `values`, (items,) of 0 and 1, clustered.

    Where all items are right (or all wrong) resampling shows no spread: then Wilson's interval,
    with clusters as the trials.
    """
    mean = float(values.mean())
    if mean in (0.0, 1.0):
        return wilson(mean, len(set(clusters)))
    return interval(bootstrap_means(values[:, None], clusters, draws, seed)[:, 0])
