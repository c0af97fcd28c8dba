"""When two short answers are the same: the rules that vote, reward and evaluate share."""

import re
import unicodedata

_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
).split()
_WORDS = {word: str(value) for value, word in enumerate(_NUMBERS)}
_ARTICLES = {"a", "an", "the"}
NO_ANSWER = {"", "none", "null", "nan", "n/a", "unknown", "error"}


def strip_markup(text: str) -> str:
    """Remove Markdown emphasis, code marks, LaTeX `\\boxed{}` / `\\text{}` and outer quotes."""
    text = unicodedata.normalize("NFKC", text).strip()
    text = re.sub(r"\\(?:boxed|text|mathrm|textbf)\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\*\*|__|`+|^#+\s*|^>\s*", "", text)
    text = text.strip().strip("*_$").strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    return text.strip()


def normalise(text: str) -> str:
    """A canonical form: no markup, case, articles, outer punctuation or number words.

    `normalise("**The Red square.**") == "red square"`; `normalise("five") == "5"`;
    `normalise("3.0") == "3"`; `normalise("1,200") == "1200"`.
    """
    text = strip_markup(text).casefold()
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"[\"'()\[\]{}!?;:]|(?<!\d)\.|\.(?!\d)|,(?!\d)", " ", text)
    words = [_WORDS.get(word, word) for word in text.replace("-", " - ").split()]
    words = [re.sub(r"^(-?\d+)\.0+$", r"\1", word) for word in words]
    words = [word for word in words if word not in _ARTICLES] or words  # the letter A is an answer
    return re.sub(r" - ", "-", " ".join(words)).strip()


def same_answer(a: str, b: str) -> bool:
    """Whether two answers normalise to the same non-empty text."""
    left = normalise(a)
    return bool(left) and left == normalise(b)


def is_no_answer(text: str) -> bool:
    """Texts that stand for the absence of an answer ("None", "N/A", ...)."""
    return normalise(text) in NO_ANSWER or strip_markup(text).casefold() in NO_ANSWER
