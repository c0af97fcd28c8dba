"""What one review works on: its rows, its file of decisions, who has which row in hand."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from r2i.core.tables import Row
from r2i.pages.review.queue import Queue, choose
from r2i.pages.review.subjects import Subjects, standing
from r2i.review.append import Log
from r2i.review.decisions import Decision, Was


@dataclass
class Desk:
    """`count`: rows in all, or of each stratum; None: all. `reviewer`: who it is where nobody says so on the page."""

    subjects: Subjects
    count: int | None
    seed: int
    per_stratum: bool = False
    reviewer: str = ""
    known_for: tuple[object, ...] = ()
    known_now: dict[str, list[Decision]] = field(default_factory=dict)
    drawn_for: object = None
    drawn: Queue | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)  # held while a decision is checked and added

    @cached_property
    def log(self) -> Log:
        return Log(self.subjects.path)

    @property
    def queue(self) -> Queue:
        """Drawn again when the tables change; who has what in hand stays. Raises TableError where one is missing."""
        with self.lock:
            version = self.subjects.version()
            if self.drawn is None or version != self.drawn_for:
                chosen = choose(self.subjects.strata(), self.count, self.seed, self.per_stratum)
                rows = self.subjects.rows(chosen)  # at once: one by one each would be a pass through the tables
                hidden = {name for name in chosen if name not in rows or not rows[name]["shown"]}
                if self.drawn is None:
                    self.drawn = Queue(chosen, self.known)
                self.drawn.draw(chosen, hidden)
                self.drawn_for = version
            return self.drawn

    def known(self) -> Mapping[str, Sequence[Decision]]:
        """The decisions that stand, by subject: read again when the file or the tables have changed."""
        with self.lock:
            decisions = self.log.read()
            version = (decisions, self.subjects.version())
            if not self.known_for or self.known_for[0] is not decisions or self.known_for[1] != version[1]:
                self.known_now, self.known_for = standing(self.subjects, decisions), version
            return self.known_now

    def was(self, row: Row) -> Was:
        """What is decided about."""
        return self.subjects.was(row, [one for one in self.log.read().all if one.subject == row["id"]])
