"""p-values of many tests made together."""

from collections.abc import Sequence

import numpy as np


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down p-values: the chance of any false alarm among all tests stays below the level.

    Sorted upwards, p_(i) · (m - i + 1), made monotone, at most 1 (Holm 1979). In the order given.
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values, kind="stable")
    raised = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    return _back(raised, order)


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's p-values: the share of false alarms among the alarms stays below the level.

    Sorted upwards, p_(i) · m / i, made monotone from above, at most 1 (1995). In the order given.
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values, kind="stable")
    raised = values[order] * len(values) / np.arange(1, len(values) + 1)
    return _back(np.minimum.accumulate(raised[::-1])[::-1], order)


def _back(raised: "np.ndarray", order: "np.ndarray") -> list[float]:
    found = np.empty(len(raised))
    found[order] = np.minimum(raised, 1.0)
    return [float(value) for value in found]
