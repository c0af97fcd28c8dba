"""Numbers in short answers: digits, words, Chinese numerals, thousands, percent, units."""

import re
from dataclasses import dataclass
from decimal import Decimal

from r2i.core.text import normalise, same_answer, strip_markup
from r2i.grading.phrases import negates

_ONES = {word: value for value, word in enumerate("one two three four five six seven eight nine".split(), 1)}
_TENS = {
    word: 10 * value for value, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)
}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "dozen": 12, "万": 10**4, "亿": 10**8}
_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
_POWERS = {"十": 10, "百": 100, "千": 1000}
_CHINESE = "".join([*_DIGITS, *_POWERS])
_COMPOUND = re.compile(rf"\b({'|'.join(_TENS)})(?:[- ]({'|'.join(_ONES)}))?\b", re.IGNORECASE)
_SCALED = re.compile(rf"(?<![\w.,])(\d+(?:\.\d+)?|an?)\s*({'|'.join(_SCALES)})\b", re.IGNORECASE)
_NUMERAL = re.compile(
    rf"^((?:有|共|共有|一共有?|总共有?|大约|约)?)([{_CHINESE}]+)(?=[个人名位辆只条张本块件座栋棵朵层种次台把岁元米号]|$)"
)
_AMOUNT = r"-?\d+(?:\.\d+)?"
_NUMBER = re.compile(r"(?<![\w.#])-?\d+(?:\.\d+)?(?![\w./+]|,\d)")
_BOUND = re.compile(
    r"\b(?:at least|at most|(?:more|less|fewer) than|over|under|above|below|up to|almost|nearly|or more|or less)\b"
    r"|[<>≥≤]|至少|最多|超过|不到|以上|以下",
    re.IGNORECASE,
)
_RANGE = re.compile(
    rf"(?:between |either |about |from )?{_AMOUNT}\s*(?:or|to|and|-|–|~|或|到|至)\s*{_AMOUNT}(?: [^\W\d]+)?"
)
_FORMULA = re.compile(r"[\\^=*√π]|sqrt")
_VAGUE = ("about", "around", "approximately", "roughly", "exactly", "only", "total of", "number", "no", "room")
LONGEST = 12  # words of a statement whose only number, being another, makes it wrong


@dataclass(frozen=True)
class Quantity:
    """The only number of a text. `rest`: its other words, normalised; `digits`: as written."""

    value: Decimal
    digits: str
    rest: tuple[str, ...]


def read_quantity(text: str) -> Quantity | None:
    """The only number in `text`; None for none, for several, for bounds ("at least 5") and denials ("not 5")."""
    if _BOUND.search(text) or (negates(text) and re.search(r"\bnot|n['’]t\b|不", text)):
        return None
    text = strip_markup(text)
    if _FORMULA.search(text):
        return None
    text = re.sub(r"\b(\w+) \((\w+)\)", lambda found: found[1] if same_answer(found[1], found[2]) else found[0], text)
    form = re.sub(r"(?<!\w)- (?=\d)", "-", normalise(spell_digits(text)))
    found = _NUMBER.findall(form)
    if len(found) != 1 or len(re.findall(r"\d+(?:\.\d+)?", form)) != 1 or len(found[0]) > 40:
        return None
    rest = re.sub(r"^(?:" + "|".join(_VAGUE) + r")\b", "", form.replace(found[0], " ", 1).strip(" ~≈约#")).split()
    return Quantity(Decimal(found[0]), found[0], tuple(rest))


def spell_digits(text: str) -> str:
    """`text` with those numbers in digits that `normalise` leaves as words: "twenty-five", "2 million", 十二个."""
    text = _NUMERAL.sub(lambda found: f"{found[1]} {_read_chinese(found[2])} ", text.strip())
    text = re.sub(r"(?<=[\u3400-\u9fff])(?=[-\d])|(?<=\d)(?=[\u3400-\u9fff])", " ", text)
    text = _COMPOUND.sub(
        lambda found: str(_TENS[found[1].lower()] + (_ONES[found[2].lower()] if found[2] else 0)), text
    )
    text = re.sub(r"(?<=\d)[,\s](?=\d{3}(?:[,\s]\d{3})*(?![\d,]))", "", text)
    text = re.sub(
        rf"\b({'|'.join(_ONES)})(?=\s+(?:{'|'.join(_SCALES)})\b)",
        lambda found: str(_ONES[found[1].lower()]),
        text,
        flags=re.IGNORECASE,
    )
    return _SCALED.sub(_scale, text)


def _scale(found: re.Match[str]) -> str:
    amount = Decimal(1) if found[1].lower() in ("a", "an") else Decimal(found[1])
    return f"{(amount * _SCALES[found[2].lower()]).normalize():f}"


def _read_chinese(numeral: str) -> int | str:
    """The value of a numeral below ten thousand; digits in a row (二〇二四) are read as digits."""
    if not any(char in _POWERS for char in numeral):
        return "".join(str(_DIGITS[char]) for char in numeral)
    total, digit = 0, 0
    for position, char in enumerate(numeral):
        if char in _POWERS:
            total += (digit or (1 if position == 0 else 0)) * _POWERS[char]
            digit = 0
        else:
            digit = _DIGITS[char]
    return total + digit


def compare_numbers(said: str, gold: str) -> bool | None:
    """Whether the only number of `said` is that of `gold`; None where numbers don't decide.

    Equal numbers count where one of both stands alone, or where `said` repeats the other words of `gold` ("There
    are 5 people in it", "5 people"). Unequal ones make a short statement wrong. Units that differ are left to a
    judge, and so is a factor of 100 where one of both has a percent sign. Leading zeros are part of a code.
    """
    right = read_quantity(gold)
    if right is None or len(right.rest) > 2:
        return None
    given = read_quantity(said)
    if given is None:
        return False if _names_range(said) else None
    fits = not right.rest or not given.rest or set(right.rest) <= set(given.rest)
    if not fits or (given.value == right.value and _is_code(given, right)):
        return None
    if given.value == right.value:
        return True
    if ("percent" in right.rest) != ("percent" in given.rest) and (
        given.value / 100 == right.value or given.value == right.value / 100
    ):
        return None
    return False if len(said.split()) <= LONGEST else None


def _is_code(a: Quantity, b: Quantity) -> bool:
    return a.digits != b.digits and any(re.match(r"-?0\d", number.digits) for number in (a, b))


def _names_range(said: str) -> bool:
    """Whether two numbers are offered in place of one: "5 or 6", "3-4 people"."""
    return bool(_RANGE.fullmatch(normalise(spell_digits(said))))
