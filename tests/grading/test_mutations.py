"""Every rule of the scorer is needed: with any one of them off, or out of order, some case of the table fails."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from grading.cases import CASES

import r2i.grading
from r2i.grading import CHOICE_RULES, SHORT_RULES, choice, conclusion, mathematics, numbers, score_reply, short, spans

NEVER = re.compile(r"(?!)")


def no(*_: object, **__: object) -> bool:
    return False


def same(text: str, *_: object) -> str:
    return text


def failures() -> list[str]:
    mathematics._compare.cache_clear()
    wrong = []
    for case in CASES:
        verdict = score_reply(case.reply, case.item)
        if (verdict.correct, verdict.rule) != (case.correct, case.rule):
            wrong.append(case.reply)
    return wrong


def test_the_scorer_as_it_is_fails_no_case() -> None:
    assert failures() == []


@pytest.mark.parametrize("place", range(len(CHOICE_RULES)))
def test_every_rule_of_choice_is_needed(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(r2i.grading, "CHOICE_RULES", CHOICE_RULES[:place] + CHOICE_RULES[place + 1 :])
    assert failures()


@pytest.mark.parametrize("place", range(len(SHORT_RULES)))
def test_every_rule_of_open_questions_is_needed(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(r2i.grading, "SHORT_RULES", SHORT_RULES[:place] + SHORT_RULES[place + 1 :])
    assert failures()


@pytest.mark.parametrize("rules", ["CHOICE_RULES", "SHORT_RULES"])
def test_the_order_of_the_rules_matters(rules: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(r2i.grading, rules, getattr(r2i.grading, rules)[::-1])
    assert failures()


MUTATIONS: list[tuple[Any, str, Any]] = [
    (r2i.grading, "declines", no),
    (spans, "drop_thinking", same),
    (spans, "_CLOSED", ()),
    (spans, "last_boxed", lambda _: None),
    (spans, "_OPEN", NEVER),
    (spans, "_TOKENS", NEVER),
    (conclusion, "plain", same),
    (conclusion, "MARK", NEVER),
    (conclusion, "ENDORSED", NEVER),
    (conclusion, "ENDORSED_TEXT", NEVER),
    (conclusion, "CONNECTOR", NEVER),
    (conclusion, "CONTRAST", NEVER),
    (conclusion, "LIKELIEST", NEVER),
    (conclusion, "WITHDRAWN", NEVER),
    (conclusion, "LEAD", NEVER),
    (conclusion, "_PREDICATE", NEVER),
    (conclusion, "_is_list", no),
    (conclusion, "_is_bare", no),
    (conclusion.Statement, "finished", True),
    (conclusion.Statement, "quoted", ""),
    (choice, "_HEAD", NEVER),
    (choice, "_SPACED", NEVER),
    (choice, "_LISTED", NEVER),
    (choice, "_TAIL", NEVER),
    (choice, "_NEXT", NEVER),
    (choice, "_REASON", NEVER),
    (choice, "_drop_denied", same),
    (choice, "_with_text", same),
    (choice, "negates", no),
    (choice, "polarity", lambda *_, **__: None),
    (short, "negates", no),
    (numbers, "spell_digits", same),
    (numbers, "_names_range", no),
    (numbers, "_is_code", no),
    (numbers, "_BOUND", NEVER),
    (numbers, "_FORMULA", NEVER),
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
