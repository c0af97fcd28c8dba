"""What a teacher replies to a question about a crop."""

from r2i.core.parse import last_boxed, last_span
from r2i.core.text import is_no_answer, strip_markup

LONGEST = 300  # characters of an answer


def parse_answer(text: str) -> tuple[str, str]:
    """`(answer, "")`, or `("", reason)` where the reply holds none.

    The last `<answer>` span counts, else the last `\\boxed{}`; one that is not closed is no answer
    (`no_answer`), and neither is a stand-in such as "None". Markup is removed, so that the vote and
    the options see the plain text. `too_long`: over LONGEST characters, which is no short answer.
    """
    found = last_span(text) if "<answer>" in text else last_boxed(text)
    found = (last_boxed(found) or found) if found else ""  # a box inside the span
    answer = " ".join(strip_markup(found).split())
    if is_no_answer(answer):
        return "", "no_answer"
    return (answer, "") if len(answer) <= LONGEST else ("", "too_long")
