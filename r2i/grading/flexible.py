"""The grader of evaluation: rules in order over what a reply states.

A rule decides only what a careful person would find plain. What none can read is `none`: it counts as wrong in every
headline and its number stands beside it. docs/scoring.md gives the rules with examples; the table of
tests/grading/cases.py is what they are held to.
"""

from collections.abc import Callable, Mapping
from typing import Any

from r2i.core.choices import LETTERS
from r2i.core.text import same_answer
from r2i.grading import DECLINED, NONE, Verdict, choice
from r2i.grading.mathematics import same_mathematics
from r2i.grading.phrases import declines, may_deny, means_nothing, negates, polarity
from r2i.grading.statements import Statement, find_statements, trim


def same_text(statement: Statement, gold: str) -> bool | None:
    """True where the statement, or what it predicates or quotes, is the same text as the answer (r2i.core.text)."""
    whole = (trim(statement.text), statement.core)
    if any(same_answer(text, trim(gold)) for text in whole):
        return True
    parts = (statement.predicate, statement.quoted)
    said = statement.finished and any(same_answer(text, trim(gold)) for text in parts)
    return True if said and (negates(gold) or not may_deny(statement.text, *parts)) else None


def same_polarity(statement: Statement, gold: str) -> bool | None:
    """Yes and no, true and false: what the statement starts with against the answer."""
    right = polarity(gold, whole=True)
    said = polarity(statement.core) or polarity(statement.text)
    if right is None or said is None or (right in ("yes", "no")) != (said in ("yes", "no")):
        return None
    return said == right


def same_expression(statement: Statement, gold: str) -> bool | None:
    """As same_mathematics, of the statement or what it predicates; none that denies something."""
    if negates(statement.text):
        return None
    verdicts = [same_mathematics(text, gold) for text in dict.fromkeys((statement.core, statement.predicate))]
    return True if True in verdicts else False if False in verdicts else None


CHOICE_RULES: tuple[tuple[str, Callable[[Statement, list[str]], str | None]], ...] = (
    ("letter", choice.stated_letter),
    ("option_text", choice.equal_option),
    ("number", choice.equal_number),
    ("mathematics", choice.equal_mathematics),
    ("letter", choice.mentioned_letter),
    ("option_text", choice.mentioned_option),
)
"""With options: each takes the statement and the options, and gives the letter that was chosen or None."""

OPEN_RULES: tuple[tuple[str, Callable[[Statement, str], bool | None]], ...] = (
    ("exact", same_text),
    ("yes_no", same_polarity),
    ("number", choice.compare_number_of),
    ("mathematics", same_expression),
)
"""Without options: each takes the statement and the right answer, and gives True, False or None."""


def grade_flexibly(reply: str, item: Mapping[str, Any]) -> Verdict:
    """Grade a reply to a row of BENCHMARK or PREDICTIONS by the rules alone; a pure function that never raises.

    Of `item` are used `options` (empty: an open question), `label` (letter of the right one) and `answer` (its
    text). With options the reply is read as a choice, letters before texts, since letters are asked for.
    """
    options, gold = list(item["options"] or ()), str(item["answer"])
    statements = find_statements(reply)
    for statement in statements:
        verdict = _grade_choice(statement, options, item["label"]) if options else _grade_open(statement, gold)
        if verdict:
            return verdict
    if statements and _declines(statements[0], options or [gold]):
        return Verdict(DECLINED, False, statements[0].core)
    return Verdict(NONE, None, statements[0].core if statements else "")


def _grade_choice(statement: Statement, options: list[str], label: str) -> Verdict | None:
    for rule, read in CHOICE_RULES:
        if chosen := read(statement, options[: len(LETTERS)]):
            return Verdict(rule, chosen == label, chosen)
    return None


def _grade_open(statement: Statement, gold: str) -> Verdict | None:
    for rule, compare in OPEN_RULES:
        if (correct := compare(statement, gold)) is not None:
            return Verdict(rule, correct, statement.core)
    return None


def _declines(statement: Statement, possible: list[str]) -> bool:
    """Whether the reply gives no answer; not where that may be the right one ("It can't be determined", "no shape")."""
    return declines(statement.text) and not any(declines(text) or means_nothing(text) for text in possible)
