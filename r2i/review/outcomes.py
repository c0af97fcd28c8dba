"""What the reviewers of a row decided together."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from r2i.core.boxes import Box, iou
from r2i.review.decisions import Decision, Decisions, Fix, Frame, Was, by_subject, form_of

NEEDED = 2  # reviewers of a row; where they differ, one more
SAME_BOX = 0.7  # IoU from which two hand-drawn boxes are one: nobody hits another's pixels

State = Literal["accepted", "fixed", "rejected", "disputed", "open"]
STATES: dict[str, State] = {"accept": "accepted", "fix": "fixed", "reject": "rejected"}


@dataclass(frozen=True)
class Outcome:
    """`decisions`: those that count, one a reviewer, in order of time. `fix`: of the first of those that agree."""

    state: State
    decisions: tuple[Decision, ...]
    fix: Fix = field(default_factory=Fix)

    @property
    def frame(self) -> Frame:
        """What its first reviewer drew it from."""
        return self.decisions[0].frame

    @property
    def closed(self) -> bool:
        return self.state != "open"


@dataclass
class Outcomes:
    """By subject, of rows that are as they were. `stale`: decisions about rows that changed; `gone`: that are gone.

    `bad`: lines that are no decisions.
    """

    of: dict[str, Outcome] = field(default_factory=dict)
    stale: int = 0
    gone: int = 0
    bad: int = 0

    def counts(self) -> dict[str, int]:
        states = Counter(outcome.state for outcome in self.of.values())
        names: tuple[State, ...] = ("accepted", "fixed", "rejected", "disputed", "open")
        return {"reviewed": len(self.of), **{name: states[name] for name in names}, "stale": self.stale + self.gone,
                "bad": self.bad}  # fmt: skip


def resolve(decisions: Decisions, current: Callable[[str], Was | None]) -> Outcomes:
    """The outcome of every subject that somebody decided about. `current`: what a subject is now; None: it is gone."""
    found = Outcomes(bad=len(decisions.bad))
    for subject, about in by_subject(decisions.standing()).items():
        now = current(subject)
        live = [one for one in about if one.was == now]
        found.stale += len(about) - len(live) if now else 0
        found.gone += 0 if now else len(about)
        if live:
            found.of[subject] = decide(live)
    return found


def decide(decisions: Iterable[Decision]) -> Outcome:
    """Two that agree, or most of three and more. Two that differ leave the row open; more without a majority dispute.

    `decisions`: of one subject, one a reviewer, in order of time.
    """
    about = tuple(decisions)
    groups: list[list[Decision]] = []
    for one in about:
        same = next((group for group in groups if agree(group[0], one)), None)
        if same is None:
            groups.append([one])
        else:
            same.append(one)
    largest = max(groups, key=len)
    if len(largest) >= NEEDED and 2 * len(largest) > len(about):
        return Outcome(STATES[largest[0].verdict], about, largest[0].fix)
    return Outcome("open" if len(about) <= NEEDED else "disputed", about)


def agree(a: Decision, b: Decision) -> bool:
    """The same verdict; of fixes, the same changes: texts by their normal form, boxes by their overlap."""
    return a.verdict == b.verdict and same_fix(a.fix, b.fix)


def same_fix(a: Fix, b: Fix) -> bool:
    if a.changes.keys() != b.changes.keys():
        return False
    texts = ((a.question, b.question), (a.answer, b.answer), (a.dimension, b.dimension))
    if any(form_of(left or "") != form_of(right or "") for left, right in texts):
        return False
    if {form_of(text) for text in a.options or ()} != {form_of(text) for text in b.options or ()}:
        return False
    return not (a.box and b.box) or iou(Box(*a.box), Box(*b.box)) >= SAME_BOX


def still_needed(decisions: Iterable[Decision]) -> int:
    """How many reviewers a row still wants: 0 where its outcome is closed."""
    about = tuple(decisions)
    if len(about) < NEEDED:
        return NEEDED - len(about)
    return 0 if decide(about).closed else 1


def is_right(outcome: Outcome) -> bool:
    """Whether the label was right as it stood: accepted, or given another dimension only."""
    return outcome.state == "accepted" or (outcome.state == "fixed" and outcome.fix.changes.keys() == {"dimension"})
