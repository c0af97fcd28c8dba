"""An axis around zero for differences of shares, as pages draw it."""

from collections.abc import Iterable

STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5)  # distances of the ticks


def axis_around_zero(values: Iterable[float]) -> tuple[float, list[tuple[float, float]]]:
    """How far it reaches to both sides, a round number that holds all `values`, and at most nine ticks: where each
    lies, in percent of the axis's width, and its value."""
    widest = max(map(abs, values), default=0.0)
    step = next((step for step in STEPS if 4 * step >= widest), STEPS[-1])
    count = max(1, -int(-widest // step))
    return count * step, [(round(50 + 50 * n / count, 2), n * step) for n in range(-count, count + 1)]
