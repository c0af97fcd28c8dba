"""The grader of training, of the difficulty filter and of imported answers: one closed answer span, compared by rules.

No model is asked: a letter is compared as a letter, a text as a text, a number as a number.
"""

import re

from r2i.core.choices import LETTERS
from r2i.core.parse import last_span
from r2i.core.text import normalise, same_answer, strip_markup
from r2i.grading import FORMAT, NONE, Verdict

LONGEST = 300  # characters of an answer span


def grade_strictly(reply: str, label: str, options: list[str]) -> Verdict:
    """Grade the last `<answer>...</answer>` span of a reply; everything outside of it is ignored.

    With `options`, `label` is the letter of the right one, and the span may hold a letter, a letter with its option's
    text, an option's text or its number; no rule reads a span that names two options. Without options, `label` is the
    right answer's text, and no rule calls another text wrong. An unclosed, empty or longer span than LONGEST is wrong
    by `format`, never searched. `predicted` of a span that no rule reads is its text without markup.
    """
    span = last_span(reply)
    text = strip_markup(span) if span is not None and len(span.strip()) <= LONGEST else ""
    if not text:
        return Verdict(FORMAT, False, "")
    predicted, rule = _read_choice(text, options) if options else _read_open(text, label)
    if rule == NONE:
        return Verdict(NONE, None, predicted)
    return Verdict(rule, predicted == label if options else True, predicted)


def _read_choice(text: str, options: list[str]) -> tuple[str, str]:
    letters = LETTERS[: len(options)]
    match = re.fullmatch(rf"(?:option\s+)?\(?([{letters}])\)?[.):]?(?:\s+(\S.*))?", text, re.IGNORECASE | re.DOTALL)
    if match:
        letter, rest = match.group(1).upper(), match.group(2)
        if rest is None or same_answer(rest, options[letters.index(letter)]):
            return letter, "letter"
    for rule, same in (("option_text", same_answer), ("number", _same_number)):
        hits = [letter for letter, option in zip(letters, options, strict=True) if same(text, option)]
        if len(hits) == 1:
            return hits[0], rule
    return text, NONE


def _read_open(text: str, answer: str) -> tuple[str, str]:
    if same_answer(text, answer):
        return text, "exact"
    return text, "number" if _same_number(text, answer) else NONE


def _same_number(a: str, b: str) -> bool:
    """Whether both hold one and the same number, and at least one of them nothing else ("5 people", "5")."""
    left, right = _number(a), _number(b)
    if left is None or right is None:
        return False
    return left[0] == right[0] and (left[1] or right[1])


def _number(text: str) -> tuple[float, bool] | None:
    """The only number in `text` and whether it stands alone; None for no number or several."""
    plain = re.sub(r"(?<!\w)- (?=\d)", "-", normalise(text))
    found = re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w./])", plain)
    if len(found) != 1 or len(re.findall(r"\d+(?:\.\d+)?", plain)) != 1:
        return None
    return float(found[0]), found[0] == plain
