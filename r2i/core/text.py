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
    rf"(?<![\w.,])({_AMOUNT}|{'|'.join(_NUMBERS)})\s*"
    + rf"(?:{'|'.join(f'({spellings})' for spellings in _UNITS.values())})(?:(?<=[%°$¢€£])|(?![\w/]))",
    re.IGNORECASE,
)
# "5 M", "5G", "80s" and "3 in a row" are something else: the case counts, and nothing but a number may follow
_SHORT_UNIT = re.compile(rf"(?<![\w.,])({_AMOUNT})\s*(?:([mglLh])(?:{_END}|(?=\s+\d))|(in){_END}|(?<=\s)(s){_END})")
_PRICE = re.compile(rf"(?<!\w)([$€£])\s*({_AMOUNT})(?!\.?\w)")


def strip_markup(text: str) -> str:
    """Remove Markdown emphasis, code marks, LaTeX (`\\boxed{}`, `\\text{}`, `$...$`, escapes) and outer quotes."""
    text = unicodedata.normalize("NFKC", text).strip()
    text = re.sub(r"\\(?:boxed|text|mathrm|textbf)\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\*\*|__|`+|^#+\s*|^>\s*", "", text)
    text = text.strip().strip("*_").strip()
    price = re.match(r"\$\s*\d[^$]*$", text) or re.search(r"^[^$]*\d\s*\$$", text)  # a single $ at a number is no LaTeX
    if not price:
        text = text.strip("*_$").strip()
    text = re.sub(r"\s*\^?\{?\\circ\}?", "°", re.sub(r"\\[,; ]", " ", text))
    text = re.sub(r"\\([%$])", r"\1", text)
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    return text.strip()


def normalise(text: str) -> str:
    """A canonical form: no markup, case, articles, outer punctuation, number words or spellings of units.

    `normalise("**The Red square.**") == "red square"`; `normalise("five") == "5"`;
    `normalise("3.0") == "3"`; `normalise("1,200") == "1200"`; `normalise("5cm") == "5 centimeter"`.
    """
    text = _name_units(strip_markup(text)).casefold()
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
    """Whether two answers normalise to the same non-empty text."""
    left = normalise(a)
    return bool(left) and left == normalise(b)


def is_no_answer(text: str) -> bool:
    """Texts that stand for the absence of an answer ("None", "N/A", ...)."""
    return normalise(text) in NO_ANSWER or strip_markup(text).casefold() in NO_ANSWER
