"""Prompts and answers as they are published -> question, options, the letter of the right one."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from string import ascii_uppercase
from typing import Any

from r2i.core.choices import LETTERS
from r2i.core.parse import last_span
from r2i.core.text import is_no_answer, same_answer, strip_markup
from r2i.grading.strict import LONGEST
from r2i.importing.records import read_text

TAG = re.compile(r"<image(?:_?\d+)?>")
SPECIAL = re.compile(r"<\|[a-z_]+\|>|<video>")  # the processor would take them for pictures or turns of the talk
# what stands before an option at the beginning of a line: `A. red`, `(A) red`, `- **A:** red`
_LINE = re.compile(
    r"^[ \t]*(?:[-*•][ \t]+)?(?:\*\*)?[(（]?([A-Z])[)）]?[ \t]*[.):：、．）](?:\*\*)?[ \t]*", re.MULTILINE
)
_INLINE = (
    re.compile(r"(?<!\w)[(（]([A-Z])[)）][ \t]*(?=\S)"),  # (A) red (B) blue
    re.compile(r"(?<![\w.(（])([A-Z])[.):：][ \t]*(?=\S)"),  # A: red, B: blue
)
_HEADING = re.compile(
    r"(?:^|\n|(?<=[.?!:：。？]))\s*(?:\*\*)?(?:(?:answer[ \t]+)?(?:options?|choices)"
    r"|select from the following choices|the choices are listed below|选项如下所示|选项)\s*[.:：]?(?:\*\*)?[:：]?\s*$",
    re.IGNORECASE,
)
_CHOICE = re.compile(r"\s*(?:[(（]([A-Z])[)）]|([A-Z])[.):：、．])\s*(.*)", re.DOTALL)
_ANSWER = re.compile(r"(?:option\s+)?(?:\(([A-Z])\)[.:]?|([A-Z])([.):、]?))(?:\s+(\S.*))?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Problem:
    """`text`: all of it, without image tags. `question`: what stands before the options. `label`: the letter of the
    right option, or the right answer where there are no options. `reason`: why it can't be used, else empty."""

    text: str
    question: str
    options: list[str] = field(default_factory=list)
    answer: str = ""
    label: str = ""
    reason: str = ""


def read_problem(text: str, answer: str) -> Problem:
    """Read both; what can't be used has a reason: no_question, several_images, special_tokens, no_answer,
    answer_too_long, too_many_options, letter_beyond_options, no_gold_option, equal_options.

    Marks within a line are options only where the answer is a letter: else the question may speak of them.
    """
    plain = strip_tags(text)
    question, options = _split(plain, inline=bool(read_letter(answer)))
    problem = Problem(plain, question, options)
    if len(TAG.findall(text)) > 1:
        return replace(problem, reason="several_images")
    if SPECIAL.search(plain):
        return replace(problem, reason="special_tokens")
    if not question:
        return replace(problem, reason="no_question")
    return _choose(problem, answer) if options else _keep_open(problem, answer)


def _choose(problem: Problem, answer: str) -> Problem:
    options = problem.options
    if len(options) > len(LETTERS):
        return replace(problem, reason="too_many_options")
    if not _plain_answer(answer):
        return replace(problem, reason="no_answer")
    label = find_label(options, answer, letter_first=True)
    if not label:
        beyond = read_letter(answer) not in ("", *LETTERS[: len(options)])
        return replace(problem, reason="letter_beyond_options" if beyond else "no_gold_option")
    right = options[LETTERS.index(label)]
    if sum(option == right or same_answer(option, right) for option in options) > 1:
        return replace(problem, reason="equal_options")
    return replace(problem, answer=right, label=label)


def _keep_open(problem: Problem, answer: str) -> Problem:
    text = _plain_answer(answer)
    if is_no_answer(text):
        return replace(problem, reason="no_answer")
    if len(text) > LONGEST:
        return replace(problem, reason="answer_too_long")
    return replace(problem, answer=text, label=text)


def strip_tags(text: str) -> str:
    """Without the tags that say where the image goes."""
    return TAG.sub("", text).strip()


def split_options(text: str, inline: bool = True) -> tuple[str, list[str]]:
    """A prompt -> (question, options), without a heading ("Options:") and what follows (how to answer).

    Options are the last list of two or more that are lettered A, B, ... in a row: at the beginning of lines, else
    (`inline`) within one. A line between two options belongs to the upper one. ([text], []) where there are no
    options, one is empty, or no question stands before them.
    """
    text = strip_tags(text)
    question, options = _split(text, inline)
    return (question, options) if question else (text, [])


def _split(text: str, inline: bool) -> tuple[str, list[str]]:
    """As split_options, of a text without tags; the question may be empty."""
    for mark in (_LINE, *_INLINE) if inline else (_LINE,):
        run = _last_run(mark.finditer(text))
        if not run:
            continue
        ends = [found.start() for found in run[1:]] + [len(text)]
        options = [text[found.end() : end] for found, end in zip(run, ends, strict=True)]
        options[-1] = options[-1].partition("\n")[0]
        options = [_join_lines(option).rstrip(",;，； ") for option in options]
        if all(options):
            return _HEADING.sub("", text[: run[0].start()].strip()).strip(), options
    return text, []


def _last_run(marks: Iterable[re.Match[str]]) -> list[re.Match[str]]:
    """The last marks A, B, C, ..., as far as the letters go; [] where there are not two."""
    last: list[re.Match[str]] = []
    run: list[re.Match[str]] = []
    for mark in marks:
        if mark[1] == "A":
            run = [mark]
        elif run and mark[1] == ascii_uppercase[len(run) : len(run) + 1]:
            run.append(mark)
        if len(run) > 1:
            last = run
    return last


def _join_lines(text: str) -> str:
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def read_choices(cells: Iterable[Any]) -> dict[str, str]:
    """Choices as published -> text by published letter: `(A) red` where all have one, else by their order.

    Empty choices are left out. Letters may have gaps.
    """
    texts = [read_text(cell) for cell in cells]
    found = [_CHOICE.fullmatch(text) for text in texts if text]
    letters = [match[1] or match[2] for match in found if match]
    if found and len(letters) == len(found) == len(set(letters)):
        return {letter: match[3].strip() for letter, match in zip(letters, found, strict=True) if match}
    return {letter: text for letter, text in zip(ascii_uppercase, texts, strict=False) if text}


def read_letter_columns(values: Mapping[str, Any]) -> dict[str, str]:
    """Options that lie in columns A, B, C, ...: text by letter, empty ones left out."""
    return read_choices(values.get(letter) for letter in LETTERS) if "A" in values else {}


def relabel(by_letter: Mapping[str, str], answer: str) -> str:
    """The published letter `answer` -> the letter of its place among the options that are kept; else empty."""
    letters = list(by_letter)
    letter = read_letter(answer)
    return ascii_uppercase[letters.index(letter)] if letter in letters else ""


def read_letter(answer: str) -> str:
    """`(b)`, `B.`, `**B**`, `Option B` -> `B`; else empty."""
    found = _ANSWER.fullmatch(_plain_answer(answer))
    return (found[1] or found[2]).upper() if found and not found[4] else ""


def find_label(options: list[str], answer: str, letter_first: bool = False) -> str:
    """The letter of the one option that the answer names by its letter, its text, or both; "" where it is not certain.

    `letter_first`: whether a bare letter names the option of that letter even where another one's text is that letter
    (the options were published with letters), or the text goes first.
    """
    text, known = _plain_answer(answer), LETTERS[: len(options)]
    same = [letter for letter, option in zip(known, options, strict=False) if same_answer(option, text)]
    found = _ANSWER.fullmatch(text)
    letter, rest = ((found[1] or found[2]).upper(), found[4] or "") if found else ("", "")
    named = letter if letter and letter in known else ""
    if found and rest:
        if named and same_answer(options[LETTERS.index(named)], rest):
            return named
        if found[1] or found[3]:  # "B. red": a letter and a text that contradict each other
            same = [letter for letter in same if options[LETTERS.index(letter)].casefold() == text.casefold()]
        named = ""
    if named and (letter_first or not same):
        return named
    return same[0] if len(same) == 1 else ""


def _plain_answer(answer: str) -> str:
    """Without markup, and the last answer span alone where there is one."""
    return strip_markup(last_span(answer) or answer)
