"""Two models on the same items: everything that is said of their difference."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from r2i.score.bootstrap import Floats, bootstrap_means, interval
from r2i.score.clustered import Mean, clustered_mean, design_effect, difference_interval, flat_interval, zero_p
from r2i.score.power import smallest_difference
from r2i.score.proportion import mcnemar_p


@dataclass(frozen=True)
class Pairs:
    """Items by what became of them from the first model to the second."""

    fixed: int
    broken: int
    both_right: int
    both_wrong: int

    @property
    def n(self) -> int:
        return self.fixed + self.broken + self.both_right + self.both_wrong

    @property
    def discordance(self) -> float:
        """Share of items on which the two differ."""
        return (self.fixed + self.broken) / self.n

    @property
    def p_mcnemar(self) -> float:
        return mcnemar_p(self.fixed, self.broken)


@dataclass(frozen=True)
class Difference:
    """`after` minus `before`: exact test, clustered test, both intervals, and what could have been shown."""

    mean: Mean
    pairs: Pairs
    ci95: tuple[float, float]
    """Of the clustered bootstrap."""
    ci95_clustered: tuple[float, float]
    """Of the sandwich."""
    p_clustered: float
    smallest: float | None


def count_pairs(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Pairs:
    return Pairs(
        fixed=int((~before & after).sum()),
        broken=int((before & ~after).sum()),
        both_right=int((before & after).sum()),
        both_wrong=int((~before & ~after).sum()),
    )


def difference(before: Floats, after: Floats, clusters: Sequence[str], draws: int, seed: int) -> Difference:
    """Compare two models on the same items. `before`, `after`: (items,) of 0 and 1, at least one item.

    Where all clusters agree, both intervals are `flat_interval`.
    """
    pairs = count_pairs(before == 1, after == 1)
    change = after - before  # (items,)
    mean = clustered_mean(change, clusters)
    drawn = bootstrap_means(np.stack([before, after], axis=1), clusters, draws, seed)
    return Difference(
        mean=mean,
        pairs=pairs,
        ci95=interval(drawn[:, 1] - drawn[:, 0]) if mean.spreads else flat_interval(mean),
        ci95_clustered=difference_interval(mean),
        p_clustered=zero_p(mean),
        smallest=smallest_difference(pairs.n, pairs.discordance, design_effect(change, mean)),
    )
