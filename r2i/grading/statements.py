"""What a reply states as its answer: where in it the answer stands, and the sentence that gives it.

Reasoning on the way there is never searched. The flexible grader reads more than the strict one: a span that was never
closed, a bare letter, a sentence.
"""

import re
from dataclasses import dataclass
from typing import Literal

from r2i.core.parse import last_box_place, last_boxed
from r2i.core.reasoning import drop_tokens, read_final
from r2i.core.text import plain_width
from r2i.grading.phrases import (
    CONNECTOR,
    CONTRAST,
    CORRECTED,
    ENDORSED,
    ENDORSED_TEXT,
    LEAD,
    LIKELIEST,
    MARK,
    WITHDRAWN,
)

Form = Literal["alone", "marked", "last"]
_END = re.compile(r"(?<![^A-Za-z0-9][A-Ja-j])(?<!^[A-Ja-j])(?<!\b\d)(?<![.!?])[.!?]+[\"')\]]*(?=\s)|[。!?]|\n+|</")
_PREDICATE = re.compile(
    r".*(?:\b(?:is|are|was|were|be|says|reads|shows|displays|means|equals|called|named)\b|['’]s\b|[是为]|:(?=\s)|写着|显示|写的是)"
    r"\s*:?\s*(\S.*)",
    re.IGNORECASE | re.DOTALL,
)
LONGEST = 20_000  # characters of a reply that are read, from its end

_CLOSED = (
    re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.IGNORECASE | re.DOTALL),
    re.compile(r"<\|begin_of_box\|>((?:(?!<\|begin_of_box\|>).)*?)<\|end_of_box\|>", re.DOTALL),  # GLM-4.5V
)
_OPEN = re.compile(r"<answer>|<\|begin_of_box\|>", re.IGNORECASE)
_TAGS = re.compile(r"</?(?:answer|conclusion|final(?:_answer)?|response|solution|output)>", re.IGNORECASE)
_SIGN = re.compile(r"[^\w\s.,;:、。，'\"()\[\]{}`_…]{1,3}")


def find_answer(reply: str) -> str:
    """The part of `reply` that answers: the last closed `<answer>` span; else the last `\\boxed{}`, unless an answer is
    marked after it; else what follows an unclosed `<answer>`; else the whole prose. Reasoning is removed first:
    unfinished reasoning leaves nothing. No special tokens; full-width letters and all scripts' digits are plain ones.
    """
    text = plain_width(read_final(reply))[-LONGEST:]
    spans = [match for pattern in _CLOSED for match in pattern.finditer(text)]
    if spans:
        inside = max(spans, key=lambda match: match.end()).group(1)
        return drop_tokens(last_boxed(inside) or inside)
    if place := last_box_place(text):
        after = text[place[1] + 1 :]
        return drop_tokens(after if _last_marked(split(plain(after))) else text[slice(*place)])
    opened = list(_OPEN.finditer(text))
    return drop_tokens(_TAGS.sub(" ", text[opened[-1].end() :] if opened else text))


def is_sign(text: str) -> bool:
    """Whether a text is a sign or two that may answer: "→", "+", "♂"; no dots, quotes or rules of a table."""
    text = text.strip()
    return bool(_SIGN.fullmatch(text)) and not (len(text) > 1 and len(set(text)) == 1)


def plain(text: str) -> str:
    """`text` without Markdown marks and the LaTeX that only sets type; its lines and words stay."""
    text = re.sub(r"```\w*", "", re.sub(r"[“”「」『』]", '"', re.sub(r"[‘’]", "'", text)))
    text = re.sub(r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|fbox|boxed)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\[()\[\]]|\$\$", " ", text)
    text = re.sub(r"\*\*|__|`", "", text)
    lone = "" if "\n" in text.strip() else r"(?![\d.])"  # "- 5" alone is minus five, "> 5" more than five
    text = re.sub(rf"^[ \t]*(?:#+[ \t]+|[*•][ \t]+|[>-][ \t]+{lone})", "", text, flags=re.MULTILINE)
    return re.sub(r"(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)", "", text).strip()


@dataclass(frozen=True)
class Statement:
    """`text`: plain, one sentence as a rule; empty where nothing was said.

    `form`: `alone`: the whole reply, or all of a span; `marked`: after "the answer is" or the like; `last`: merely
    the last sentence of several, which is read with more care.
    """

    text: str
    form: Form

    @property
    def finished(self) -> bool:
        """Whether a last sentence has its full stop: else it may be cut, and mean something else."""
        return self.form != "last" or bool(re.search(r"[.!。\"')\]]$", self.text))

    @property
    def core(self) -> str:
        """`text` without "I think it is" before it and the full stop after it."""
        text = self.text.strip()
        return trim(text[match.end() :] if (match := LEAD.match(text)) else text)

    @property
    def predicate(self) -> str:
        """What is said of the subject: of "The color of the car is red." red; the core where there is no verb."""
        match = _PREDICATE.match(self.core)
        return trim(match.group(1)) if match else self.core

    @property
    def quoted(self) -> str:
        """What stands in quotation marks, where just one thing does and the statement says something about it."""
        found = re.findall(r"[\"]([^\"]+)[\"]|(?<!\w)'([^']+)'(?!\w)", self.text)
        return "".join(found[0]) if len(found) == 1 else ""


def trim(text: str) -> str:
    """`text` without outer white space and the stops after it."""
    return text.strip().rstrip("。.;；,， \n").strip()


def find_statements(reply: str) -> list[Statement]:
    """Where the answer of `reply` may stand, the likeliest first; the first one that a rule can read decides.

    An enclosed answer or a reply of one sentence: all of it. Of several sentences: the last one that is marked as
    the answer, unless a later one takes it back; else the last sentence, then a first line that answers up front.
    """
    text = plain(find_answer(reply))
    sentences = split(text)
    if not sentences:
        return []
    marked = _last_marked(sentences)
    if marked:
        return [_state(marked, "marked")]
    ending = _after_connector(sentences[-1])
    if len(sentences) == 1:
        return [_state(ending, "alone")]
    if _is_list(sentences):
        return []
    first = text.splitlines()[0].strip()
    answers_first = _is_bare(first) and not WITHDRAWN.search(text)
    return [_state(ending, "last"), *([_state(first, "alone")] if answers_first else [])]


def _state(text: str, form: Form) -> Statement:
    """A statement without what it is set against: of "blue, not red" blue, of "B or D, most likely D" D, of "A, no, B"
    B."""
    return Statement(CONTRAST.sub("", CORRECTED.sub("", LIKELIEST.sub("", text))), form)


def split(text: str) -> list[str]:
    """The sentences and lines of `text`; "B. red" is one, and so is "No. 5"."""
    sentences, start = [], 0
    for match in _END.finditer(text):
        sentences.append(text[start : match.end()].strip())
        start = match.end()
    return [sentence for sentence in [*sentences, text[start:].strip()] if _says_something(sentence)]


def _says_something(text: str) -> bool:
    return bool(re.search(r"[^\W_]", text)) or is_sign(trim(text))


def _last_marked(sentences: list[str]) -> str:
    """The answer in the last sentence that marks one; "" for none, or where a later sentence takes it back."""
    for number in range(len(sentences) - 1, -1, -1):
        sentence = sentences[number]
        if sentence.endswith("?"):
            continue
        later = "\n".join(sentences[number + 1 :])
        found = _marked(sentence)
        if found == "" and number + 1 < len(sentences):  # "The answer is:" and the answer on the next line
            found, later = sentences[number + 1], "\n".join(sentences[number + 2 :])
        if found:
            return "" if WITHDRAWN.search(f"{found}\n{later}") else found
    return ""


def _marked(sentence: str) -> str | None:
    """What `sentence` marks as the answer, "" where that is still to come; None where it marks none."""
    marks = list(MARK.finditer(sentence))
    endorsed = list(ENDORSED.finditer(sentence))
    if endorsed and (not marks or endorsed[-1].start() >= marks[-1].end()):
        return endorsed[-1].group(1)
    if not marks:
        text = ENDORSED_TEXT.match(sentence)
        return text.group(1) if text else None
    rest = sentence[marks[-1].end() :].strip().strip("\"'{}").strip()
    return rest if _says_something(rest) else ""


def _after_connector(sentence: str) -> str:
    """What `sentence` concludes: of "A has no wheels, so B" B."""
    found = list(CONNECTOR.finditer(sentence))
    return (sentence[found[-1].end() :] if found else sentence) or sentence


def _is_list(sentences: list[str]) -> bool:
    """Whether the last two lines are entries of a list of options, which answers nothing."""
    letters = [match.group(1) for line in sentences[-2:] if (match := re.match(r"\W*([A-J])[.):]\s", line))]
    return len(set(letters)) == 2


def _is_bare(line: str) -> bool:
    """Whether a line is nothing but an answer: a letter, with a few words after it, or a word or two."""
    return bool(re.match(r"\W*[A-Ja-j](?:\W*$|[).:]\s)", line)) or len(line.split()) <= 2
