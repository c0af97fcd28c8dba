"""Numbers in short answers: digits, words, Chinese numerals, thousands, fractions, percent, units."""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from r2i.core.spelled import spell_digits, write_number
from r2i.core.text import careful_form, differ_in_unit, plain_digits, strip_markup
from r2i.grading.phrases import has_unread_script, negates

_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
_POWERS = {"十": 10, "百": 100, "千": 1000}
_MYRIADS = {"万": 10**4, "亿": 10**8}
_CHINESE = "".join([*_DIGITS, *_POWERS, *_MYRIADS])
_COUNTERS = "个人名位辆只条张本块件座栋棵朵层种次台把岁元米号匹头支枝瓶杯盏扇架艘根双对架份页行列天年月日点分秒度"
_NUMERAL = re.compile(
    rf"^((?:(?:图|图片|画面|照片)中)?(?:一共|总共|共)?(?:有|是|为)?|大约|约)(负?)([{_CHINESE}]+)(打?)"
    rf"(?=[{_COUNTERS}半]|[。.]?$)"
)
_SCALED = re.compile(r"(\d+(?:\.\d+)?)\s?([百千万亿])(?![克米瓦])")  # 3.5万, not 5千克
_HALF_MORE = re.compile(rf"^(-?\d+)\s?([{_COUNTERS}])半(?=\W|$)")  # 两个半
_AMOUNT = r"-?\d+(?:\.\d+)?"
_NUMBER = re.compile(
    r"(?<![\w.#^_/:])(?:(?P<whole>-?\d+) (?P<top>\d+)/(?P<bottom>\d+)|(?P<over>-?\d+)/(?P<under>\d+)"
    r"|(?P<plain>-?(?:\d+(?:\.\d+)?|\.\d+)))(?![\w./+^_:]|,\d|-\d)"
)
_BOUND = re.compile(
    r"\b(?:at least|at most|no (?:more|less|fewer)|(?:more|less|fewer|greater|bigger|smaller|other|rather) than|over"
    r"|under|above|below|beyond|up to|almost|nearly|minimum|maximum|min\.|max\."
    r"|(?:or|maybe|perhaps|possibly) (?:more|less|so|fewer|above|over)|and (?:more|up|above)|plus|as many as|upwards?"
    r"|exceeds?|except|excluding|without|dozens|hundreds|thousands|millions|several|some)\b"
    r"|[<>≥≤≠±]|\d\s?\+|至少|最多|超过|不到|不足|不止|以上|以下|左右|多于|少于|大于|小于|起码|来[个人]|几|\d多|十多"
    r"|将近|接近|近|以外|除了",
    re.IGNORECASE,
)
_RANGE = re.compile(
    rf"(?:between |either |about |from )?{_AMOUNT}\s*(?:or|to|and|-|–|~|或者?|到|至)\s*{_AMOUNT}(?: [^\W\d]+)?"
)
# words before a number that leave it what it is
_LEADS = frozenset(
    "there are is was were be i we you can could see count counted counting think believe about around approximately"
    " roughly exactly only just total of number no room the in image picture photo it that this shows has have they one"
    " so answer visible maybe perhaps probably likely ~ ≈ 约 大约 图中 图片中 画面中 照片中 有 共 共有 一共 总共"
    " 一共有 总共有 图中有 图中共有 是 为 答案是 画面中有 图片中有".split()
)
# words after a number that make another one of it, or join something to it
_CHANGES = frozenset(
    "million billion thousand hundred dozen score gross k m bn b pair pairs couple couples dozens am pm a.m p.m o'clock"
    " oclock x times th st nd rd half halves quarter quarters third thirds and plus or but except besides excluding"
    " including per each every minus less more fewer too of out off to until till past point fold street road avenue"
    " lane ′ ″ 倍 成 对 双 点 半 多 万 亿 january february march april may june july august september october november"
    " december jan feb mar apr jun jul aug sep sept oct nov dec o ou oder y et und e más mas mehr più mais plus moins"
    " menos weniger meno meer minder или и больше более меньше менее أو أكثر أقل या अधिक कम または 또는 이상 이하"
    " veya fazla atau lebih".split()
)
_NOTHING = re.compile(
    r"(?:there (?:are|is|were) )?(?:none|zero)(?: at all)?|没有|一个也没有|一个都没有|无", re.IGNORECASE
)
LONGEST_TEXT = 500  # characters in which a number is looked for
LONGEST = 12  # words of a statement whose only number, being another, makes it wrong


@dataclass(frozen=True)
class Quantity:
    """The only number of a text. `before`, `rest`: its other words, in careful form; `digits`: as written."""

    value: Fraction
    digits: str
    before: tuple[str, ...]
    rest: tuple[str, ...]
    named: bool = False  # two words with capitals follow: "12 Angry Men", "12 Main Street"

    @property
    def is_plain(self) -> bool:
        """Whether it is an amount of something, and no part of a name: "5 people", not "Main Street 12" or "10 pm".

        Of a script whose sentences no rule reads one word may follow, what is counted.
        """
        unread = [word for word in self.rest if has_unread_script(word)]
        changed = self.named or _CHANGES & set(self.rest) or (unread and len(self.rest) > 1)
        return not (set(self.before) - _LEADS or changed)


def read_quantity(text: str) -> Quantity | None:
    """The only number in `text`; None for none, for several, for bounds ("at least 5") and denials ("not 5"), and for a
    fraction that stands alone, which is for mathematics."""
    amount = _read(text)
    return None if amount and "/" in amount.digits and not amount.before and not amount.rest else amount


@lru_cache(maxsize=4096)
def _read(text: str) -> Quantity | None:
    if len(text) > LONGEST_TEXT:
        return None
    text = strip_markup(text)
    if _BOUND.search(text) or (negates(text) and re.search(r"\b(?:not|never)\b|n['’]t\b|不|非|没", text)):
        return None
    text = re.sub(r"\bof (?=(?:them|these|those|the|us)\b)", "", text)
    text = _drop_repeat(spell_numerals(plain_digits(text)))
    form = re.sub(r"(?<!\w)- (?=\d)", "-", careful_form(text))
    found = list(_NUMBER.finditer(form))
    if len(found) != 1 or len(found[0][0]) > 40 or re.search(r"\d", form[: found[0].start()] + form[found[0].end() :]):
        return None
    value = _value(found[0])
    if value is None:
        return None
    before, rest = form[: found[0].start()].replace("~", " ").replace("≈", " ").split(), form[found[0].end() :].split()
    named = bool(re.search(r"\d\s+[A-Z]\w+\s+[A-Z]\w+", text))
    return Quantity(value, found[0][0], tuple(before), tuple(rest), named)


def _value(found: re.Match[str]) -> Fraction | None:
    if found["plain"]:
        return Fraction(found["plain"])
    bottom = int(found["bottom"] or found["under"])
    if not bottom:
        return None
    if found["over"]:
        return Fraction(int(found["over"]), bottom)
    sign = -1 if found["whole"].startswith("-") else 1
    return int(found["whole"]) + sign * Fraction(int(found["top"]), bottom)


def _drop_repeat(text: str) -> str:
    """Of "5 (5)", as "5 (five)" has become, 5."""
    return re.sub(r"(-?[\d.,]{1,40}) \(\1\)", r"\1", text)


def spell_numerals(text: str) -> str:
    """`text` with numbers in words and Chinese numerals in digits: "twenty-five", "2 million", 十二个, 半打."""
    text = re.sub(r"^(.*?)百分之([零一二三四五六七八九十百两〇]+)", _percent, text.strip())
    text = re.sub(r"^(?:有|共|一共有?)?半打", "6", text)
    text = _SCALED.sub(_scale, _NUMERAL.sub(_spell_chinese, text).strip())
    text = re.sub(r"(?<=[\u3400-\u9fff])(?=[-\d])|(?<=\d)(?=[\u3400-\u9fff])", " ", text)
    text = _HALF_MORE.sub(lambda found: f"{found[1]}.5 {found[2]}", text)
    text = re.sub(r"(?<=\d)\s(?=\d{3}(?:\s\d{3})*(?![\d,]))", "", text)
    return spell_digits(text)


def _percent(found: re.Match[str]) -> str:
    value = _read_chinese(found[2])
    return found[0] if value is None else f"{found[1]}{value}%"


def _scale(found: re.Match[str]) -> str:
    return write_number(Fraction(found[1]) * {**_POWERS, **_MYRIADS}[found[2]])


def _spell_chinese(found: re.Match[str]) -> str:
    value = _read_chinese(found[3])
    if value is None:
        return found[0]
    return f"{found[1]} {'-' if found[2] else ''}{int(value) * 12 if found[4] else value} "


def _read_chinese(numeral: str) -> str | None:
    """The value of a numeral; digits in a row (二〇二四) are read as digits. None for 五六个 (five or six)."""
    if not any(char in _POWERS or char in _MYRIADS for char in numeral):
        plain = len(numeral) == 1 or len(numeral) > 2 or "〇" in numeral or "零" in numeral
        return "".join(str(_DIGITS[char]) for char in numeral) if plain else None
    total, section, digit, scale = 0, 0, 0, 1  # scale: of the sign before the last digit
    for place, char in enumerate(numeral):
        if char in _POWERS:
            section += (digit or (1 if place == 0 or section == 0 else 0)) * _POWERS[char]
            digit, scale = 0, _POWERS[char]
        elif char in _MYRIADS:
            total += (section + digit) * _MYRIADS[char]
            section, digit, scale = 0, 0, _MYRIADS[char]
        elif digit:
            return None  # 十五六个: fifteen or sixteen
        else:
            digit, scale = _DIGITS[char], 1 if char in "零〇" else scale
    return str(total + section + digit * max(1, scale // 10))  # 一百二 is 120, 一百零二 102


def compare_numbers(said: str, gold: str) -> bool | None:
    """Whether the only number of `said` is that of `gold`; None where numbers don't decide.

    Equal numbers count where one of both stands alone, or where `said` repeats the other words of `gold` ("There
    are 5 people in it", "5 people"). Unequal ones make a short statement wrong. Units that differ are left to a
    judge, and so are numbers in names, codes with leading zeros, "1.200", and a factor of 100 where one of both has a
    percent sign. "None" is 0.
    """
    right, given = read_quantity(gold), read_quantity(said)
    for amount, words in ((right, said), (given, gold)):
        if amount and amount.value == 0 and amount.is_plain and _NOTHING.fullmatch(words.strip(" .。!")):
            return True
    if right is None or len(right.rest) > 2 or not right.is_plain:
        return None
    if given is None:
        return False if _names_range(said) else None
    fits = not right.rest or not given.rest or set(right.rest) <= set(given.rest)
    if not fits or not given.is_plain or _is_doubtful(given, right) or differ_in_unit(said, gold):
        return None
    if given.value == right.value:
        return True
    if ("percent" in right.rest) != ("percent" in given.rest) and (
        given.value / 100 == right.value or given.value == right.value / 100
    ):
        return None
    return False if len(said.split()) <= LONGEST else None


def same_value(a: str, b: str) -> bool:
    """Whether two texts may name one amount in two ways: 5 cm and 50 mm, 3 and III, 50 % and 0.5.

    Too little to count an answer as right, and enough to be no wrong answer.
    """
    left, right = _amount_of(a), _amount_of(b)
    if left is None or right is None:
        return False
    return left == right


_FACTORS = {  # in a common unit of each kind
    "millimeter": ("length", Fraction(1)), "centimeter": ("length", Fraction(10)),
    "meter": ("length", Fraction(1000)), "kilometer": ("length", Fraction(10**6)),
    "inch": ("length", Fraction(254, 10)), "foot": ("length", Fraction(3048, 10)),
    "yard": ("length", Fraction(9144, 10)), "mile": ("length", Fraction(1609344)),
    "milligram": ("weight", Fraction(1)), "gram": ("weight", Fraction(1000)), "kilogram": ("weight", Fraction(10**6)),
    "milliliter": ("volume", Fraction(1)), "liter": ("volume", Fraction(1000)),
    "second": ("time", Fraction(1)), "minute": ("time", Fraction(60)), "hour": ("time", Fraction(3600)),
    "day": ("time", Fraction(86400)), "week": ("time", Fraction(604800)),
    "cent": ("money", Fraction(1)), "dollar": ("money", Fraction(100)), "percent": ("", Fraction(1, 100)),
}  # fmt: skip
_ROMAN = re.compile(r"(?=[IVXLC])C{0,3}(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_ROMAN_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}


def _amount_of(text: str) -> tuple[str, Fraction] | None:
    plain = strip_markup(text)
    if _ROMAN.fullmatch(plain):
        values = [_ROMAN_VALUES[char] for char in plain]
        pairs = zip(values, [*values[1:], 0], strict=True)
        return "", Fraction(sum(-value if value < after else value for value, after in pairs))
    amount = _read(text)
    if amount is None or set(amount.before) - _LEADS:
        return None
    kind, factor = _FACTORS.get(" ".join(amount.rest), (" ".join(amount.rest), Fraction(1)))
    return kind, amount.value * factor


def _is_doubtful(a: Quantity, b: Quantity) -> bool:
    """Equal amounts, but one is a code with leading zeros; or a point that may part thousands, "1.200"."""
    codes = a.value == b.value and a.digits != b.digits and any(re.match(r"-?0\d", n.digits) for n in (a, b))
    grouped = [number for number in (a, b) if re.fullmatch(r"-?[1-9]\d{0,2}\.\d{3}", number.digits)]
    return codes or any(number.value * 1000 in (a.value, b.value) for number in grouped)


def _names_range(said: str) -> bool:
    """Whether two numbers are offered in place of one: "5 or 6", "3-4 people"."""
    if len(said) > LONGEST_TEXT:
        return False
    return bool(_RANGE.fullmatch(careful_form(spell_numerals(plain_digits(said)))))
