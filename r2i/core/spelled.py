"""English numbers in words -> digits: "one hundred and five", "half a dozen", "two and a half", "minus five"."""

import re
from fractions import Fraction
from typing import NamedTuple

NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
).split()
_ONES = {word: value for value, word in enumerate(NUMBERS[:20])}
_TENS = {
    word: 10 * tens for tens, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)
}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_DOZEN = {"dozen": 12}
_HALVED = {"dozen": 12, "million": 10**6, "billion": 10**9}  # of "a dozen and a half"
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10}
_PLURALS = {"halves": 2} | {f"{word}s": parts for word, parts in _PARTS.items()}
_BEFORE_ONE = frozenset(
    "is are was only just exactly about around see count have has with and or to than least most number room of total"
    " shows reads says answer minus negative".split()
)
_TOKEN = re.compile(r"[^\W\d_]+|\d+(?:,\d{3})+(?:\.\d+)?(?![\d,])|\d+(?:\.\d+)?|\S")
_FIRST = frozenset([*_ONES, *_TENS, *_SCALES, *_DOZEN, *_PARTS, *_PLURALS, "minus", "negative"])


class _Word(NamedTuple):
    text: str
    start: int
    end: int


def spell_digits(text: str) -> str:
    """`text` with each number in words in digits: 105, 6, 2.5, -5; thirds as 1/3. What stands in digits stays as it is.

    An ordinal, a "half" that is part of a word or a phrase ("half full"), and "dozens" are no numbers.
    """
    if not any(word in _FIRST for word in re.findall(r"[^\W\d_]+", text.lower())):
        return text
    words = [_Word(found[0].lower(), found.start(), found.end()) for found in _TOKEN.finditer(text)]
    parts, end, place = [], 0, 0
    while place < len(words):
        value, after, spelled = _Reader(words, text).number(place)
        if value is not None and spelled:
            parts += [text[end : words[place].start], write_number(value)]
            end = words[after - 1].end
        place = max(after, place + 1)
    return "".join([*parts, text[end:]])


def write_number(value: Fraction) -> str:
    """2.5, 1/3, 2 2/3, -5."""
    if value.denominator == 1:
        return str(value.numerator)
    if 10**6 % value.denominator == 0:
        return f"{float(value):.6f}".rstrip("0")
    whole, rest = divmod(abs(value.numerator), value.denominator)
    return f"{'-' if value < 0 else ''}{f'{whole} ' if whole else ''}{rest}/{value.denominator}"


class _Reader:
    """Reads a number that begins at a word: its value or None, the place after it, whether a word is part of it."""

    def __init__(self, words: list[_Word], text: str) -> None:
        self.words, self.text = words, text

    def word(self, place: int) -> str:
        """The word there; "" beyond the end, or after a gap that is neither white space nor a hyphen of words."""
        if not 0 <= place < len(self.words):
            return ""
        return self.words[place].text

    def follows(self, place: int) -> int:
        """The next word's place; a hyphen between two number words is none."""
        return place + 1 if self.word(place) == "-" and self.word(place + 1) in _FIRST else place

    def number(self, place: int) -> tuple[Fraction | None, int, bool]:
        sign, start = 1, place
        if self.word(place) in ("minus", "negative") and not self._is_number(self.word(place - 1)):
            sign, start = -1, place + 1
        value, after, spelled = self.magnitude(start)
        if value is None or (after == start + 1 and self._is_pronoun(start)):
            return None, place + 1, False
        return sign * value, after, spelled or sign < 0

    def _is_pronoun(self, place: int) -> bool:
        """Whether "one" there counts nothing: "no one", "the red one"."""
        before = self.word(place - 1)
        return self.word(place) == "one" and before[:1].isalpha() and before not in _BEFORE_ONE

    def magnitude(self, place: int) -> tuple[Fraction | None, int, bool]:
        word = self.word(place)
        if word == "half":
            after = self.follows(place + 1)
            after += self.word(after) in ("a", "an")
            scale = {**_SCALES, **_DOZEN}.get(self.word(after))
            if scale:
                return Fraction(scale, 2), after + 1, True
            whole = place == 0 and place + 1 == len(self.words)
            return (Fraction(1, 2), 1, True) if whole else (None, place + 1, False)
        part = self.follows(place + 1)
        if word in ("a", "an", "one") and self.word(part) in _PARTS:
            if self.word(part + 1) in ("", ".", "of"):
                return Fraction(1, _PARTS[self.word(part)]), part + 1, True
            if word != "one":
                return None, place + 1, False
        value, after, spelled, scale = self.cardinal(place)
        if value is None:
            return None, place + 1, False
        part = self.follows(after)
        if value.denominator == 1 and self.word(part) in _PLURALS:
            return value / _PLURALS[self.word(part)], part + 1, True
        if self.word(after) == "and" and (found := self._part(after + 1)):
            share, after = found
            if scale == 1:
                value += share
                more = {**_SCALES, **_DOZEN}.get(self.word(after))
                return (value * more, after + 1, True) if more else (value, after, True)
            return (value + share * scale, after, True) if scale in _HALVED.values() else (None, after, False)
        if self.word(after) == "point" and scale == 1 and self._digits(after + 1):
            digits = self._digits(after + 1)
            return value + Fraction(int(digits), 10 ** len(digits)), after + 1 + len(digits), True
        return value, after, spelled

    def cardinal(self, place: int) -> tuple[Fraction | None, int, bool, int]:
        """Its value, the place after it, whether a word is part of it, and the scale that it ends with."""
        word, start, spelled = self.word(place), place, False
        total, group, last, scale = Fraction(0), Fraction(0), 10**12, 1
        if word[:1].isdigit():
            group, place = Fraction(word.replace(",", "")), place + 1
        elif word in ("a", "an") and self.word(place + 1) in {**_SCALES, **_DOZEN}:
            group, place, spelled = Fraction(1), place + 1, True
        elif word == "dozen":
            group = Fraction(1)
        elif word not in _ONES and word not in _TENS:
            return None, start + 1, False, 1
        while True:
            at = self.follows(place)
            word = self.word(at)
            if (word in _ONES or word in _TENS) and self._joins(group, word, at == start):
                group, spelled, scale = group + _ONES.get(word, _TENS.get(word, 0)), True, 1
            elif word == "hundred" and 0 < group < 100:
                group, spelled, scale = group * 100, True, 100
            elif word in _SCALES and word != "hundred" and group > 0 and _SCALES[word] < last:
                last = scale = _SCALES[word]
                total, group, spelled = total + group * last, Fraction(0), True
            elif word == "dozen" and group > 0:
                return total + group * 12, at + 1, True, 12
            elif word == "and" and scale > 1 and self._ends_small(at + 1, scale):
                place = at + 1
                continue
            else:
                break
            place = at + 1
        return total + group, place, spelled, scale

    def _joins(self, group: Fraction, word: str, first: bool) -> bool:
        """Whether `word` goes on with the group: "twenty" one, "hundred" twenty; not "five" six."""
        if group == 0:
            return first or word != "zero"
        tens, rest = word in _TENS, group % 100
        if group >= 100 and rest == 0:
            return word != "zero"
        return not tens and rest >= 20 and rest % 10 == 0 and 0 < _ONES[word] < 10

    def _ends_small(self, place: int, scale: int) -> bool:
        """Whether a number below a hundred stands there that ends the one before: "two thousand and five", and of
        "two hundred and five thousand"; not "two hundred and five hundred"."""
        word = self.word(place)
        if word not in _ONES and word not in _TENS:
            return False
        after = self.follows(place + 1)
        after += word in _TENS and 0 < _ONES.get(self.word(after), 0) < 10
        return self.word(after) not in {**(_SCALES if scale > 100 else {"hundred": 100}), **_DOZEN, **_PLURALS}

    def _part(self, place: int) -> tuple[Fraction, int] | None:
        """ "a half", "one third", "three quarters", and the place after it."""
        count, part = self.word(place), self.word(place + 1)
        if count in ("a", "an", "one") and part in _PARTS:
            return Fraction(1, _PARTS[part]), place + 2
        if count in _ONES and part in _PLURALS:
            return Fraction(_ONES[count], _PLURALS[part]), place + 2
        return None

    def _digits(self, place: int) -> str:
        digits = ""
        while 0 <= _ONES.get(self.word(place), -1) < 10:
            digits += str(_ONES[self.word(place)])
            place += 1
        return digits

    def _is_number(self, word: str) -> bool:
        return word[:1].isdigit() or word in _ONES or word in _TENS or word in _SCALES or word in _DOZEN
