"""Whether a statement is the right answer to an open question.

Each rule takes a Statement and the gold answer's text, and gives True, False, or None where it can't tell.
"""

from r2i.core.text import same_answer
from r2i.grading.conclusion import Statement, trim
from r2i.grading.mathematics import same_mathematics
from r2i.grading.numbers import compare_numbers
from r2i.grading.phrases import negates, polarity


def same_text(statement: Statement, gold: str) -> bool | None:
    """True where the statement, or what it predicates or quotes, is the answer in normal form (r2i.core.text)."""
    whole = (trim(statement.text), statement.core)
    if any(same_answer(text, trim(gold)) for text in whole):
        return True
    said = statement.finished and any(same_answer(text, trim(gold)) for text in (statement.predicate, statement.quoted))
    return True if said and (negates(gold) or not negates(statement.text)) else None


def same_polarity(statement: Statement, gold: str) -> bool | None:
    """Yes and no, true and false: what the statement starts with against the answer."""
    right = polarity(gold, whole=True)
    said = polarity(statement.core) or polarity(statement.text)
    if right is None or said is None or (right in ("yes", "no")) != (said in ("yes", "no")):
        return None
    return said == right


def same_number(statement: Statement, gold: str) -> bool | None:
    """As compare_numbers, of a statement that is whole."""
    return compare_numbers(statement.core, gold) if statement.finished else None


def same_expression(statement: Statement, gold: str) -> bool | None:
    """As same_mathematics, of the statement or what it predicates."""
    verdicts = [same_mathematics(text, gold) for text in dict.fromkeys((statement.core, statement.predicate))]
    return True if True in verdicts else False if False in verdicts else None
