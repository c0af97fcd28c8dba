"""Replies that are easily misread, each with a person's verdict, for the vote, the reward and the evaluation alike.

A case: options (empty: an open question), the gold answer (a letter, or a text), what is said, the person's verdict:
right, wrong, or open (a person would have to see the question or the picture; the judge does). No reader may contradict
the person; leaving a case open is always allowed, and how often that happens is bounded by a test.
"""

from typing import NamedTuple

OPEN: list[str] = []
COUNTS = ["3", "4", "5", "7"]
SOME = ["0", "1", "2"]
COLORS = ["red", "blue", "green", "white"]
ARROWS = ["←", "→", "↑", "↓"]
SIGNS = ["+", "-", "×", "÷"]
PLATFORMS = ["Platform", "Platform A", "Platform B"]
NAMES = ["B. Baker", "C. Clark", "D. Dunn", "A. Adams"]
ON_PLATE = ["C", "A", "D", "B"]
FAR_LETTERS = ["F", "G", "H"]
SHAPES = ["a circle", "no shape", "a square"]
SIGNED = ["5", "-5"]
FRACTIONS = ["3", "0.75"]
CHINESE = ["红色", "蓝色", "绿色"]
RUSSIAN = ["красный", "синий", "зелёный"]
ARABIC = ["أحمر", "أزرق", "أخضر"]
HINDI = ["लाल", "नीला", "हरा"]
YES_NO = ["Yes", "No"]

RIGHT, WRONG, UNSURE = True, False, None


class HardCase(NamedTuple):
    options: list[str]
    gold: str
    said: str
    person: bool | None

    @property
    def answer(self) -> str:
        """The right one's text."""
        return self.options["ABCDEFGHIJ".index(self.gold)] if self.options else self.gold

    @property
    def label(self) -> str:
        return self.gold if self.options else ""


NUMBERS_IN_WORDS = [
    (OPEN, "105", "one hundred and five", RIGHT),
    (OPEN, "105", "a hundred and five", RIGHT),
    (OPEN, "105", "one hundred", WRONG),
    (OPEN, "120", "There are one hundred and twenty seats.", RIGHT),
    (OPEN, "1200", "twelve hundred", RIGHT),
    (OPEN, "2020", "two thousand and twenty", RIGHT),
    (OPEN, "6", "half a dozen", RIGHT),
    (OPEN, "12", "half a dozen", WRONG),
    (OPEN, "18", "a dozen and a half", RIGHT),
    (OPEN, "12", "a dozen and a half", WRONG),
    (OPEN, "24", "two dozen", RIGHT),
    (OPEN, "2.5", "two and a half", RIGHT),
    (OPEN, "2", "two and a half", WRONG),
    (OPEN, "0.75", "three quarters", RIGHT),
    (OPEN, "3", "three quarters", WRONG),
    (OPEN, "1", "one third", WRONG),
    (OPEN, "1/3", "one third", RIGHT),
    (OPEN, "2", "2 2/3", WRONG),
    (OPEN, "2.5", "2½", RIGHT),
    (OPEN, "21/2", "2½", WRONG),
    (OPEN, "21", "twenty-one", RIGHT),
    (OPEN, "999", "nine hundred ninety-nine", RIGHT),
    (OPEN, "10", "10 million", WRONG),
    (OPEN, "10000000", "10 million", RIGHT),
    (OPEN, "2500000", "two and a half million", RIGHT),
    (OPEN, "500000", "half a million", RIGHT),
    (OPEN, "2.5", "two point five", RIGHT),
    (OPEN, "0.5", ".5", RIGHT),
    (OPEN, "80", "four score", UNSURE),
    (OPEN, "0.001", "10⁻³", RIGHT),
    (OPEN, "5", "dozens", UNSURE),
    (OPEN, "2", "a pair", UNSURE),
    (OPEN, "5", "5 pairs", UNSURE),
    (COUNTS, "C", "five", RIGHT),
    (COUNTS, "C", "two plus three", UNSURE),
    (["6", "12", "18", "24"], "A", "half a dozen", RIGHT),
    (["6", "12", "18", "24"], "B", "half a dozen", WRONG),
    (["2", "2.5", "3"], "B", "two and a half", RIGHT),
    (["2", "2.5", "3"], "A", "two and a half", WRONG),
    (FRACTIONS, "B", "three quarters", RIGHT),
    (FRACTIONS, "A", "three quarters", WRONG),
]

SIGNS_AND_BOUNDS = [
    (OPEN, "5", "minus five", WRONG),
    (OPEN, "-5", "minus 5 degrees", RIGHT),
    (OPEN, "5", "negative 5", WRONG),
    (OPEN, "5", "-5", WRONG),
    (OPEN, "-5", "−5", RIGHT),
    (OPEN, "5", "not 5", UNSURE),
    (OPEN, "5", "It is not 5.", UNSURE),
    (OPEN, "5", "at least 5", UNSURE),
    (OPEN, "5", "at most five", UNSURE),
    (OPEN, "5", "5 or more", UNSURE),
    (OPEN, "5", "five or fewer", UNSURE),
    (OPEN, "5", "more than 5", UNSURE),
    (OPEN, "5", "less than 5 birds", UNSURE),
    (OPEN, "5", "over 5", UNSURE),
    (OPEN, "5", "nearly 5", UNSURE),
    (OPEN, "5", "up to 5", UNSURE),
    (OPEN, "5", "5+", UNSURE),
    (OPEN, "5", "> 5", UNSURE),
    (OPEN, "5", ">5", UNSURE),
    (OPEN, "5", "≥ 5", UNSURE),
    (OPEN, "5", "no more than 5", UNSURE),
    (OPEN, "5", "5 or 6", WRONG),
    (OPEN, "5", "between 4 and 6", WRONG),
    (OPEN, "5", "5-6", WRONG),
    (OPEN, "5", "exactly 5", RIGHT),
    (OPEN, "5", "5 (five)", RIGHT),
    (OPEN, "5", "anything but 5", UNSURE),
    (OPEN, "red", "not red", UNSURE),
    (OPEN, "red", "anything but red", UNSURE),
    (OPEN, "red", "It is hardly red.", UNSURE),
    (COUNTS, "C", "not 5", UNSURE),
    (COUNTS, "C", "at least 5", UNSURE),
    (COUNTS, "C", "more than 5", UNSURE),
    (COUNTS, "C", "less than 5 birds", UNSURE),
    (COUNTS, "C", "5 or more", UNSURE),
    (COUNTS, "C", "5 birds", RIGHT),
    (COUNTS, "B", "5 birds", WRONG),
    (SIGNED, "B", "minus five", RIGHT),
    (SIGNED, "A", "minus five", WRONG),
    (COLORS, "B", "anything but blue", UNSURE),
    (COLORS, "B", "The coat fails to be blue.", UNSURE),
]

CODES_AND_NAMES = [
    (OPEN, "7", "007", UNSURE),
    (OPEN, "007", "7", UNSURE),
    (OPEN, "007", "007", RIGHT),
    (OPEN, "0472", "472", UNSURE),
    (OPEN, "Main Street 12", "12", UNSURE),
    (OPEN, "12", "Main Street 12", UNSURE),
    (OPEN, "12", "12 Main Street", UNSURE),
    (OPEN, "12", "12 Angry Men", UNSURE),
    (OPEN, "12", "12 men", RIGHT),
    (OPEN, "A 12", "12", UNSURE),
    (OPEN, "12", "A 12", UNSURE),
    (OPEN, "Gate 5", "5", UNSURE),
    (OPEN, "5", "Gate 5", UNSURE),
    (OPEN, "KX 41", "KX 14", UNSURE),
    (OPEN, "Gate A", "Gate", UNSURE),
    (OPEN, "Gate", "Gate A", UNSURE),
    (OPEN, "Gate A", "gate a", RIGHT),
    (OPEN, "Platform A", "the platform", UNSURE),
    (OPEN, "Exit A", "Exit", UNSURE),
    (OPEN, "A B", "B", UNSURE),
    (OPEN, "Hepatitis A", "Hepatitis", UNSURE),
    (OPEN, "Vitamin A tablets", "Vitamin tablets", UNSURE),
    (OPEN, "the platform", "a platform", RIGHT),
    (OPEN, "a man in a hat", "the man in the hat", RIGHT),
    (OPEN, "C", "C#", UNSURE),
    (OPEN, "C", "C++", UNSURE),
    (OPEN, "AT&T", "ATT", UNSURE),
    (OPEN, "salt & pepper", "salt and pepper", RIGHT),
    (OPEN, "10:30", "10 30", UNSURE),
    (OPEN, "10:30", "10:30", RIGHT),
    (OPEN, "10", "10 pm", UNSURE),
    (OPEN, "5", "5 p.m.", UNSURE),
    (OPEN, "5", "5 May", UNSURE),
    (OPEN, "2020", "1/2/2020", UNSURE),
    (OPEN, "5", "5th", UNSURE),
    (OPEN, "1.200", "1200", UNSURE),
    (OPEN, "5000", "5e3", UNSURE),
    (OPEN, "1,5", "1.5", UNSURE),
    (OPEN, "305", "Room 305", RIGHT),
    (OPEN, "5", "No. 5", RIGHT),
    (OPEN, "5", "#5", RIGHT),
    (PLATFORMS, "B", "Platform A", RIGHT),
    (PLATFORMS, "A", "Platform A", WRONG),
    (PLATFORMS, "A", "Platform", RIGHT),
    (PLATFORMS, "B", "the platform", WRONG),
    (NAMES, "A", "B. Baker", RIGHT),
    (NAMES, "B", "B. Baker", WRONG),
    (NAMES, "D", "A. Adams", RIGHT),
    (NAMES, "A", "A", RIGHT),
    (ON_PLATE, "B", "B", RIGHT),
    (ON_PLATE, "D", "B", WRONG),
    (ON_PLATE, "D", "The letter B", UNSURE),
    (FAR_LETTERS, "B", "G", RIGHT),
    (FAR_LETTERS, "A", "G", WRONG),
]

NOTHING = [
    (OPEN, "0", "zero", RIGHT),
    (OPEN, "0", "None", RIGHT),
    (OPEN, "0", "There are none.", RIGHT),
    (OPEN, "0", "没有", RIGHT),
    (OPEN, "3", "None", WRONG),
    (SOME, "A", "zero", RIGHT),
    (SOME, "A", "None", RIGHT),
    (SOME, "A", "There are none.", RIGHT),
    (SOME, "B", "None", WRONG),
    (SOME, "A", "No one", UNSURE),
    (OPEN, "1", "no one", UNSURE),
    (OPEN, "1", "only one", RIGHT),
    (SHAPES, "B", "None", UNSURE),
    (SHAPES, "B", "no shape", RIGHT),
    (SHAPES, "A", "no shape", WRONG),
    (COLORS, "B", "None of these", WRONG),
]

SIGNS_AND_POWERS = [
    (OPEN, "102", "10²", WRONG),
    (OPEN, "100", "10²", RIGHT),
    (OPEN, "10²", "10^2", RIGHT),
    (OPEN, "m2", "m²", UNSURE),
    (OPEN, "H2O", "H₂O", RIGHT),
    (OPEN, '5"', "5'", UNSURE),
    (OPEN, "5", "5'", UNSURE),
    (OPEN, "5'", "5′", RIGHT),
    (OPEN, '5"', "5''", RIGHT),
    (OPEN, "5 MW", "5 mW", UNSURE),
    (OPEN, "5 mW", "5 mW", RIGHT),
    (OPEN, "5 cm", "50 mm", UNSURE),
    (OPEN, "5 m", "5 km", UNSURE),
    (OPEN, "Dark blue", "dark-blue", RIGHT),
    (OPEN, "½", "0.5", RIGHT),
    (OPEN, "½", "12", WRONG),
    (OPEN, "→", "→", RIGHT),
    (OPEN, "→", "←", UNSURE),
    (OPEN, "+", "+", RIGHT),
    (OPEN, "+", "-", UNSURE),
    (OPEN, "♂", "♂", RIGHT),
    (OPEN, "→", "The arrow is →.", RIGHT),
    (OPEN, "→", "", UNSURE),
    (OPEN, "→", "...", UNSURE),
    (ARROWS, "B", "→", RIGHT),
    (ARROWS, "A", "→", WRONG),
    (SIGNS, "A", "+", RIGHT),
    (SIGNS, "B", "-", RIGHT),
    (SIGNS, "C", "×", RIGHT),
    (SIGNS, "A", "÷", WRONG),
]

LETTERS_AND_TEXTS = [
    (COLORS, "B", "A. blue", WRONG),
    (COLORS, "A", "A. blue", WRONG),
    (COLORS, "B", "A blue", UNSURE),
    (COLORS, "B", "B. blue", RIGHT),
    (COLORS, "B", "B - blue", RIGHT),
    (COLORS, "B", "B: blue", RIGHT),
    (COLORS, "B", "(B) blue", RIGHT),
    (COLORS, "B", "B (blue)", RIGHT),
    (COLORS, "B", "option B", RIGHT),
    (COLORS, "B", "a blue", RIGHT),
    (COLORS, "B", "C", WRONG),
    (COLORS, "B", "B. crimson", RIGHT),  # a letter was asked for, and crimson is none of the options
    (COUNTS, "C", "A. 5", WRONG),
    (COUNTS, "C", "C. 5", RIGHT),
    (COUNTS, "A", "A. 5", WRONG),
    (YES_NO, "A", "yes", RIGHT),
    (YES_NO, "A", "No", WRONG),
]

IN_CHINESE = [
    (OPEN, "5", "五个", RIGHT),
    (OPEN, "5", "五六个", UNSURE),
    (OPEN, "15", "十五六个", UNSURE),
    (OPEN, "2.5", "两个半", RIGHT),
    (OPEN, "6", "半打", RIGHT),
    (OPEN, "20%", "百分之二十", RIGHT),
    (OPEN, "-5", "负五", RIGHT),
    (OPEN, "5", "负五", WRONG),
    (OPEN, "5", "至少5个", UNSURE),
    (OPEN, "5", "5个以上", UNSURE),
    (OPEN, "5", "不到五个", UNSURE),
    (OPEN, "5", "不是5", UNSURE),
    (OPEN, "5", "五个左右", UNSURE),
    (OPEN, "5", "大于5", UNSURE),
    (OPEN, "5", "图中有五个人。", RIGHT),
    (OPEN, "5", "六个", WRONG),
    (OPEN, "12000", "一万二千", RIGHT),
    (OPEN, "12000", "一万二", RIGHT),
    (OPEN, "120", "一百二", RIGHT),
    (OPEN, "102", "一百二", WRONG),
    (OPEN, "102", "一百零二", RIGHT),
    (OPEN, "35000", "3.5万", RIGHT),
    (OPEN, "3.5", "3.5万", WRONG),
    (OPEN, "5", "5千克", RIGHT),
    (OPEN, "5", "五点半", WRONG),
    (OPEN, "2", "两半", UNSURE),
    (OPEN, "24", "两打", RIGHT),
    (OPEN, "5000000", "五百万", RIGHT),
    (OPEN, "5", "五百万", WRONG),
    (OPEN, "2024", "二〇二四", RIGHT),
    (OPEN, "105", "一百零五", RIGHT),
    (OPEN, "12", "中山路12号", UNSURE),
    (OPEN, "红色", "红色。", RIGHT),
    (OPEN, "红色", "不是红色", UNSURE),
    (OPEN, "红色", "深红色", UNSURE),
    (OPEN, "A出口", "出口", UNSURE),
    (OPEN, "出口", "“出口”", RIGHT),
    (CHINESE, "B", "蓝色", RIGHT),
    (CHINESE, "B", "不是蓝色", UNSURE),
    (CHINESE, "B", "A. 蓝色", WRONG),
    (CHINESE, "B", "答案是B", RIGHT),
    (CHINESE, "A", "答案是B", WRONG),
]

IN_OTHER_SCRIPTS = [
    (OPEN, "5", "٥", RIGHT),
    (OPEN, "5", "٦", WRONG),
    (OPEN, "5", "५", RIGHT),
    (OPEN, "5", "５", RIGHT),
    (OPEN, "5", "пять", UNSURE),
    (OPEN, "5", "не 5", UNSURE),
    (OPEN, "5", "более 5", UNSURE),
    (OPEN, "5", "5 человек", RIGHT),
    (OPEN, "5", "5 или больше", UNSURE),
    (OPEN, "5", "٥ أو أكثر", UNSURE),
    (OPEN, "5", "५ से अधिक", UNSURE),
    (OPEN, "5", "5 o más", UNSURE),
    (OPEN, "5", "5 oder mehr", UNSURE),
    (OPEN, "5", "mindestens 5", UNSURE),
    (OPEN, "СТОП", "стоп", RIGHT),
    (OPEN, "СТОП", "«СТОП»", RIGHT),
    (OPEN, "СТОП", "На знаке не «СТОП».", UNSURE),
    (OPEN, "выход А", "выход", UNSURE),
    (OPEN, "красный", "не красный", UNSURE),
    (OPEN, "красный", "Красный.", RIGHT),
    (OPEN, "قف", "قف", RIGHT),
    (OPEN, "أحمر", "ليس أحمر", UNSURE),
    (OPEN, "5", "ليس ٥", UNSURE),
    (OPEN, "लाल", "लाल", RIGHT),
    (OPEN, "लाल", "लाल नहीं", UNSURE),
    (OPEN, "赤", "赤ではない", UNSURE),
    (OPEN, "rot", "nicht rot", UNSURE),
    (OPEN, "rojo", "no es rojo", UNSURE),
    (OPEN, "rouge", "Ce n'est pas rouge", UNSURE),
    (RUSSIAN, "B", "синий", RIGHT),
    (RUSSIAN, "A", "синий", WRONG),
    (RUSSIAN, "B", "Машина не синий", UNSURE),
    (RUSSIAN, "B", "B. синий", RIGHT),
    (RUSSIAN, "B", "A. синий", WRONG),
    (ARABIC, "B", "أزرق", RIGHT),
    (ARABIC, "A", "أزرق", WRONG),
    (ARABIC, "B", "ليس أزرق", UNSURE),
    (ARABIC, "B", "B", RIGHT),
    (HINDI, "A", "लाल", RIGHT),
    (HINDI, "A", "लाल नहीं है", UNSURE),
]

GROUPS = (
    NUMBERS_IN_WORDS, SIGNS_AND_BOUNDS, CODES_AND_NAMES, NOTHING, SIGNS_AND_POWERS, LETTERS_AND_TEXTS, IN_CHINESE,
    IN_OTHER_SCRIPTS,
)  # fmt: skip
HARD_CASES = [HardCase(*row) for group in GROUPS for row in group]
