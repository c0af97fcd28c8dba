"""Where in a reply its answer stands: a closed span, a box, or the end of the prose.

Evaluation reads more than the reward of training does (r2i/grading/strict.py): a span that was never closed, a bare
letter, a sentence. Reasoning is never searched.
"""

import re
import unicodedata
from dataclasses import dataclass

from r2i.core.parse import last_boxed

LONGEST = 20_000  # characters of a reply that are read, from its end

_THINKING = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("◁think▷", "◁/think▷"))
_CLOSED = (
    re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.IGNORECASE | re.DOTALL),
    re.compile(r"<\|begin_of_box\|>((?:(?!<\|begin_of_box\|>).)*?)<\|end_of_box\|>", re.DOTALL),  # GLM-4.5V
)
_OPEN = re.compile(r"<answer>|<\|begin_of_box\|>", re.IGNORECASE)
_TOKENS = re.compile(r"<\|[a-z_]{1,30}\|>|</?s>|</?answer>", re.IGNORECASE)


@dataclass(frozen=True)
class Heard:
    """What of a reply counts. `enclosed`: it stood in a closed span or box, so that all of it is the answer."""

    text: str
    enclosed: bool


def find_answer(reply: str) -> Heard:
    """The last closed `<answer>` span; else the last `\\boxed{}`; else what follows an unclosed `<answer>`; else
    the whole prose. Thinking is removed first; of thinking that never ended nothing is left.

    Text is in Unicode's NFKC form (full-width letters and digits are plain ones).
    """
    text = re.sub(r"(?<=\d)(?=[¼½¾⅐-⅞])", " ", drop_thinking(reply))  # 5½ is not 51/2
    text = unicodedata.normalize("NFKC", text).replace("⁄", "/")[-LONGEST:]
    spans = [match for pattern in _CLOSED for match in pattern.finditer(text)]
    if spans:
        inside = max(spans, key=lambda match: match.end()).group(1)
        return Heard(last_boxed(inside) or inside, True)
    boxed = last_boxed(text)
    if boxed is not None:
        return Heard(boxed, True)
    opened = list(_OPEN.finditer(text))
    return Heard(_TOKENS.sub(" ", text[opened[-1].end() :] if opened else text), False)


def drop_thinking(reply: str) -> str:
    """`reply` without its thinking: from each opening tag to its end, and up to an end whose start was prefilled."""
    for opening, closing in _THINKING:
        reply = reply.rpartition(closing)[2]
        reply = reply.partition(opening)[0]
    return reply


def plain(text: str) -> str:
    """`text` without Markdown marks and the LaTeX that only sets type; its lines and words stay."""
    text = re.sub(r"```\w*", "", re.sub(r"[“”「」『』]", '"', re.sub(r"[‘’]", "'", text)))
    text = re.sub(r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|fbox|boxed)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\[()\[\]]|\$\$", " ", text)
    text = re.sub(r"\*\*|__|`", "", text)
    text = re.sub(r"^[ \t]*(?:#+|>|[-*•])[ \t]+", "", text, flags=re.MULTILINE)
    return re.sub(r"(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)", "", text).strip()
