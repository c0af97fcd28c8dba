"""`problem` and `answer` of a dataset from elsewhere: the question, its options, the right one's letter."""

import re
from dataclasses import dataclass, field

from r2i.core.choices import LETTERS
from r2i.core.text import is_no_answer, same_answer, strip_markup
from r2i.grading import FORMAT, NONE
from r2i.grading.strict import LONGEST, grade_strictly

TAG = re.compile(r"<image(?:_?\d+)?>")
SPECIAL = re.compile(r"<\|[a-z_]+\|>|<video>")  # the processor would take them for pictures or turns of the talk
BULLET = r"^[ \t]*(?:[-*•][ \t]+)?(?:\*\*)?"
LINE = re.compile(rf"{BULLET}(?:\(([A-Z])\)|([A-Z])[.):、])(?:\*\*)?[ \t]*(\S.*?)[ \t]*$")
INLINE = (re.compile(r"(?<!\w)\(([A-Z])\)\s*"), re.compile(r"(?<![\w.])([A-Z])[.):]\s+"))
HEADING = re.compile(
    r"(?:^|\n)[ \t]*(?:\*\*)?(?:answer[ \t]+)?(?:options|choices)[ \t]*:?(?:\*\*)?:?[ \t]*$", re.IGNORECASE
)
BARE = re.compile(r"(?:option\s+)?\(?([A-Z])\)?[.):]?", re.IGNORECASE)


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

    Options are lines `A. ...`, `A) ...`, `(A) ...`, `A: ...` that start at A and go on by the alphabet; where there
    is none and the answer is a letter, the same marks within one line. The answer is read as a reply's span is
    (r2i.grading.strict): a letter, a letter with its option, an option's text, a number.
    """
    plain = TAG.sub("", text).strip()
    letter = BARE.fullmatch(strip_markup(answer))
    question, options = split_options(plain)
    if not options and letter:
        question, options = _split_inline(plain)
    known = Problem(plain, question, options)
    if len(TAG.findall(text)) > 1:
        return _left_out(known, "several_images")
    if SPECIAL.search(plain):
        return _left_out(known, "special_tokens")
    if not question:
        return _left_out(known, "no_question")
    return _choice(known, answer, letter) if options else _open(known, answer)


def _choice(problem: Problem, answer: str, letter: re.Match[str] | None) -> Problem:
    options = problem.options
    if len(options) > len(LETTERS):
        return _left_out(problem, "too_many_options")
    if not strip_markup(answer):
        return _left_out(problem, "no_answer")
    read = grade_strictly(f"<answer>{answer}</answer>", "", options)
    if read.rule in (FORMAT, NONE):
        beyond = letter is not None and letter[1].upper() not in LETTERS[: len(options)]
        return _left_out(problem, "letter_beyond_options" if beyond else "no_gold_option")
    right = options[LETTERS.index(read.predicted)]
    if sum(option == right or same_answer(option, right) for option in options) > 1:
        return _left_out(problem, "equal_options")
    return Problem(problem.text, problem.question, options, right, read.predicted)


def _open(problem: Problem, answer: str) -> Problem:
    text = strip_markup(answer)
    if is_no_answer(text):
        return _left_out(problem, "no_answer")
    if len(text) > LONGEST:
        return _left_out(problem, "answer_too_long")
    return Problem(problem.text, problem.question, [], text, text)


def _left_out(problem: Problem, reason: str) -> Problem:
    return Problem(problem.text, problem.question, problem.options, reason=reason)


def split_options(text: str) -> tuple[str, list[str]]:
    """What stands before the last list of options, and the options' texts; the whole text and [] where there is none.

    A line between two options belongs to the upper one; what follows the last line is the instruction.
    """
    best: tuple[int, list[str]] = (0, [])
    start, options, between = 0, list[str](), list[str]()
    lines = text.split("\n")
    for number, line in enumerate(lines):
        found = LINE.match(line)
        letter = (found[1] or found[2]) if found else ""
        if found and letter == "A":
            start, options, between = number, [found[3]], []
        elif found and options and letter == chr(ord("A") + len(options)):
            options[-1] = " ".join([options[-1], *between])
            options.append(found[3])
            between = []
        elif options and line.strip():
            between.append(line.strip())
        if len(options) > 1:
            best = (start, list(options))
    if not best[1]:
        return text, []
    return _stem("\n".join(lines[: best[0]])), best[1]


def _split_inline(text: str) -> tuple[str, list[str]]:
    for mark in INLINE:
        marks: list[re.Match[str]] = []
        for found in mark.finditer(text):
            if found[1] == "A":
                marks = [found]
            elif marks and found[1] == chr(ord("A") + len(marks)):
                marks.append(found)
        if len(marks) > 1:
            ends = [found.start() for found in marks[1:]] + [len(text)]
            options = [text[found.end() : end] for found, end in zip(marks, ends, strict=True)]
            options[-1] = options[-1].partition("\n")[0]
            return _stem(text[: marks[0].start()]), [option.strip().rstrip(",;").strip() for option in options]
    return text, []


def _stem(text: str) -> str:
    return HEADING.sub("", text.strip()).strip()
