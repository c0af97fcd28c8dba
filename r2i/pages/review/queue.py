"""Which rows are reviewed, in which order, and who gets which."""

import heapq
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from r2i.core.ids import unit_of
from r2i.review.decisions import Decision
from r2i.review.outcomes import still_needed

LEASE = 900.0  # seconds for which a row that was shown is not given to others


def choose(strata: Mapping[str, Hashable], count: int | None, seed: int, per_stratum: bool = False) -> list[str]:
    """`count` subjects (None: all), in the order in which they are to be reviewed. `strata`: stratum by subject.

    Within a stratum the order is that of a hash of seed and id. Strata take turns: the next is the one with the least
    (taken + ½) / √rows, so that small ones (where teachers disagree) get more than their share, and large ones still
    the most. Every beginning of the list is such a sample; a larger count only adds to it. `per_stratum`: `count` of
    each instead.
    """
    groups: defaultdict[Hashable, list[str]] = defaultdict(list)
    for subject, stratum in strata.items():
        groups[stratum].append(subject)
    turns = []
    for stratum, members in groups.items():
        most = min(len(members), count) if per_stratum and count is not None else None
        ordered = sorted(members, key=lambda subject: (unit_of(seed, "review", subject), subject))[:most]
        for place, subject in enumerate(ordered):
            turns.append(((place + 0.5) / len(members) ** 0.5, str(stratum), subject))
    turns = sorted(turns) if per_stratum or count is None else heapq.nsmallest(count, turns)
    return [subject for _, _, subject in turns]


@dataclass
class Queue:
    """Hands out subjects. Threads may share it; what is leased here is not known to another server, and needs not be.

    `subjects`: in order; `hidden`: those of them that no page can show, which nobody gets. `decisions`: of a subject,
    those that stand and are not stale, one a reviewer.
    """

    subjects: Sequence[str]
    decisions: Callable[[], Mapping[str, Sequence[Decision]]]
    clock: Callable[[], float] = time.monotonic
    leases: dict[str, dict[str, float]] = field(default_factory=dict)  # subject -> reviewer -> when it ends
    skipped: defaultdict[str, dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    lock: threading.Lock = field(default_factory=threading.Lock)
    hidden: Collection[str] = frozenset()

    def draw(self, subjects: Sequence[str], hidden: Collection[str]) -> None:
        """Other rows from now on: the tables have changed."""
        with self.lock:
            self.subjects, self.hidden = subjects, hidden

    def next(self, reviewer: str) -> str | None:
        """The row that `reviewer` has at hand, else one that others began, else a new one; what was skipped last.

        Never one that this reviewer decided about. None: there is nothing to do.
        """
        known = self.decisions()
        with self.lock:
            now, places = self.clock(), {name: place for place, name in enumerate(self.skipped[reviewer], 1)}
            self._expire(now)
            best: tuple[int, int, str] | None = None
            for subject in self.subjects:
                rank = None if subject in self.hidden else self._rank(subject, reviewer, known.get(subject, ()))
                order = (places.get(subject, 0), rank or 0)  # what was put off comes last, the longest ago first
                if rank is not None and (best is None or order < best[:2]):
                    best = *order, subject
            if best is None:
                return None
            self.leases.setdefault(best[2], {})[reviewer] = now + LEASE
            return best[2]

    def _rank(self, subject: str, reviewer: str, about: Sequence[Decision]) -> int | None:
        """0: at hand, 1: begun by others, 2: new; None: not for this reviewer, or others have it in hand."""
        held = self.leases.get(subject, {})
        others = sum(name != reviewer for name in held)
        if any(one.reviewer == reviewer for one in about) or still_needed(about) <= others:
            return None
        return 0 if reviewer in held else 1 if about or others else 2

    def skip(self, reviewer: str, subject: str) -> None:
        """Put a row off: it comes again when nothing else is left."""
        with self.lock:
            self.skipped[reviewer].pop(subject, None)
            self.skipped[reviewer][subject] = None
            self.leases.get(subject, {}).pop(reviewer, None)

    def release(self, reviewer: str, subject: str) -> None:
        """The row was decided about."""
        with self.lock:
            self.skipped[reviewer].pop(subject, None)
            self.leases.get(subject, {}).pop(reviewer, None)

    def _expire(self, now: float) -> None:
        for subject in list(self.leases):
            held = {name: end for name, end in self.leases[subject].items() if end > now}
            if held:
                self.leases[subject] = held
            else:
                del self.leases[subject]


def progress(
    strata: Mapping[str, Hashable], subjects: Iterable[str], known: Mapping[str, Sequence[Decision]]
) -> list[tuple[str, dict[str, int]]]:
    """For every stratum of the queue: rows, begun, closed."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for subject in subjects:
        if subject not in strata:  # the tables changed a moment ago
            continue
        about, cell = known.get(subject, ()), counts[str(strata[subject])]
        cell["rows"] += 1
        cell["begun"] += bool(about)
        cell["closed"] += bool(about) and not still_needed(about)
    return [(name, {key: cell[key] for key in ("rows", "begun", "closed")}) for name, cell in sorted(counts.items())]
