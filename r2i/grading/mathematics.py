"""Whether two expressions are the same in mathematics, by Hugging Face's math-verify (sympy).

The library stops endless computations by signals, which work in the main thread alone and make a verdict depend on
the machine's speed. Here they are off, and what is given to it is bounded instead: short, no large powers, no
names, no factorials.
"""

import logging
import re
from functools import lru_cache

from r2i.core.text import plain_digits

LONGEST = 60  # characters of an expression
DEEPEST = 4  # brackets within brackets: the grammar takes exponential time in them
_COMMANDS = r"\\(?:d|t)?frac|\\sqrt|\\pi|\\cdot|\\times|\\div|\\left|\\right|\\pm|\\infty|\\%|\\ |\\,|\\!|\\;"
_ALLOWED = re.compile(rf"(?:{_COMMANDS}|sqrt|pi|[0-9]|[a-z](?![a-z])|[-+*/^().{{}}%\s])+")
_NO_NUMBER = re.compile(
    r"\d{16}|(?<![\d.])0\d|(?<!\d)[1-9]\d{0,2}\.\d{3}(?!\d)|\d/\d+/\d|[a-z]\.|\d\s*e\s*[-+]?\d|^\d+(?:\s*-\s*\d+)+$|\d\s*x\s*\d|\d\.?\s+\d|[-+*/=^]\s*$"
)  # codes, "1.200", dates, "5 p.m.", "5e3", scores, "1920x1080"
_TOWER = re.compile(r"(?:\^|\*\*)\s*(?:\{[^{}]*\}|\([^()]*\)|-?\w+)[\s})]*(?:\^|\*\*)")
_POWER = re.compile(r"(?:\^|\*\*)\s*(\{[^{}]*\}|\([^()]*\)|-?\w+)")


def is_expression(text: str) -> bool:
    """Whether `text` is an expression that may be computed: a number or a formula, short, its powers below 100."""
    text = text.strip()
    if not 0 < len(text) <= LONGEST or not re.search(r"\d|\\pi|\bpi\b", text) or not _ALLOWED.fullmatch(text):
        return False
    if _NO_NUMBER.search(text) or _depth(text) > DEEPEST:
        return False
    if _TOWER.search(text):
        return False
    powers = [match.strip("{}() ") for match in _POWER.findall(text)]
    largest = 4 if re.search(r"(?<![a-z\\])[a-z](?![a-z])", text) else 99
    if text.count("^") + text.count("**") != len(powers) or len(powers) > 3:
        return False
    return all(
        re.fullmatch(r"-?\d{1,2}(?:/\d)?", power) and abs(int(power.split("/")[0])) <= largest for power in powers
    )


def _depth(text: str) -> int:
    """Brackets that are open at once, at most; a bracket that is never closed stays open."""
    depths = [0]
    for char in text:
        depths.append(depths[-1] + (char in "({") - (char in ")}"))
    return max(depths)


def same_mathematics(said: str, gold: str) -> bool | None:
    """Whether two expressions are equal: `\\frac{1}{2}`, 0.5, 50% and 1/2 are.

    False only where both are numbers; None where one of them is no expression of the kind that may be computed,
    or where the library can't read it. Safe in any thread.
    """
    said, gold = _strip(said), _strip(gold)
    if not (is_expression(said) and is_expression(gold)):
        return None
    return _compare(said, gold)


def _strip(text: str) -> str:
    text = re.sub(r"^\$+|\$+$", "", plain_digits(text).strip().rstrip(".").strip()).strip()
    text = re.sub(r"\^(-\d+)", r"^{\1}", text)
    text = re.sub(r"(?<![\w.])(\d+)\s+(\d+\s*/\s*\d+)(?!\w)", r"(\1+\2)", text)  # "1 1/2"
    return re.sub(r"(?<![\w\\])([a-z])\s*=\s*(?=[-\d(\\])", "", text) if text.count("=") == 1 else text


@lru_cache(maxsize=4096)
def _compare(said: str, gold: str) -> bool | None:
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # it warns at each call that its time-outs are off
    rules = [LatexExtractionConfig(), ExprExtractionConfig()]

    try:
        left, right = (parse(f"${text}$", rules, fallback_mode="no_fallback", parsing_timeout=None)
                       for text in (gold, said))  # fmt: skip
        if not left or not right:
            return None
        if verify(left, right, timeout_seconds=None):
            return True
    except Exception:  # the grammar and sympy raise dozens of kinds; an expression that they can't take is no verdict
        return None
    return False if all(getattr(sides[0], "is_number", False) for sides in (left, right)) else None
