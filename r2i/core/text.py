"""Short texts: their markup, a loose form to name things by, and when two of them are surely the same.

A normal form is no equality: `normalise` makes ids and finds repeated questions. Whether two answers are equal says
`same_answer`, and where numbers and mathematics count, r2i.grading.equality, which builds on it.
"""

import re
import unicodedata
from collections.abc import Sequence, Set
from functools import lru_cache

from r2i.core.spelled import NUMBERS, spell_digits

_WORDS = {word: str(value) for value, word in enumerate(NUMBERS)}
_ARTICLES = {"a", "an", "the"}
NO_ANSWER = {"", "none", "null", "nan", "n/a", "unknown", "error"}

_UNITS = {  # the name that is kept -> the spellings that may follow a number; tried in this order
    "percent": r"%|percent|per cent|pct",
    "celsius": r"° ?c|(?:degrees?|deg) (?:c|celsius|centigrade)|celsius",
    "fahrenheit": r"° ?f|(?:degrees?|deg) (?:f|fahrenheit)|fahrenheit",
    "degree": r"°|degrees?|deg",
    "km/h": r"km/h|kmh|kph|kilomet(?:er|re)s? per hour",
    "mph": r"mph|miles? per hour",
    "millimeter": r"mm|millimet(?:er|re)s?",
    "centimeter": r"cm|centimet(?:er|re)s?",
    "kilometer": r"km|kilomet(?:er|re)s?",
    "meter": r"met(?:er|re)s?",
    "inch": r"inch(?:es)?",
    "foot": r"ft|foot|feet",
    "yard": r"yds?|yards?",
    "mile": r"mi|miles?",
    "milligram": r"mg|milligram(?:me)?s?",
    "kilogram": r"kgs?|kilos?|kilogram(?:me)?s?",
    "gram": r"gram(?:me)?s?",
    "ounce": r"oz|ounces?",
    "sterling": r"£|gbp|pounds? sterling",
    "pound": r"lbs?|pounds?",  # of weight: money is apart, or £5 would equal 5 lb
    "milliliter": r"ml|millilit(?:er|re)s?",
    "liter": r"lit(?:er|re)s?",
    "gallon": r"gal|gallons?",
    "second": r"secs?|seconds?",
    "minute": r"mins?|minutes?",
    "hour": r"hrs?|hours?",
    "day": r"days?",
    "week": r"weeks?",
    "month": r"months?",
    "year": r"yrs?|years?",
    "dollar": r"\$|dollars?|usd",
    "cent": r"¢|cents?",
    "euro": r"€|euros?|eur",
}
_NAMES = tuple(_UNITS)
_SHORT = {"m": "meter", "g": "gram", "l": "liter", "L": "liter", "h": "hour", "in": "inch", "s": "second"}
_SIGNS = {"$": "dollar", "€": "euro", "£": "sterling"}

_AMOUNT = r"\d[\d,]*(?:\.\d+)?"
_END = r"(?=[\s.!?]*$)"
_UNIT = re.compile(
    rf"(?<![\w.,])({_AMOUNT}|{'|'.join(NUMBERS)})\s*"
    + rf"(?:{'|'.join(f'({spellings})' for spellings in _UNITS.values())})(?:(?<=[%°$¢€£])|(?![\w/]))",
    re.IGNORECASE,
)
# "5 M", "5G", "80s" and "3 in a row" are something else: the case counts, and nothing but a number may follow
_SHORT_UNIT = re.compile(rf"(?<![\w.,])({_AMOUNT})\s*(?:([mglLh])(?:{_END}|(?=\s+\d))|(in){_END}|(?<=\s)(s){_END})")
_PRICE = re.compile(rf"(?<!\w)([$€£])\s*({_AMOUNT})(?!\.?\w)")

_QUOTES = {('"', '"'), ("'", "'"), ("“", "”"), ("„", "“"), ("«", "»"), ("「", "」"), ("『", "』")}
_MARKS = re.compile(r"\*\*|__|`+|^#+\s+|^>\s+(?![-+]?[\d.])")  # "#5" and "> 5" say more than 5
_LOOSE_MARKS, _LOOSE_QUOTES = re.compile(r"\*\*|__|`+|^#+\s*|^>\s*"), {('"', '"'), ("'", "'")}  # ids hang on them
_DRESS = ".,;:!?()[]{}\"'«»„“”「」『』。、，；：！？（）【】…"  # what stands around words without being said
_ONE_SIGN = str.maketrans({
    "’": "'", "‘": "'", "′": "'", "“": '"', "”": '"', "„": '"', "″": '"', "−": "-", "–": "-", "‐": "-", "‑": "-",
})  # fmt: skip
_BEFORE_ARTICLE = frozenset(
    "in on of with at by to from for and or is was has have wearing holding near behind beside under over like as into"
    " inside".split()
)
_OPTION_MARK = re.compile(r"[(\[]?[A-Za-z][.):\]]")
_CASED_UNITS = frozenset("m mb kb gb tb mw mv ma ms mj mpa mhz".split())
_KEPT = frozenset("¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞↉₀₁₂₃₄₅₆₇₈₉")
_POWERS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ"
_PLAIN_POWERS = str.maketrans(_POWERS, "0123456789+-n")


def strip_markup(text: str) -> str:
    """Remove Markdown emphasis, code marks, LaTeX (`\\boxed{}`, `\\text{}`, `$...$`, escapes) and outer quotes.

    All else stays as it was said: ½, ², ″, full-width letters, the case. A text of nothing but such marks stays whole.
    """
    text = text.strip()
    return _strip(text, _MARKS, _QUOTES) or text


def _strip(text: str, marks: re.Pattern[str], quotes: Set[tuple[str, str]]) -> str:
    text = re.sub(r"\\(?:boxed|text|mathrm|textbf)\{([^{}]*)\}", r"\1", text)
    text = marks.sub("", text).strip().strip("*_").strip()
    price = re.match(r"\$\s*\d[^$]*$", text) or re.search(r"^[^$]*\d\s*\$$", text)  # a single $ at a number is no LaTeX
    if not price:
        text = text.strip("*_$").strip()
    text = re.sub(r"\s*\^?\{?\\circ\}?", "°", re.sub(r"\\[,; ]", " ", text))
    text = re.sub(r"\\([%$])", r"\1", text)
    if len(text) >= 2 and (text[0], text[-1]) in quotes:
        text = text[1:-1]
    return text.strip()


def normalise(text: str) -> str:
    """A loose key: no markup, case, articles, outer punctuation, number words, spellings of units or width of letters.

    Texts of different meaning may share it ("10²" and "102"): it makes ids and finds repeated questions, and never
    decides whether answers are equal. `normalise("**The Red square.**") == "red square"`; `normalise("five") == "5"`;
    `normalise("3.0") == "3"`; `normalise("1,200") == "1200"`; `normalise("5cm") == "5 centimeter"`.
    """
    text = _strip(unicodedata.normalize("NFKC", text).strip(), _LOOSE_MARKS, _LOOSE_QUOTES)
    text = _name_units(text).casefold()
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"[\"'()\[\]{}!?;:]|(?<!\d)\.|\.(?!\d)|,(?!\d)", " ", text)
    words = [_WORDS.get(word, word) for word in text.replace("-", " - ").split()]
    words = [re.sub(r"^(-?\d+)\.0+$", r"\1", word) for word in words]
    words = [word for word in words if word not in _ARTICLES] or words  # the letter A is an answer
    return re.sub(r" - ", "-", " ".join(words)).strip()


def _name_units(text: str) -> str:
    """`text` with one spelling for each unit that follows a number: "5 cm", "five centimetres", "€5", "20%"."""
    text = _PRICE.sub(lambda found: f"{found[2]} {_SIGNS[found[1]]}", text)
    # group 1 is the number, group 2 the first unit's
    text = _UNIT.sub(lambda found: f"{found[1]} {_NAMES[(found.lastindex or 2) - 2]}", text)
    return _SHORT_UNIT.sub(lambda found: f"{found[1]} {_SHORT[found[found.lastindex or 2]]}", text)


def same_answer(a: str, b: str) -> bool:
    """Whether two answers are surely the same: equal but for markup, case, outer punctuation, hyphens between words,
    articles, number words and spellings of units.

    "the red car" is "Red car", "dark-blue" is "dark blue", "five" is 5, "5cm" is "5 centimetres". What may tell two
    answers apart stays: "Gate A" is not "Gate", 10² not 102, 5' not 5", 2½ not 21/2, "A 12" not 12, "->" not "<-".
    """
    left, right = _words_of(a), _words_of(b)
    if not left or not right or _units_differ(left, right):
        return False
    return _fold(left) == _fold(right) or _fold(_drop_articles(left)) == _fold(_drop_articles(right))


def careful_form(text: str) -> str:
    """A key that only texts share which `same_answer` holds for."""
    return " ".join(_fold(_drop_articles(_words_of(text))))


def plain_digits(text: str) -> str:
    """Full-width letters and every script's digits as plain ones; powers and fractions as such: 10^2, 2 1/2."""
    return text if text.isascii() else "".join(map(_plain_char, _spread_powers(text)))


def plain_width(text: str) -> str:
    """Full-width letters and every script's digits as plain ones; ², ½ and ₂ stay as they were said."""
    return text if text.isascii() else "".join(char if char in _KEPT else _plain_char(char) for char in text)


def _spread_powers(text: str) -> str:
    text = re.sub(r"(?<=\d)(?=[¼½¾⅐-⅞↉])", " ", text)  # 5½ is not 51/2
    text = re.sub(rf"[{_POWERS}]+", lambda run: "^" + run[0].translate(_PLAIN_POWERS), text)
    return re.sub(r"(?<=\d)(?=[₀-₉])", "_", text)  # 10₂ is not 102


def _plain_char(char: str) -> str:
    if char.isascii():
        return char
    if unicodedata.category(char) == "Nd":
        return str(unicodedata.decimal(char))
    kind = unicodedata.decomposition(char).partition(" ")[0]
    folds = kind in ("<wide>", "<narrow>", "<fraction>", "<sub>", "<noBreak>", "<compat>", "<square>", "<font>")
    return unicodedata.normalize("NFKC", char).replace("⁄", "/") if folds else char


@lru_cache(maxsize=4096)
def _words_of(text: str) -> tuple[str, ...]:
    """The words of an answer in their own case, numbers in digits, units named; a text of signs alone is one word."""
    plain = " ".join(unicodedata.normalize("NFC", plain_digits(strip_markup(text))).translate(_ONE_SIGN).split())
    marked = plain
    if not re.search(r"(?<!\w)\"(?=\w)", plain):  # else the mark after a digit ends a quotation
        marked = re.sub(r"(?<=\d)\s?(?:''|\")(?!\w)", "″", marked)
    marked = re.sub(r"(?<=\d)'(?![A-Za-z'])", "′", marked)
    spelled = _name_units(spell_digits(marked))
    spelled = re.sub(r"(?<![\d,.])(\d{1,3}(?:,\d{3})+)(?![\d,])", lambda found: found[1].replace(",", ""), spelled)
    spelled = re.sub(r"(?<![\d.,-])(\d+)\.0+(?![\d.,])", r"\1", spelled)
    spelled = re.sub(r"(?<=[^\W\d_])-(?=[^\W\d_])", " ", spelled)  # dark-blue; by a digit it is a minus
    spelled = re.sub(r"(?<=[^\W\d_])\s&\s(?=[^\W\d_])", " and ", spelled)
    spelled = re.sub(r"(?<!\w)#\s?(?=\d)", "", spelled)
    spelled = re.sub(r"(?<![\w.])(-?)\.(?=\d)", r"\g<1>0.", spelled)
    said = spelled.split()
    words = [_undress(word, place + 1 == len(said)) for place, word in enumerate(said)]
    return tuple(word for word in words if word) or ((plain,) if plain else ())


def _undress(word: str, last: bool) -> str:
    """Without what stands around it; the mark of an option stays, "A. blue" is not a blue."""
    return word if not last and _OPTION_MARK.fullmatch(word) else word.strip(_DRESS)


def _drop_articles(words: Sequence[str]) -> list[str]:
    """Without "the", and without "a" and "an" where they can be nothing but articles: before a word, at the beginning
    or after a preposition; never the capital of "Gate A", "A 12", "A B" and "Vitamin A tablets"."""
    kept = []
    for place, word in enumerate(words):
        after = words[place + 1] if place + 1 < len(words) else ""
        names = after[:1].isalpha() and after.isascii() and (len(after) > 1 or (word == "a" and after.isupper()))
        if word.lower() in _ARTICLES and names:
            opens = place == 0 or words[place - 1].lower() in _BEFORE_ARTICLE
            if word.lower() == "the" or (opens and (word.islower() or (place == 0 and after.islower()))):
                continue
        kept.append(word)
    return kept


def _fold(words: Sequence[str]) -> list[str]:
    return [word.casefold() for word in words]


def differ_in_unit(a: str, b: str) -> bool:
    """Whether a unit is written in another case that means another one: 5 mW and 5 MW."""
    return _units_differ(_words_of(a), _words_of(b))


def _units_differ(left: Sequence[str], right: Sequence[str]) -> bool:
    for place, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b and a.casefold() == b.casefold():
            amount = re.match(r"\d[\d.,]*", a) or (place and re.search(r"\d$", left[place - 1]))
            if amount and a.casefold().lstrip("0123456789.,") in _CASED_UNITS:
                return True
    return False


def is_no_answer(text: str) -> bool:
    """Texts that stand for the absence of an answer ("None", "N/A", ...)."""
    return normalise(text) in NO_ANSWER or strip_markup(text).casefold() in NO_ANSWER
