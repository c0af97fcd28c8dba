"""Multiple-choice questions: letters, options, the prompt. Shared by overlay, train and evaluate."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from r2i.core.prompts import has_prompt, load_prompt

LETTERS = "ABCDEFGHIJ"
_QUOTED = r'(?:“([^“”]+)”|"([^"]+)"|「([^「」]+)」)'
_OFFERED = re.compile(rf"{_QUOTED}(?:\s*,\s*{_QUOTED})*\s*,?\s*(?:\bor\b|还是|或)\s*{_QUOTED}", re.IGNORECASE)


def is_open(item: Mapping[str, Any]) -> bool:
    """Whether a question, with its column `options`, has none: it is answered in words."""
    return not item["options"]


def format_options(options: list[str]) -> str:
    """One option a line, `A. text`."""
    return "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, options, strict=False))


def mcq_prompt(question: str, options: list[str], style: str) -> str:
    """The text that a model gets for a multiple-choice question in every stage; `adapt_prompt` fits it to a view."""
    template = load_prompt("core", "choose", style)
    return template.fill(question=question, options=format_options(options))


def adapt_prompt(prompt: str, view: str, style: str) -> str:
    """`prompt` as a view shows it, in training and in measuring: in the boxed view a sentence about the box follows.

    A style without `boxed.txt` (mini, which never learned such words) asks in every view alike.
    """
    if view != "boxed" or not has_prompt("core", "boxed", style):
        return prompt
    return f"{prompt}\n{load_prompt('core', 'boxed', style).text}"


def tell_box(prompt: str, box: Sequence[int], size: tuple[int, int], style: str) -> str:
    """`prompt` with the box in words after it. `box` (xyxy), `size` (width, height): pixels of the full image.

    Numbers are thousandths of width and height, 0 to 999; in the style mini, whose words are single digits, tenths.
    """
    parts = 10 if style == "mini" else 1000
    left, top, right, bottom = (
        min(parts - 1, parts * place // side) for place, side in zip(box, (*size, *size), strict=True)
    )
    sentence = load_prompt("core", "told", style)
    return f"{prompt}\n{sentence.fill(left=left, top=top, right=right, bottom=bottom)}"


def plain_prompt(prompt: str, view: str, style: str) -> str:
    """What `adapt_prompt` made `prompt` from: as a view asks that shows no box."""
    if view != "boxed" or not has_prompt("core", "boxed", style):
        return prompt
    return prompt.removesuffix(f"\n{load_prompt('core', 'boxed', style).text}")


def mcq_reply(answer: str, label: str, style: str) -> str:
    """The reply that supervised fine-tuning teaches: what was seen, then the letter in a closed span."""
    return load_prompt("core", "reply", style).fill(answer=answer, label=label)


def shuffle_options(answer: str, distractors: list[str], key: str) -> tuple[list[str], str]:
    """Order the options by a hash of `key` and each text: the same row, the same order, always.

    Returns (options, letter of the answer).
    """
    options = sorted(
        [answer, *distractors],
        key=lambda text: hashlib.sha256(f"{key}\0{text}".encode()).digest(),
    )
    return options, LETTERS[options.index(answer)]


def read_offered(question: str) -> tuple[str, ...]:
    """The texts between which a question leaves the choice: EXIT and EX1T of `Is it “EXIT” or “EX1T” that …?`.

    () for a question that quotes no choice: of alternatives without quotes nobody can say where they begin and end.
    """
    found = _OFFERED.search(question)
    return tuple(next(filter(None, texts)).strip() for texts in re.findall(_QUOTED, found[0])) if found else ()
