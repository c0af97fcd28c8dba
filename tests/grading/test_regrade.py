"""Grading again calls no model, and keeps the judge's verdicts that still hold."""

from typing import Any

import pytest
from grading.made_predictions import prediction
from teacher_fakes import FakeModel

from r2i.core.params import Judge
from r2i.evaluate.summary import summarise
from r2i.grading.judged import judge_rows
from r2i.grading.regrade import find_changes, regrade_rows

CFG = Judge.model_validate(
    {"endpoint": {"kind": "openai", "model": "fake", "base_url": "http://none"}, "max_calls": 99}
)
OTHER = CFG.model_copy(update={"endpoint": CFG.endpoint.model_copy(update={"model": "other"})})


def judged(reply: str) -> dict[str, Any]:
    ((row,), _) = judge_rows([prediction("a", reply)], FakeModel(lambda *_: '{"correct": true}'), CFG, 0)
    return row


def test_a_verdict_stays_where_the_judge_would_be_asked_the_same() -> None:
    row = judged("navy")
    assert regrade_rows([row], CFG, 0) == [row]
    (alone,) = regrade_rows([row], None, 0)  # without a judge nothing stays judged: as wrong as any unread reply
    assert (alone["rule"], alone["correct"], alone["status"], alone["verdict"]) == ("none", None, "ok", None)


@pytest.mark.parametrize(
    ("judge", "seed", "changes"),
    [(OTHER, 0, {}), (CFG, 1, {}), (CFG, 0, {"question": "another one"}), (CFG, 0, {"verdict": None, "rule": "none"})],
    ids=["another judge", "another seed", "another question", "never asked"],
)
def test_what_todays_judge_was_not_asked_counts_nowhere(judge: Judge, seed: int, changes: dict[str, Any]) -> None:
    before = judged("navy") | changes
    (row,) = regrade_rows([before], judge, seed)
    assert (row["status"], row["reason"]) == ("failed", "judge_not_asked")
    assert (row["rule"], row["correct"], row["verdict"], row["reply"]) == ("none", None, None, "navy")
    found = summarise([row, prediction("b", "B")])
    assert found["accuracy"] == {"full": 1.0} and found["reason"] == {"failed: judge_not_asked": 1}
    assert len(find_changes([before], [row])) == 1
    # the stage asks about it then
    ((again,), counts) = judge_rows([row], FakeModel(lambda *_: '{"correct": false}'), judge, seed)
    assert (again["status"], again["correct"], counts["calls"]) == ("ok", False, 1)


def test_a_rule_that_reads_the_reply_today_takes_the_verdicts_place() -> None:
    row = judged("navy") | {"reply": "B"}
    (after,) = regrade_rows([row], CFG, 0)
    assert (after["rule"], after["correct"], after["verdict"]) == ("letter", True, None)
