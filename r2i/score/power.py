"""What a benchmark can show: the smallest difference that n paired items detect.

For pairs of which a share ψ (discordance) differs, McNemar's test at level α finds a true difference
δ with chance 1 - β when (Connor 1987, Biometrics 43)

    n_eff · δ² = (z_{α/2} · √ψ + z_β · √(ψ - δ²))²,   n_eff = n / design effect of the clusters.
"""

from math import sqrt

from scipy.optimize import brentq
from scipy.stats import norm

ALPHA = 0.05  # two-sided
POWER = 0.8


def smallest_difference(n: int, discordance: float, design: float = 1.0) -> float | None:
    """The smallest true difference of two accuracies that `n` paired items show with 80 % power at two-sided 5 %.

    `discordance`: share of items on which the two differ, 0 to 1. `design`: r2i.score.clustered.design_effect.
    None where not even the largest possible difference, all discordant pairs one way, would be shown.
    """
    items = n / design

    def excess(delta: float) -> float:
        needed = norm.isf(ALPHA / 2) * sqrt(discordance) + norm.isf(1 - POWER) * sqrt(discordance - delta**2)
        return float(items * delta**2 - needed**2)

    if not 0 < discordance <= 1 or excess(discordance) < 0:
        return None
    return float(brentq(excess, 0.0, discordance))
