"""A comparison over seeds and items: its value, its interval, and what that says of the claim. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.stats import norm

from r2i.score.clustered import Mean, clustered_mean, difference_interval
from r2i.score.power import POWER
from r2i.tools.study.claims import Cell, Claim, Pair

Floats = NDArray[np.float64]
Verdict = Literal["holds here", "does not", "can't be told", "not run"]


@dataclass(frozen=True)
class Found:
    """A comparison. `smallest`: the effect that so many items and seeds would show in four of five repetitions."""

    value: float
    ci95: tuple[float, float]
    smallest: float
    items: int
    seeds: int


@dataclass(frozen=True)
class Values:
    """What the two cells have on the items that both measured, in one seed: (items,) each, and the items' clusters."""

    this: Floats
    that: Floats
    clusters: list[str]


def pair_items(this: pa.Table, that: pa.Table, pair: Pair, measure: str) -> Values | None:
    """The items that both cells have; None where there is none.

    `this`, `that`: the items (outcomes.ITEMS) of their experiments, which may be one.
    """
    first, second = (_of_cell(table, cell, measure) for table, cell in ((this, pair.this), (that, pair.that)))
    common = sorted(first.keys() & second.keys())
    if not common:
        return None
    values = [np.array([cell[item][0] for item in common], dtype=np.float64) for cell in (first, second)]
    return Values(values[0], values[1], [first[item][1] for item in common])


def _of_cell(items: pa.Table, cell: Cell, measure: str) -> dict[str, tuple[float, str]]:
    """By item id, the value and the cluster."""
    keep = pc.and_(pc.equal(items["model"], cell.model), pc.equal(items["view"], cell.view))
    keep = pc.and_(pc.and_(keep, pc.equal(items["source"], cell.source)), pc.is_valid(items[measure]))
    if cell.dimensions:
        keep = pc.and_(keep, pc.is_in(items["dimension"], value_set=pa.array(list(cell.dimensions))))
    rows = items.filter(keep).select(["item_id", measure, "cluster_id"]).to_pydict()
    pairs = zip(rows[measure], rows["cluster_id"], strict=True)
    return dict(zip(rows["item_id"], pairs, strict=True))


def compare(seeds: Mapping[int, Values], ratio: bool) -> Found | None:
    """`this` minus `that` (or over it), paired by item, pooled over seeds; None without any seed, or over nothing.

    Two 95 % intervals are made and the wider one is taken: with images as the units, which knows nothing of how much
    another training differs; and, of two seeds or more, with seeds as the units (Student's t, seeds - 1 degrees of
    freedom), which the luck of few seeds may make too narrow. A ratio r is linearised: items count as
    r + (this - r · that) / mean(that).
    """
    if not seeds:
        return None
    this, that = (np.concatenate([getattr(found, side) for found in seeds.values()]) for side in ("this", "that"))
    values = this - that
    if ratio and not that.sum():
        return None
    if ratio:
        whole = float(this.sum() / that.sum())
        values = whole + (this - whole * that) / float(that.mean())
    of_seed = [str(seed) for seed, found in seeds.items() for _ in found.clusters]
    of_image = [f"{seed} {cluster}" for seed, found in seeds.items() for cluster in found.clusters]
    means = [clustered_mean(values, of_image)]
    if len(seeds) > 1 and (by_seed := clustered_mean(values, of_seed)).spreads:
        means.append(by_seed)
    counted = ratio or max(this.max(), that.max()) > 1  # tokens or images, not shares
    if counted and not means[0].spreads:  # every item costs the same
        return Found(means[0].value, (means[0].value,) * 2, 0.0, len(values), len(seeds))
    mean, low, high = max(((one, *difference_interval(one)) for one in means), key=lambda found: found[2] - found[1])
    return Found(mean.value, (low, high), _smallest(mean, (high - low) / 2), len(values), len(seeds))


def _smallest(mean: Mean, half: float) -> float:
    """Half the interval tells what is significant; a further quantile of the same error, what is likely to be."""
    return half + (float(norm.ppf(POWER)) * mean.se if mean.spreads and mean.se is not None else 0.0)


def judge(claim: Claim, found: Found | None) -> Verdict:
    """What the deciding comparison says."""
    if found is None:
        return "not run"
    sign = 1.0 if claim.above is not None else -1.0
    bound = claim.above if claim.above is not None else claim.below
    assert bound is not None
    fails_at = bound if claim.fails_at is None else claim.fails_at
    low, high = sorted(sign * end for end in found.ci95)
    if low > sign * bound:
        return "holds here"
    return "does not" if high < sign * fails_at else "can't be told"


def seeds_of(values: Sequence[tuple[int, Values | None]]) -> dict[int, Values]:
    return {seed: found for seed, found in values if found is not None}
