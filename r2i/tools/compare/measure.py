"""Each revision against the first, on the items that all of them have. Pure: rows in, numbers out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from r2i.core.ids import seed_of
from r2i.core.records import FAILED, is_unscored
from r2i.score.bootstrap import Floats, accuracy_interval
from r2i.score.correction import benjamini_hochberg, holm
from r2i.score.paired import Difference, difference
from r2i.tools.compare.load import CompareError, Revision, Row, fingerprint

Interval = tuple[float, float]


@dataclass(frozen=True)
class Score:
    """Accuracy of one revision over some items."""

    accuracy: float
    ci95: Interval


@dataclass(frozen=True)
class Against:
    """One revision minus the first. `holm`, `bh`: the clustered p-value, corrected for the tests beside it."""

    found: Difference
    holm: float
    bh: float


@dataclass(frozen=True)
class Measured:
    """One revision over the common items; `failed`: calls of all its items. `against` is None for the first."""

    revision: Revision
    score: Score
    failed: int
    unscored: int
    against: Against | None


@dataclass(frozen=True)
class Group:
    """The items of one dimension or source, with a score and a comparison for each revision."""

    name: str
    n: int
    scores: list[Score]
    against: list[Against]
    """Of every revision but the first."""


@dataclass(frozen=True)
class Comparison:
    """Revisions side by side."""

    view: str
    n: int
    clusters: int
    revisions: list[Measured]
    notes: list[str]
    """What is not the same everywhere: items that one revision lacks, or asks otherwise."""
    groups: dict[str, list[Group]] = field(default_factory=dict)
    """By `dimension` and `source`, where the items are of more than one."""


def compare_revisions(revisions: Sequence[Revision], view: str, draws: int, seed: int = 0) -> Comparison:
    """Compare every revision with the first, paired by item.

    Only items count that all revisions answered and asked alike (question, options, answer, label): where a call
    failed there is no answer. Unscored replies are wrong. Raises CompareError where no item is common.
    """
    items, notes = common_items(revisions)
    first = [revisions[0].rows[item] for item in items]
    clusters = [row.get("cluster_id") or row["image_id"] for row in first]
    right = [np.array([float(rev.rows[i]["correct"] is True) for i in items]) for rev in revisions]  # each (items,)
    against = _against(right, clusters, draws, seed_of(seed, "score", "gain", view))
    measured = [
        Measured(
            revision=revision,
            score=_score(values, clusters, draws, seed_of(seed, "score", "")),
            failed=_count(revision, list(revision.rows), lambda row: row["status"] == FAILED),
            unscored=_count(revision, items, is_unscored),
            against=pair,
        )
        for revision, values, pair in zip(revisions, right, [None, *against], strict=True)
    ]
    groups = {column: _groups(column, first, right, clusters, draws, seed) for column in ("dimension", "source")}
    many = {column: found for column, found in groups.items() if len(found) > 1}
    notes = [*different_ways(revisions), *notes]
    return Comparison(view, len(items), len(set(clusters)), measured, notes, many)


def different_ways(revisions: Sequence[Revision]) -> list[str]:
    """What was not done alike, in words: view, protocol, decoding, judge, cut. An accuracy may differ for it alone."""
    ways = [{"view": revision.view, **revision.ways} for revision in revisions]
    found = []
    for what in dict.fromkeys(name for way in ways for name in way):
        values = [way.get(what, "") for way in ways]
        if len(set(values)) > 1:
            said = "; ".join(f"{rev.name}: {value or 'none'}" for rev, value in zip(revisions, values, strict=True))
            found.append(f"another {what}: {said}")
    return found


def common_items(revisions: Sequence[Revision]) -> tuple[list[str], list[str]]:
    """Ids of the items that all revisions answered and asked alike, and what differs, in words."""
    shared = set.intersection(*(set(revision.rows) for revision in revisions))
    answered = {item for item in shared if all(revision.rows[item]["status"] != FAILED for revision in revisions)}
    alike = sorted(item for item in answered if _asked_alike([revision.rows[item] for revision in revisions]))
    notes = [
        f"{revision.name} measured {len(revision.rows)} items; {len(shared)} are common to all revisions"
        for revision in revisions
        if len(revision.rows) != len(shared)
    ]
    if len(answered) < len(shared):
        notes.append(f"calls about {len(shared) - len(answered)} common items failed in some revision: left out")
    if len(alike) < len(answered):
        other = len(answered) - len(alike)
        notes.append(f"{other} common items ask or expect something else in some revision: left out")
    if not alike:
        counts = ", ".join(f"{revision.name} {len(revision.rows)}" for revision in revisions)
        raise CompareError(
            f"no item that all revisions answered is common to them (items: {counts})",
            "evaluate them on the same benchmark; where calls failed, evaluate again",
        )
    return alike, notes


def _asked_alike(rows: Sequence[Row]) -> bool:
    return len({asked for row in rows if (asked := fingerprint(row))}) <= 1


def _score(values: Floats, clusters: Sequence[str], draws: int, seed: int) -> Score:
    return Score(float(values.mean()), accuracy_interval(values, clusters, draws, seed))


def _against(right: Sequence[Floats], clusters: Sequence[str], draws: int, seed: int) -> list[Against]:
    """Every later revision against the first, corrected for their number."""
    found = [difference(right[0], values, clusters, draws, seed) for values in right[1:]]
    raw = [pair.p_clustered for pair in found]
    return [Against(*each) for each in zip(found, holm(raw), benjamini_hochberg(raw), strict=True)]


def _groups(
    column: str, first: Sequence[Row], right: Sequence[Floats], clusters: Sequence[str], draws: int, seed: int
) -> list[Group]:
    """Scores within each dimension or source; corrected for the number of groups, for each revision by itself."""
    names = sorted({row.get(column) or "" for row in first})
    table: list[tuple[str, int, list[Score], list[Difference]]] = []
    for name in names:
        keep = np.array([(row.get(column) or "") == name for row in first])
        inside = [cluster for cluster, kept in zip(clusters, keep, strict=True) if kept]
        salt = seed_of(seed, "score", name)
        scores = [_score(values[keep], inside, draws, salt) for values in right]
        pairs = [difference(right[0][keep], values[keep], inside, draws, salt) for values in right[1:]]
        table.append((name, int(keep.sum()), scores, pairs))
    by_revision = [[pairs[k].p_clustered for _, _, _, pairs in table] for k in range(len(right) - 1)]
    raised = [list(zip(holm(raw), benjamini_hochberg(raw), strict=True)) for raw in by_revision]
    return [
        Group(name, n, scores, [Against(pair, *raised[k][row]) for k, pair in enumerate(pairs)])
        for row, (name, n, scores, pairs) in enumerate(table)
    ]


def _count(revision: Revision, items: Sequence[str], wanted: Callable[[dict[str, Any]], bool]) -> int:
    return sum(wanted(revision.rows[item]) for item in items)
