"""When two short answers are the same."""

import pytest

from r2i.core.text import normalise, same_answer, strip_markup
from r2i.mini.language import CHECKS, QUESTIONS, WORDS
from r2i.mini.world import ANSWERS, COLORS, SHAPES


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("**The Red square.**", "red square"), ("five", "5"), ("3.0", "3"), ("1,200", "1200"), ("A", "a"),
        (r"\text{dark blue}", "dark blue"), ("$x$", "x"), ("'N'", "n"), ("half-open", "half-open"),
        ("no. 5", "no 5"), ("3:45", "3 45"), ("#5", "5"), ("> 5", "5"), ("**", ""),
    ],
)  # fmt: skip
def test_dress_case_articles_and_number_words_play_no_part(text: str, form: str) -> None:
    assert normalise(text) == form == normalise(form)


@pytest.mark.parametrize(
    "spellings",
    [
        ["5 cm", "5cm", "5 CM", "five centimeters", "5 centimetres", "5.0 cm", r"5\,\text{cm}", "**5 cm.**"],
        ["20%", "20 %", "20 percent", "twenty per cent", r"20\%", r"$20\%$"],
        ["45°", "45 degrees", "45 deg", r"45^\circ", r"$45^{\circ}$"],
        ["21 °C", "21°C", "21 degrees Celsius", "21 celsius", "21℃", "21 degrees c"],
        ["70°F", "70 degrees Fahrenheit", "70 ° F"],
        ["5 m", "5m", "5 meters", "5 metre"],
        ["12 in", "12 in.", "12 inches", "12inch"],
        ["6 ft", "6 feet", "six foot"],
        ["5 ft 3 in", "5 feet 3 inches"],
        ["60 km/h", "60km/h", "60 kph", "60 kilometers per hour"],
        ["30 mph", "30 miles per hour"],
        ["500 g", "500g", "500 grams"], ["2 kg", "2 kilos", "two kilograms"],
        ["3 lb", "3 lbs", "3 pounds"], ["12 oz", "12 ounces"],
        ["1.5 L", "1.5l", "1.5 liters", "1.5 litres"], ["330 ml", "330mL", "330 millilitres"],
        ["10 s", "10 sec", "ten seconds"], ["5 min", "5 mins", "5 minutes"],
        ["2 h 30 min", "2 hours 30 minutes", "2 hrs 30 mins"], ["3 yrs", "3 years"],
        ["$5", "$5.00", "5 dollars", "5 USD", r"\$5", r"\boxed{\$5}", "5$"],
        ["€1,200", "1200 euros", "1,200 €", "1200 EUR"], ["£3.50", "3.50 GBP"], ["50¢", "50 cents"],
    ],
    ids=lambda spellings: spellings[0],
)  # fmt: skip
def test_a_unit_after_a_number_has_one_spelling(spellings: list[str]) -> None:
    assert len({normalise(text) for text in spellings}) == 1
    form = normalise(spellings[0])
    assert normalise(form) == form


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("5 m", "5 M"),  # metres, millions
        ("5G", "5 grams"), ("80s", "80 seconds"), ("1980s", "1980 seconds"),
        ("3 in a row", "3 inches a row"), ("3 in 1", "3 inch 1"), ("2 in the back", "2 inches the back"),
        ("£5", "5 lb"), ("£5", "$5"), ("20%", "20"), ("20%", "20°"), ("20°", "20°C"), ("20°C", "20°F"),
        ("5 min", "5 mi"), ("5 m", "5 mm"), ("$5k", "$5"), ("5 cm", "5 cmx"), ("5 km/s", "5 km/h"),
        ("v5 cm", "5 cm"), ("meter", "m"), ("5", "five cm"),
    ],
)  # fmt: skip
def test_false_friends_stay_apart(one: str, other: str) -> None:
    assert not same_answer(one, other)


@pytest.mark.parametrize(
    "text", ["3 in a row", "5 in the morning", "5 m tall", "the 80s", "5g network", "size 5 l shirt"]
)
def test_short_units_are_read_at_the_end_alone(text: str) -> None:
    words = normalise(text).split()
    assert not {"inch", "meter", "second", "gram", "liter"} & set(words)


@pytest.mark.parametrize(
    ("text", "plain"), [("$4.50", "$4.50"), (r"\$4.50", "$4.50"), ("$x + 1$", "x + 1"), ("$5$", "5")]
)
def test_a_price_keeps_its_sign_and_latex_loses_its_marks(text: str, plain: str) -> None:
    assert strip_markup(text) == plain == strip_markup(plain)


def test_what_the_mini_checkpoint_says_is_left_as_it_is() -> None:
    for value in {value for values in ANSWERS.values() for value in values} | set(COLORS) | set(SHAPES) | set(CHECKS):
        assert normalise(value) == value
    for digit in "0123456789":
        for word in set(WORDS.split()) - {"the", "A"}:  # a digit and a word of it are no amount of anything
            assert normalise(f"{digit} {word}") == f"{digit} {word.lower()}"
    for question in QUESTIONS.values():
        text = question.format("red square")
        assert normalise(text) == " ".join(word for word in text[:-1].split() if word != "the")
