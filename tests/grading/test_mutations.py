"""Every rule of the flexible grader is needed: with one of them off, or out of order, some case of the table fails."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from grading.cases import CASES

from r2i.grading import choice, flexible, mathematics, numbers, statements
from r2i.grading.flexible import CHOICE_RULES, OPEN_RULES, grade_flexibly

NEVER = re.compile(r"(?!)")


def no(*_: object, **__: object) -> bool:
    return False


def same(text: str, *_: object) -> str:
    return text


def failures() -> list[str]:
    mathematics._compare.cache_clear()
    numbers._read.cache_clear()
    wrong = []
    for case in CASES:
        verdict = grade_flexibly(case.reply, case.item)
        if (verdict.correct, verdict.rule) != (case.correct, case.rule):
            wrong.append(case.reply)
    return wrong


def test_the_grader_as_it_is_fails_no_case() -> None:
    assert failures() == []


@pytest.mark.parametrize("place", range(len(CHOICE_RULES)))
def test_every_rule_of_choice_is_needed(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flexible, "CHOICE_RULES", CHOICE_RULES[:place] + CHOICE_RULES[place + 1 :])
    assert failures()


@pytest.mark.parametrize("place", range(len(OPEN_RULES)))
def test_every_rule_of_open_questions_is_needed(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flexible, "OPEN_RULES", OPEN_RULES[:place] + OPEN_RULES[place + 1 :])
    assert failures()


@pytest.mark.parametrize("rules", ["CHOICE_RULES", "OPEN_RULES"])
def test_the_order_of_the_rules_matters(rules: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flexible, rules, getattr(flexible, rules)[::-1])
    assert failures()


MUTATIONS: list[tuple[Any, str, Any]] = [
    (flexible, "declines", no),
    (statements, "read_final", same),
    (statements, "_CLOSED", ()),
    (statements, "last_box_place", lambda _: None),
    (statements, "_OPEN", NEVER),
    (statements, "drop_tokens", same),
    (statements, "plain", same),
    (statements, "MARK", NEVER),
    (statements, "ENDORSED", NEVER),
    (statements, "ENDORSED_TEXT", NEVER),
    (statements, "CONNECTOR", NEVER),
    (statements, "CONTRAST", NEVER),
    (statements, "CORRECTED", NEVER),
    (statements, "LIKELIEST", NEVER),
    (statements, "WITHDRAWN", NEVER),
    (statements, "LEAD", NEVER),
    (statements, "_PREDICATE", NEVER),
    (statements, "_is_list", no),
    (statements, "_is_bare", no),
    (statements.Statement, "finished", True),
    (statements.Statement, "quoted", ""),
    (choice, "_HEAD", NEVER),
    (choice, "_SPACED", NEVER),
    (choice, "_LISTED", NEVER),
    (choice, "_NEXT", NEVER),
    (choice, "_REASON", NEVER),
    (choice, "_drop_denied", same),
    (choice, "_with_text", same),
    (choice, "negates", no),
    (choice, "polarity", lambda *_, **__: None),
    (flexible, "negates", no),
    (numbers, "spell_numerals", same),
    (numbers, "_names_range", no),
    (numbers, "_is_doubtful", no),
    (numbers, "_BOUND", NEVER),
    (numbers, "negates", no),
    (mathematics, "_NO_NUMBER", NEVER),
    (mathematics, "_strip", str.strip),
]


@pytest.mark.parametrize(
    ("owner", "part", "mutant"), MUTATIONS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_part_of_a_rule_is_needed(
    owner: Any, part: str, mutant: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, part, mutant)
    assert failures()
