"""Grades stored predictions again by today's rules, without a model call.

A judge's verdict stands where the judge would get the same request today; what it has not decided
counts nowhere.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from r2i.core.params import Judge
from r2i.core.records import OK
from r2i.core.tables import Row
from r2i.grading import JUDGE, NONE
from r2i.grading.flexible import grade_flexibly
from r2i.grading.judged import ask_judge, leave_open, quote_reply, reopen


@dataclass(frozen=True)
class Change:
    """A row whose rule or verdict differs from before."""

    before: Row
    after: Row

    @property
    def verdicts(self) -> tuple[bool | None, bool | None]:
        return self.before["correct"], self.after["correct"]


def regrade_rows(rows: Iterable[Row], judge: Judge | None, seed: int) -> list[Row]:
    """`rows` of PREDICTIONS by today's rules. `judge`: params' `evaluate.judge`; without one nothing stays judged."""
    return [_regrade(row, judge, seed) for row in rows]


def _regrade(row: Row, judge: Judge | None, seed: int) -> Row:
    before, row = row, reopen(row)
    if row["status"] != OK:
        return row
    verdict = grade_flexibly(row["reply"], row)
    new = {"rule": verdict.rule, "correct": verdict.correct, "predicted": verdict.predicted, "verdict": None}
    if verdict.rule != NONE or not judge or not quote_reply(row["reply"]):
        return {**row, **new}
    if before["status"] != OK:
        return before
    if row["rule"] == JUDGE and row["verdict"] and _same_request(row, judge, seed):
        return {**row, **new, "rule": JUDGE, "correct": row["correct"], "verdict": row["verdict"]}
    return leave_open({**row, **new}, "not_asked")


def _same_request(row: Row, judge: Judge, seed: int) -> bool:
    """Whether the judge would get the same request today, word for word, from the same model."""
    request = ask_judge(row, judge, seed)
    model, asked = row["verdict"]["model"], row["verdict"]["reply_key"].partition("/")[0]
    return model == judge.endpoint.model and asked in {request.key(model, enforced) for enforced in (False, True)}


def find_changes(before: Sequence[Row], after: Sequence[Row]) -> list[Change]:
    """Rows whose verdict, rule or state differs, in order."""
    pairs = zip(before, after, strict=True)
    return [
        Change(old, new) for old, new in pairs if any(old[name] != new[name] for name in ("rule", "correct", "status"))
    ]


def count_rules(rows: Iterable[Row]) -> Counter[str]:
    """Replies that came, by the rule that decided them."""
    return Counter(row["rule"] for row in rows if row["status"] == OK)


def accuracy_by_view(rows: Iterable[Row]) -> dict[str, float]:
    """Accuracy of the greedy replies in each view, unscored counted as wrong; calls that failed are no replies."""
    views: dict[str, list[bool]] = {}
    for row in rows:
        if row["status"] == OK and row["sample"] == 0:
            views.setdefault(row["view"], []).append(bool(row["correct"]))
    return {view: sum(right) / len(right) for view, right in sorted(views.items())}
