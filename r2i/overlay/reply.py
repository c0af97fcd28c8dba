"""What the teacher replies when asked for wrong answers, and which of them can be options."""

from collections.abc import Iterable
from typing import Any

from r2i.core.parse import Parsed, make_form, read_json, strict_object
from r2i.core.reasoning import drop_tokens
from r2i.core.text import is_no_answer, strip_markup
from r2i.grading.equality import may_be_equal
from r2i.grading.phrases import is_stand_in
from r2i.grading.strict import LONGEST

DISTRACTORS_FORM = make_form("distractors", strict_object(distractors={"type": "array", "items": {"type": "string"}}))


def parse_distractors(text: str) -> Parsed[list[str]]:
    """The strings of the last JSON list in `text`, bare or in an object, stripped. Raises ReplyError without one."""
    items, repaired = read_json(text, "[", _is_text_list)
    return Parsed([item.strip() for item in items], repaired)


def plain_option(text: str) -> str:
    """An option without what would set it apart from the others: markup, line breaks, a final full stop."""
    text = " ".join(strip_markup(drop_tokens(text)).split())
    return text[:-1] if text.endswith(".") and text.count(".") == 1 else text


def choose_distinct(answer: str, proposals: Iterable[str]) -> list[str]:
    """`proposals` as plain options, in order, less those that equal the answer or an earlier one.

    Equal as r2i.grading.equality decides: "Five" is 5, 0.5 is 1/2, and 50 mm is too near to 5 cm. Stand-ins such as
    "none" are dropped, and so are texts that no answer span could hold.
    """
    chosen: list[str] = []
    for text in map(plain_option, proposals):
        taken = any(may_be_equal(text, other) for other in (answer, *chosen))
        stands_in = is_no_answer(text) or is_stand_in(text)
        if text and not taken and not stands_in and len(text) <= LONGEST:
            chosen.append(text)
    return chosen


def _is_text_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)
