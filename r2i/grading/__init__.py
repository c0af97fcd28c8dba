"""How evaluation decides whether a reply is right: rules in order, a language model last.

A rule decides only what a careful person would find plain. What none can read is `none`, unscored: it counts as
wrong in every headline and its number stands beside it. docs/scoring.md gives the rules with examples; the table
of tests/grading/cases.py is what they are held to. Training grades by r2i.grading.strict: a model that learns must
not be paid for what a patient reader makes of its reply.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from r2i.core.choices import LETTERS
from r2i.grading import choice, short
from r2i.grading.conclusion import Statement, find_statements
from r2i.grading.phrases import declines

JUDGE, NONE = "judge", "none"
CHOICE_RULES: tuple[tuple[str, Callable[[Statement, list[str]], str | None]], ...] = (
    ("letter", choice.stated_letter),
    ("option_text", choice.equal_option),
    ("number", choice.equal_number),
    ("mathematics", choice.equal_mathematics),
    ("letter", choice.mentioned_letter),
    ("option_text", choice.mentioned_option),
)
SHORT_RULES: tuple[tuple[str, Callable[[Statement, str], bool | None]], ...] = (
    ("exact", short.same_text),
    ("yes_no", short.same_polarity),
    ("number", short.same_number),
    ("mathematics", short.same_expression),
)
DECLINED = "declined"
RULES = ("exact", "yes_no", "number", "letter", "option_text", "mathematics", DECLINED, JUDGE, NONE)


@dataclass(frozen=True)
class Verdict:
    """`rule`: of RULES, the one that decided. `correct`: None where none did (`none`). `predicted`: the letter that
    was chosen, several letters apart by spaces, or the text that was read; empty where nothing was said."""

    rule: str
    correct: bool | None
    predicted: str


def score_reply(reply: str, item: Mapping[str, Any]) -> Verdict:
    """Score a reply to a row of BENCHMARK or PREDICTIONS by the rules alone; a pure function that never raises.

    Of `item` are used `options` (empty: an open question), `label` (letter of the right one) and `answer` (its
    text). With options the reply is read as a choice, letters before texts, since letters are asked for.
    """
    options, gold = list(item["options"] or ()), str(item["answer"])
    statements = find_statements(reply)
    for statement in statements:
        verdict = _score_choice(statement, options, item["label"]) if options else _score_short(statement, gold)
        if verdict:
            return verdict
    if statements and _declines(statements[0], options or [gold]):
        return Verdict(DECLINED, False, statements[0].core)
    return Verdict(NONE, None, statements[0].core if statements else "")


def _score_choice(statement: Statement, options: list[str], label: str) -> Verdict | None:
    for rule, read in CHOICE_RULES:
        if chosen := read(statement, options[: len(LETTERS)]):
            return Verdict(rule, chosen == label, chosen)
    return None


def _score_short(statement: Statement, gold: str) -> Verdict | None:
    for rule, compare in SHORT_RULES:
        if (correct := compare(statement, gold)) is not None:
            return Verdict(rule, correct, statement.core)
    return None


def _declines(statement: Statement, possible: list[str]) -> bool:
    """Whether the reply gives no answer; not where that may be the right one ("It can't be determined")."""
    return declines(statement.text) and not any(declines(text) for text in possible)
