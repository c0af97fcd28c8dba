"""Prompts and answers as they are published -> question, options, the letter of the right one."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from string import ascii_uppercase
from typing import Any

from r2i.core.choices import LETTERS
from r2i.core.parse import last_span
from r2i.core.reasoning import drop_tokens, read_final
from r2i.core.text import is_no_answer, same_answer, strip_markup
from r2i.grading.choice import name_option, read_label
from r2i.grading.equality import is_equal
from r2i.grading.strict import LONGEST
from r2i.importing.records import read_text

TAG = re.compile(r"<image(?:_?\d+)?>")
SPECIAL = re.compile(r"<\|[A-Za-z_]+\|>|<video>")  # the processor would take them for pictures or turns of the talk
# what stands before an option at the beginning of a line: `A. red`, `(A) red`, `- **A:** red`
_LINE = re.compile(
    r"^[ \t]*(?:[-*•][ \t]+)?(?:\*\*)?(?P<open>[(（[]?)(?P<letter>[A-Za-z])(?P<close>[)）\]]?[ \t]*[.):：、．）\]])"
    r"(?:\*\*)?[ \t]*",
    re.MULTILINE,
)
_INLINE = re.compile(
    r"(?<!\w)(?P<open>[(（[])(?P<letter>[A-Za-z])(?P<close>[)）\]])[ \t]*(?=\S)"  # (A) red (B) blue
    r"|(?<![\w.(（'])(?P<letter2>[A-Z])(?P<close2>[.):：、．])[ \t]*(?=\S)"  # A: red, B: blue
)
_NUMBERED = re.compile(r"^[ \t]*(?:[-*•][ \t]+)?[(（]?(\d{1,2})[.):：、．）][ \t]+\S", re.MULTILINE)
_HEADING = re.compile(
    r"(?:^|\n|(?<=[.?!:：。？]))\s*(?:\*\*)?(?:(?:answer[ \t]+)?(?:options?|choices)"
    r"|select from the following choices|the choices are listed below|选项如下所示|选项)\s*[.:：]?(?:\*\*)?[:：]?\s*$",
    re.IGNORECASE,
)
_ENDS_QUESTION = re.compile(r"[?？。.!:：\n](?:\*\*)?\s*$")
_HOW_TO_ANSWER = re.compile(
    r"\b(?:answer\w*|options?|letters?|choices?|choose\w*|select\w*|pick|respond|reply|response|format|steps?|tags?|image"
    r"|picture|correct|best|right|only|directly|boxed|explain|explanation|output|please|solution|reason\w*|think)\b"
    r"|[选答图请]|<\w+>",
    re.IGNORECASE,
)
_INSTRUCTION = re.compile(r"\s*(?:choose|answer|select|pick|reply|respond|give|write|output|please|put|end|use)\b")
MOST_MARKS = 200  # letters with marks within a line, above which nobody can say what is an option
_WIDE = str.maketrans("（）：．", "():.")
_CHOICE = re.compile(r"\s*(?:[(（\[]([A-Z])[)）\]]|([A-Z])([.):：、．]))\s*(.*)", re.DOTALL)


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
    answer_too_long, too_many_options, letter_beyond_options, no_gold_option, equal_options, ambiguous_options.

    Marks within a line are options only where the answer is a letter: else the question may speak of them.
    """
    plain = strip_tags(text)
    question, options = _split(plain, inline=bool(read_letter(answer))) or (plain, [])
    problem = Problem(plain, question, options)
    if len(TAG.findall(text)) > 1:
        return replace(problem, reason="several_images")
    if SPECIAL.search(plain):
        return replace(problem, reason="special_tokens")
    if not question:
        return replace(problem, reason="no_question")
    if not options and is_ambiguous(plain, answer):
        return replace(problem, reason="ambiguous_options")
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
    if sum(option == right or is_equal(option, right) for option in options) > 1:
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

    Options are the last list of two or more that are lettered A, B, ... in a row and in one style: at the beginning of
    lines, else (`inline`) within one, after a heading or the question's end. A line between two options belongs to the
    upper one. ([text], []) where there are no options, one is empty, no question stands before them, a question
    or a sentence that does not say how to answer follows them (the list is quoted), or they can be told apart in two
    ways.
    """
    text = strip_tags(text)
    question, options = _split(text, inline) or (text, [])
    return (question, options) if question else (text, [])


def is_ambiguous(text: str, answer: str) -> bool:
    """Whether `answer` may be the letter or number of an option of a prompt in which no list of options is certain."""
    letter, number = read_letter(answer), _plain_answer(answer).strip("().")
    marks = {mark["letter"] or mark["letter2"] for mark in _INLINE.finditer(text)}
    marks = {mark.upper() for mark in marks | {mark["letter"] for mark in _LINE.finditer(text)}}
    bare = set(re.findall(r"^\s*([A-Z])\s+\S", text, re.MULTILINE))
    return letter in marks or (bool(letter) and {"A", "B"} <= bare) or number in _NUMBERED.findall(text)


@dataclass(frozen=True)
class _Mark:
    """What stands before an option. `style`: what it is written with, but for the letter."""

    letter: str
    style: tuple[str, str, bool]
    start: int
    end: int


def _split(text: str, inline: bool) -> tuple[str, list[str]] | None:
    """As split_options, of a text without tags; the question may be empty. None: no list is certain."""
    lines = [_mark(found) for found in _LINE.finditer(text)]
    run = _last_run(lines)
    if run:
        options, after = _cut(text, run)
        if _goes_on(after) or any(mark.style == run[0].style and mark.letter.upper() != "A" for mark in lines
                                      if mark.start > run[-1].start):  # fmt: skip
            return None
        return _question_before(text, run[0].start, options)
    return _split_line(text) if inline else None


def _split_line(text: str) -> tuple[str, list[str]] | None:
    """Options within a line: they begin after a heading, else after the end of the question."""
    marks = [_mark(found) for found in _INLINE.finditer(text)]
    if len(marks) > MOST_MARKS:
        return None
    starts = [mark for mark in marks if mark.letter in "Aa" and _ENDS_QUESTION.search(_before(text, mark))]
    headed = [mark for mark in starts if _HEADING.search(_before(text, mark).rstrip())]
    for first in reversed(headed or starts):
        same = [mark for mark in marks if mark.start > first.start and mark.style == first.style]
        spaced = _follow(first, same)
        parted = _follow(first, [mark for mark in same if re.search(r"[,;，；\n]\s*$", _before(text, mark))])
        names = [mark.letter for mark in same]
        repeated = len(set(names)) < len(names)
        if len(parted) > 1 and len(parted) >= len(spaced):  # "A: Vitamin B: x, B: y"
            run = parted
        elif (len(parted) > 1 and not first.style[0]) or repeated:  # "A: red, B: blue C: green"
            return None
        else:
            run = spaced
        if len(run) > 1:
            options, after = _cut(text, run)
            asks = [option.endswith(("?", "？")) for option in options]  # "Is it A. a cat, B. a dog?" asks to its end
            if _goes_on(after) or (asks[-1] and not all(asks)):
                return None
            return _question_before(text, first.start, options)
    return None


def _before(text: str, mark: _Mark) -> str:
    """What stands right before a mark: 80 characters, more than any heading has."""
    return text[max(0, mark.start - 80) : mark.start]


def _mark(found: re.Match[str]) -> _Mark:
    groups = found.groupdict()
    letter = groups["letter"] or groups["letter2"]
    close = "".join((groups["close"] or groups["close2"]).split()).translate(_WIDE)
    return _Mark(letter, ((groups["open"] or "").translate(_WIDE), close, letter.islower()), found.start(), found.end())


def _follow(first: _Mark, marks: Iterable[_Mark]) -> list[_Mark]:
    """`first` and the marks of the letters after it, each the first one of its letter."""
    run = [first]
    for mark in marks:
        if mark.letter.upper() == ascii_uppercase[len(run) : len(run) + 1]:
            run.append(mark)
    return run


def _last_run(marks: Iterable[_Mark]) -> list[_Mark]:
    """The last marks A, B, C, ... of one style, as far as the letters go; [] where there are not two."""
    last: list[_Mark] = []
    run: list[_Mark] = []
    for mark in marks:
        if mark.letter in "Aa":
            run = [mark]
        elif run and mark.style == run[0].style and mark.letter.upper() == ascii_uppercase[len(run) : len(run) + 1]:
            run.append(mark)
        if len(run) > 1:
            last = run
    return last


def _cut(text: str, run: list[_Mark]) -> tuple[list[str], str]:
    """The options, and what stands after the last one's line. A line in small letters goes on with it."""
    ends = [mark.start for mark in run[1:]] + [len(text)]
    options = [text[mark.end : end] for mark, end in zip(run, ends, strict=True)]
    lines = options[-1].split("\n")
    last = 1
    while last < len(lines) and lines[last].lstrip()[:1].islower() and not _INSTRUCTION.match(lines[last]):
        last += 1
    options[-1] = "\n".join(lines[:last])
    return [_join_lines(option).rstrip(",;，； ") for option in options], "\n".join(lines[last:])


def _goes_on(after: str) -> bool:
    """Whether the question goes on after a list: it asks something, or says what is not how to answer."""
    return bool(re.search(r"[?？]", after)) or (bool(after.strip()) and not _HOW_TO_ANSWER.search(after))


def _question_before(text: str, start: int, options: list[str]) -> tuple[str, list[str]] | None:
    if not all(options):
        return None
    return _HEADING.sub("", text[:start].strip()).strip(), options


def _join_lines(text: str) -> str:
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def read_choices(cells: Iterable[Any]) -> dict[str, str]:
    """Choices as published -> text by published letter: `(A) red` where all have one, else by their order.

    Empty choices are left out. Letters may have gaps. "B. Baker" among texts whose letters are not those of a list is
    a name and stays whole.
    """
    texts = [read_text(cell) for cell in cells]
    found = [_CHOICE.fullmatch(text) for text in texts if text]
    letters = [match[1] or match[2] for match in found if match]
    if found and len(letters) == len(found) == len(set(letters)) and all(match[4].strip() for match in found if match):
        initials = any(match[3] in (".", "．") for match in found if match)
        if not initials or (letters[0] == "A" and letters == sorted(letters)):
            return {letter: match[4].strip() for letter, match in zip(letters, found, strict=True) if match}
    return {letter: text for letter, text in zip(ascii_uppercase, texts, strict=False) if text}


def read_letter_columns(values: Mapping[str, Any]) -> dict[str, str]:
    """Options that lie in columns A, B, C, ...: text by letter, empty ones left out.

    A letter in a cell is a mark only where every cell begins with its own column's.
    """
    if "A" not in values:
        return {}
    texts = {letter: text for letter in LETTERS if (text := read_text(values.get(letter)))}
    found = {letter: _CHOICE.fullmatch(text) for letter, text in texts.items()}
    marked = all(match and (match[1] or match[2]) == letter and match[4].strip() for letter, match in found.items())
    return {letter: match[4].strip() for letter, match in found.items() if match} if marked else texts


def relabel(by_letter: Mapping[str, str], answer: str) -> str:
    """The published letter `answer` -> the letter of its place among the options that are kept; else empty."""
    letters = list(by_letter)
    letter = read_letter(answer)
    return ascii_uppercase[letters.index(letter)] if letter in letters else ""


def read_letter(answer: str) -> str:
    """`(b)`, `B.`, `**B**`, `Option B` -> `B`; else empty."""
    letter, rest = read_label(_plain_answer(answer))
    return "" if rest else letter


def find_label(options: list[str], answer: str, letter_first: bool = False) -> str:
    """The letter of the one option that the answer names by its letter, its text, or both; "" where it is not certain.

    `letter_first`: the options were published with letters, so that a bare letter is one. Else a bare letter that is
    also the text of another option is not certain.
    """
    text, known = _plain_answer(answer), options[: len(LETTERS)]
    rule, named = name_option(text, known)
    if rule not in ("letter", "option_text") or len(named) != 1:
        return ""
    same = [letter for letter, option in zip(LETTERS, known, strict=False) if same_answer(option, text)]
    return named if letter_first or same in ([], [named]) else ""


def _plain_answer(answer: str) -> str:
    """Without markup and special tokens, and the last answer span alone where there is one."""
    final = read_final(answer)
    return strip_markup(drop_tokens(last_span(final) or final))
