"""Texts of questions as they are published -> question, options, letter of the right one."""

import ast
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from r2i.core.choices import LETTERS
from r2i.core.text import same_answer

_MARKS = [  # what stands before an option, in the order tried
    re.compile(r"^[ \t]*[(（]?([A-J])[)）]?[ \t]*[.):：、．）][ \t]*", re.MULTILINE),  # A. red \n B. blue; (A) red
    re.compile(r"(?<!\w)[(（]([A-J])[)）]\s*"),  # (A) red (B) blue
    re.compile(r"(?<!\w)([A-J])[:.：]\s*(?=\S)"),  # A: red, B: blue
]
_HEADER = re.compile(
    r"\s*(?:^|(?<=[\s.?!:：。？]))(?:answer )?(?:options?|choices|select from the following choices"
    r"|the choices are listed below|选项如下所示|选项)\s*[.:：]?\s*$",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"<image>\s*")
_LETTER = re.compile(r"[(（]?([A-J])[)）]?[.:]?", re.IGNORECASE)
_PREFIX = re.compile(r"\s*(?:[(（]([A-J])[)）]|([A-J])[.):：、．])\s*(.*)", re.DOTALL)


def text_of(value: Any) -> str:
    """A cell as text: null and NaN are empty, 3.0 is "3"."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def list_of(value: Any) -> list[Any]:
    """A cell that holds a list, or the text of one (JSON or Python's); [] for anything else."""
    if isinstance(value, str):
        for read in (json.loads, ast.literal_eval):
            try:
                value = read(value)
                break
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                continue
    return list(value) if isinstance(value, list | tuple) else []


def plain_question(text: str) -> str:
    """Without the placeholder that says where the image goes."""
    return _PLACEHOLDER.sub("", text).strip()


def split_options(text: str) -> tuple[str, list[str]]:
    """A prompt -> (question, options). Options are lettered A, B, ... in a row; none: ([text], []).

    What follows the last option's line (how to answer) is left out, and so is a header ("Options:").
    """
    text = plain_question(text)
    for pattern in _MARKS:
        run = _last_run(list(pattern.finditer(text)))
        if len(run) < 2:
            continue
        ends = [mark.start() for mark in run[1:]] + [len(text)]
        options = [text[mark.end() : end] for mark, end in zip(run, ends, strict=True)]
        options[-1] = options[-1].strip().partition("\n")[0]
        options = [" ".join(option.split()).rstrip(",;，； ") for option in options]
        question = _HEADER.sub("", text[: run[0].start()]).strip()
        if question and all(options):
            return question, options
    return text, []


def _last_run(marks: list[re.Match[str]]) -> list[re.Match[str]]:
    """From the last A on: A, B, C, ... as far as the letters go."""
    starts = [place for place, mark in enumerate(marks) if mark[1] == LETTERS[0]]
    run: list[re.Match[str]] = []
    for mark in marks[starts[-1] :] if starts else []:
        if len(run) < len(LETTERS) and mark[1] == LETTERS[len(run)]:
            run.append(mark)
    return run


def letter_of(answer: str) -> str:
    """`(b)`, `B.`, `B` -> `B`; else empty."""
    found = _LETTER.fullmatch(answer.strip())
    return found[1].upper() if found else ""


def lettered(choices: Iterable[Any]) -> dict[str, str]:
    """Choices as published -> text by published letter: `(A) red` where all have one, else by their order.

    Empty choices are left out. Letters may have gaps.
    """
    texts = [text_of(choice) for choice in choices]
    found = [_PREFIX.fullmatch(text) for text in texts if text]
    letters = [match[1] or match[2] for match in found if match]
    if found and len(letters) == len(found) == len(set(letters)):
        return {letter: match[3].strip() for letter, match in zip(letters, found, strict=True) if match}
    return {letter: text for letter, text in zip(LETTERS, texts, strict=False) if text}


def letter_columns(values: Mapping[str, Any]) -> dict[str, str]:
    """Options that lie in columns A, B, C, ...: text by letter, empty ones left out."""
    return lettered(values.get(letter) for letter in LETTERS) if "A" in values else {}


def relabel(by_letter: Mapping[str, str], answer: str) -> str:
    """The published letter `answer` -> the letter of its place among the options that are kept; else empty."""
    letters = list(by_letter)
    letter = letter_of(answer)
    return LETTERS[letters.index(letter)] if letter in letters else ""


def find_label(options: list[str], answer: str) -> str:
    """Letter of the one option that says the answer, or that the answer names by its letter; else ""."""
    same = [letter for letter, option in zip(LETTERS, options, strict=False) if same_answer(option, answer)]
    if len(same) == 1:
        return same[0]
    known = LETTERS[: len(options)]
    if same:
        return ""
    if (letter := letter_of(answer)) and letter in known:
        return letter
    if found := _PREFIX.fullmatch(answer):  # "(B) red"
        letter = found[1] or found[2]
        return letter if letter in known and same_answer(options[LETTERS.index(letter)], found[3]) else ""
    return ""
