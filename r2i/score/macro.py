"""Averages over benchmarks, each counting once whatever its size: pooled items let the largest drown the others.

For S benchmarks with means m_s of n_s items in G_s clusters the macro average is M = Σ m_s / S, and

    se² = Σ_g (Σ_{i in g} r_i)²,   r_i = √(G_s / (G_s - 1)) · (y_i - m_s) / (S · n_s)   for item i of benchmark s:

the sum of the CR1 variances over S², but that a cluster which two benchmarks share (one image) counts as one.
Student's t has Satterthwaite's degrees of freedom, (Σ v_s)² / Σ (v_s² / (G_s - 1)) for the variances v_s of the means.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np

from r2i.core.ids import seed_of
from r2i.score.bootstrap import bootstrap_means, interval
from r2i.score.clustered import (
    EPSILON,
    Floats,
    Mean,
    clustered_mean,
    difference_interval,
    flat_interval,
    share_interval,
    zero_p,
)
from r2i.score.scores import Scores

ALL = "all"


def macro_averages(scores: Scores) -> dict[str, Any] | None:
    """By group of benchmarks, `all` first: accuracy in the full and crop view, gap of each model, and gains in the full
    view over the base. A benchmark without crops is left out of crop view and gap; `sources` names those that count.
    Null where there are fewer than two benchmarks; a group of one has no average."""
    groups: dict[str, list[str]] = {}
    for item in scores.items:
        for group in (ALL, item.get("group") or ""):
            if item["source"] not in groups.setdefault(group, []):
                groups[group].append(item["source"])
    several = {name: sorted(sources) for name, sources in groups.items() if name and len(sources) > 1}
    several = {name: sources for name, sources in several.items() if name == ALL or sources != several[ALL]}
    return {name: _of_group(scores, sources) for name, sources in sorted(several.items(), key=_all_first)} or None


def _all_first(pair: tuple[str, Any]) -> tuple[bool, str]:
    return pair[0] != ALL, pair[0]


def _of_group(scores: Scores, sources: Sequence[str]) -> dict[str, Any]:
    full, crop = ({model: scores.right.get((model, view)) for model in scores.models} for view in ("full", "crop"))
    base = full[scores.base]
    found: dict[str, Any] = {
        "views": {
            view: {model: _describe(scores, sources, values, share=True) for model, values in cells.items()}
            for view, cells in (("full", full), ("crop", crop))
        },
        "gaps": {model: _describe(scores, sources, _minus(crop[model], full[model])) for model in scores.models},
    }
    gains = {model: _describe(scores, sources, _minus(full[model], base)) for model in scores.models[1:]}
    return found | ({"full_gain": gains} if gains else {})


def _minus(after: Floats | None, before: Floats | None) -> Floats | None:
    return None if after is None or before is None else after - before


def _describe(scores: Scores, sources: Sequence[str], values: Floats | None, share: bool = False) -> dict[str, Any]:
    known = np.zeros(len(scores.items), dtype=bool) if values is None else ~np.isnan(values)
    held = [source for source in sources if (known & scores.where("source", source)).any()]
    if values is None or len(held) < 2:
        return {"value": None, "ci95": [None, None], "se": None, "ci95_clustered": [None, None], "sources": held}
    known &= np.isin([item["source"] for item in scores.items], held)
    of = np.array([item["source"] for item in scores.items])[known]
    clusters = [item["cluster_id"] for item, kept in zip(scores.items, known, strict=True) if kept]
    mean = macro_mean(values[known], of, clusters)
    columns = np.stack([np.where(of == source, values[known], np.nan) for source in held], axis=1)
    seed = seed_of(scores.seed, "score", "macro", *held)
    drawn = bootstrap_means(columns, clusters, scores.draws, seed).mean(axis=1)
    flat = share_interval(mean) if share else flat_interval(mean)
    return {
        "value": mean.value,
        "ci95": list(interval(drawn) if mean.spreads else flat),
        "se": mean.se,
        "ci95_clustered": list(share_interval(mean) if share else difference_interval(mean)),
        **({} if share else {"p_clustered": zero_p(mean)}),
        "sources": held,
    }


def macro_mean(values: Floats, sources: np.ndarray, clusters: Sequence[str]) -> Mean:
    """M and its standard error; `clusters` is one more than the degrees of freedom, rounded down.

    `values`: (items,) without NaN; `sources`: the benchmark of each. Where a benchmark is one cluster there is no `se`.
    """
    means: list[Mean] = []
    residuals = np.zeros(len(values))
    names, member = np.unique(np.asarray(clusters), return_inverse=True)
    held = np.unique(sources)
    for source in held:
        of = sources == source
        mean = clustered_mean(values[of], [clusters[at] for at in np.flatnonzero(of)])
        means.append(mean)
        if mean.clusters > 1:
            weight = sqrt(mean.clusters / (mean.clusters - 1)) / (len(held) * mean.n)
            residuals[of] = weight * (values[of] - mean.value)
    value = float(np.mean([mean.value for mean in means]))
    fewest = min(mean.clusters for mean in means)
    variances = [mean.se**2 for mean in means if mean.se is not None]
    if len(variances) < len(means):
        return Mean(value, None, len(values), fewest)
    se = float(np.linalg.norm(np.bincount(member, weights=residuals, minlength=len(names))))
    spread = sum(v**2 / (mean.clusters - 1) for v, mean in zip(variances, means, strict=True))
    freedom = int(sum(variances) ** 2 / spread) if se > EPSILON and spread > 0 else fewest - 1
    return Mean(value, se, len(values), freedom + 1)
