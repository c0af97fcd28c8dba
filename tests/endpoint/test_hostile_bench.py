"""What bench/faults.py tries of replies and stores, and that its counts see what they are there for."""

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from endpoint.fake_server import choices, serve

from bench import faults_replies
from bench.faults_replies import COUNTS, GIVEN, Hostile, Run, try_replies, try_stores
from r2i.core.records import FAILED, OK
from r2i.endpoint.base import Reply

ZERO = dict.fromkeys(COUNTS[1:], 0)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(faults_replies.KEY_VARIABLE, faults_replies.KEY)


def test_no_damaged_record_and_no_foreign_segment_makes_a_reply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults_replies, "FLIPS", 15)
    counts = try_stores(tmp_path)
    assert counts.pop("tried") > 50 and counts == ZERO


def test_no_hostile_answer_makes_a_row_or_costs_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = faults_replies.hostile_answers
    monkeypatch.setattr(faults_replies, "hostile_answers", lambda elsewhere: islice(every(elsewhere), 0, None, 17))
    counts = try_replies(tmp_path)
    assert counts.pop("tried") > 30 and counts == ZERO


def test_the_counts_see_what_they_are_there_for(tmp_path: Path) -> None:
    run = Run(0, Hostile(choices("WRONG")), tmp_path)
    with serve() as server:
        run.is_hostile = False
        rows = run.ask(server)
    counts = Counter(ZERO)
    run.check(rows, counts)
    assert counts == ZERO
    run.is_hostile = True
    wrong = Reply("WRONG", OK, "", "", "big")
    run.check([*rows[:2], [wrong, wrong], *rows[3:]], counts)
    assert counts["invented"] == 2
    failed = Reply("", FAILED, "timeout", "", "big")
    run.check([[failed, failed], *rows[1:]], counts)
    assert counts["lost"] == 2
    run.check([*rows[:2], [failed, failed], *rows[3:]], counts)
    assert counts["lost"] == 2, "a row may fail by a hostile answer to it"
    run.is_hostile = False
    run.check([*rows[:2], [failed, failed], *rows[3:]], counts)
    assert counts["lost"] == 4, "but not for good"
    given = Run(0, Hostile(choices("WRONG"), final=GIVEN), tmp_path, is_hostile=False)
    cut = Reply("WRONG", FAILED, "truncated", "", "big")
    given.check([*rows[:2], [cut, cut], *rows[3:]], counts)
    assert counts["lost"] == 4
