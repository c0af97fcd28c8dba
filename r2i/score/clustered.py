"""The mean of clustered data: its sandwich standard error, t interval and t test.

For items y_i in clusters g = 1 .. G with mean m, CR1 is

    se² = G / (G - 1) · Σ_g (Σ_{i in g} (y_i - m))² / n²

which is what least squares on a constant with clustered errors gives (Cameron & Miller 2015, "A
practitioner's guide to cluster-robust inference", eq. 11-12; with one regressor their second factor,
(n - 1) / (n - k), is 1). Intervals and tests use Student's t with G - 1 degrees of freedom.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from r2i.score.proportion import Interval, mcnemar_p, wilson

Floats = NDArray[np.float64]
EPSILON = 1e-12  # sums of residuals below it are rounding


@dataclass(frozen=True)
class Mean:
    """The mean of n items in G clusters. `se` is None where one cluster leaves no spread to measure."""

    value: float
    se: float | None
    n: int
    clusters: int

    @property
    def spreads(self) -> bool:
        return self.se is not None and self.se > EPSILON

    @property
    def quantile(self) -> float:
        """Student's t of a 95 % interval, G - 1 degrees of freedom."""
        return float(student.ppf(0.975, self.clusters - 1))


def clustered_mean(values: Floats, clusters: Sequence[str]) -> Mean:
    """Mean and CR1 standard error of `values`, (items,) without NaN. Raises ValueError for none."""
    if not len(values):
        raise ValueError("the mean of no items")
    names, member = np.unique(np.asarray(clusters), return_inverse=True)
    mean, count = float(values.mean()), len(names)
    if count == 1:
        return Mean(mean, None, len(values), 1)
    sums = np.bincount(member, weights=values - mean, minlength=count)  # (clusters,)
    variance = count / (count - 1) * float(sums @ sums) / len(values) ** 2
    return Mean(mean, sqrt(variance), len(values), count)


def share_interval(mean: Mean) -> Interval:
    """95 % interval of an accuracy m: Wilson's, with the t quantile and m (1 - m) / se² effective trials.

    In the middle that is m ± t · se; near 0 and 1, where m ± t · se holds the truth too rarely, it leans
    inwards. Where clusters show no spread (all right, all wrong, or one cluster), clusters are the trials.
    """
    if not mean.spreads:
        return wilson(min(1.0, max(0.0, mean.value)), mean.clusters)
    assert mean.se is not None
    return wilson(mean.value, mean.value * (1 - mean.value) / mean.se**2, mean.quantile)


def difference_interval(mean: Mean) -> Interval:
    """95 % interval of a mean of differences d, each -1, 0 or 1: d ± t · se.

    `flat_interval` where clusters show no spread.
    """
    if not mean.spreads:
        return flat_interval(mean)
    assert mean.se is not None
    half = mean.quantile * mean.se
    return mean.value - half, mean.value + half


def flat_interval(mean: Mean) -> Interval:
    """An interval where all clusters agree, so that neither sandwich nor bootstrap has any width.

    The mean, give or take as much as Wilson's interval leaves open after G trials without one exception.
    """
    room = wilson(0.0, mean.clusters)[1]
    return max(-1.0, mean.value - room), min(1.0, mean.value + room)


def zero_p(mean: Mean) -> float:
    """Two-sided t test of a mean difference of zero, clusters as the units.

    Where clusters show no spread: 1.0 for a mean of zero, else the exact sign test of G clusters
    that all moved one way.
    """
    if abs(mean.value) <= EPSILON:
        return 1.0
    if not mean.spreads:
        return mcnemar_p(mean.clusters, 0)
    assert mean.se is not None
    return float(2 * student.sf(abs(mean.value) / mean.se, mean.clusters - 1))


def design_effect(values: Floats, mean: Mean) -> float:
    """How many times clustering widens the variance of the mean: n / design effect items would do if independent.

    At least 1: that clusters happen to disagree within themselves is no promise about the next ones.
    """
    if len(values) < 2 or not mean.spreads:
        return 1.0
    assert mean.se is not None
    return max(1.0, mean.se**2 / (float(values.var(ddof=1)) / len(values)))
