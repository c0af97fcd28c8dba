"""How far a review got, how far people agree, and what is disputed."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from r2i.pages.review.queue import progress
from r2i.review.agreement import measure
from r2i.review.decisions import by_subject
from r2i.review.outcomes import resolve

if TYPE_CHECKING:
    from r2i.pages.review.desk import Desk


def status_of(desk: "Desk", brief: bool = False) -> dict[str, Any]:
    """`queue`: rows, begun, closed, and of each stratum; `reviewers`: decisions and median seconds; `review`: as in
    the metrics; `disputed`; `bad`: lines that are no decisions. `brief`: the queue alone."""
    strata, known = desk.subjects.strata(), desk.known()
    by_stratum = progress(strata, desk.queue.subjects, known)
    total: Counter[str] = Counter()
    for _, counts in by_stratum:
        total.update(counts)
    queue = {"rows": total["rows"], "begun": total["begun"], "closed": total["closed"]}
    if brief:
        return {"queue": queue}
    decisions = desk.log.read()
    rows = desk.subjects.rows({one.subject for one in decisions.all})
    every = by_subject(decisions.all)
    found = resolve(decisions, {name: desk.subjects.was(row, every[name]) for name, row in rows.items()}.get)
    return {
        "frame": desk.subjects.frame,
        "queue": queue | {"strata": dict(by_stratum)},
        "reviewers": reviewers(decisions.standing()),
        "review": measure(found, {desk.subjects.frame: strata}),
        "disputed": sorted(name for name, outcome in found.of.items() if outcome.state == "disputed"),
        "open": sorted(name for name, outcome in found.of.items() if len(outcome.decisions) > 1 and not outcome.closed),
        "bad": decisions.bad,
        "torn": decisions.torn,
    }


def reviewers(standing: Any) -> dict[str, dict[str, Any]]:
    """Of everyone: decisions, of each verdict, and the median of the seconds that one took."""
    from statistics import median

    found: dict[str, dict[str, Any]] = {}
    for name in sorted({one.reviewer for one in standing}):
        mine = [one for one in standing if one.reviewer == name]
        seconds = [one.seconds for one in mine if one.seconds is not None]
        verdicts = Counter(one.verdict for one in mine)
        found[name] = {
            "decisions": len(mine),
            **{verdict: verdicts[verdict] for verdict in ("accept", "fix", "reject")},
            "seconds": median(seconds) if seconds else None,
        }
    return found
