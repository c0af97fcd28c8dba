"""The grader of training and of imported answers: one closed answer span, compared by rules.

No model is asked: a letter is compared as a letter, a text by the equality that votes and evaluation share
(r2i.grading.equality).
"""

from r2i.core.parse import last_span
from r2i.core.reasoning import drop_tokens, read_final
from r2i.core.text import strip_markup
from r2i.grading import FORMAT, NONE, Verdict
from r2i.grading.choice import name_option
from r2i.grading.equality import compare_answers

LONGEST = 300  # characters of an answer span


def grade_strictly(reply: str, label: str, options: list[str]) -> Verdict:
    """Grade the last `<answer>...</answer>` span of a reply; everything outside of it, and reasoning, is ignored.

    With `options`, `label` is the letter of the right one, and the span may hold a letter, a letter with its option's
    text, an option's text or what equals it. A letter with another option's text names two options: wrong. Without
    options, `label` is the right answer's text. What no rule is sure about is left open: bounds, denials, codes,
    synonyms. An unclosed, empty or longer span than LONGEST is wrong by `format`, never searched. `predicted` of a span
    that no rule reads is its text without markup.
    """
    span = last_span(read_final(reply))
    text = strip_markup(drop_tokens(span)) if span is not None and len(span.strip()) <= LONGEST else ""
    if not text:
        return Verdict(FORMAT, False, "")
    if options:
        rule, named = name_option(text, options)
        return Verdict(rule, named == label, named) if named else Verdict(NONE, None, text)
    rule, correct = compare_answers(text, label)
    return Verdict(rule, correct, text)
