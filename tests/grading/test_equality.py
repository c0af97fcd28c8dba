"""Equality of answers: plain, or left open; the same for votes, rewards, evaluation and distractors."""

import itertools
from fractions import Fraction

import pytest
from grading.hard_cases import HARD_CASES
from hypothesis import given, settings
from hypothesis import strategies as st

from r2i.core.spelled import spell_digits, write_number
from r2i.core.text import careful_form, same_answer, strip_markup
from r2i.grading.equality import compare_answers, group_equal, is_equal, may_be_equal
from r2i.grading.numbers import read_quantity
from r2i.overlay.reply import choose_distinct
from r2i.vote.count import group_answers

TEXTS = sorted({case.said for case in HARD_CASES} | {case.answer for case in HARD_CASES})
ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
ONES += ["seventeen", "eighteen", "nineteen"]
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def in_words(number: int, link: str = "and", hyphen: str = "-") -> str:
    """As a person spells it."""
    if number < 0:
        return f"minus {in_words(-number, link, hyphen)}"
    if number < 20:
        return ONES[number]
    if number < 100:
        return TENS[number // 10 - 2] + (f"{hyphen}{ONES[number % 10]}" if number % 10 else "")
    for scale, name in ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= scale:
            head, rest = divmod(number, scale)
            words = f"{in_words(head, link, hyphen)} {name}"
            joined = f" {link} ".replace("  ", " ") if rest < 100 else " "
            return words + (f"{joined}{in_words(rest, link, hyphen)}" if rest else "")
    raise AssertionError(number)


@settings(deadline=None)
@given(st.integers(-(10**12) + 1, 10**12 - 1), st.sampled_from(["and", ""]), st.sampled_from(["-", " "]))
def test_a_number_spelled_in_words_is_read_back(number: int, link: str, hyphen: str) -> None:
    assert spell_digits(in_words(number, link, hyphen)) == str(number)


def in_chinese(number: int) -> str:
    """As a person writes it, 0 to 99 999 999."""
    if number >= 10**4:
        head, rest = divmod(number, 10**4)
        return in_chinese(head) + "万" + ("" if not rest else ("零" if rest < 1000 else "") + in_chinese(rest))
    digits, written, gap = "零一二三四五六七八九", "", False
    for power, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = number // power % 10
        if digit:
            written += ("零" if gap else "") + digits[digit] + name
        gap = bool(written) and not digit
    return written or "零"


@settings(deadline=None)
@given(st.integers(0, 10**8 - 1))
def test_a_number_in_chinese_is_read_back(number: int) -> None:
    assert compare_answers(in_chinese(number) + "个", str(number))[1] is True
    assert compare_answers(in_chinese(number), str(number + 1))[1] is not True


@settings(deadline=None)
@given(st.integers(0, 999), st.integers(0, 999))
def test_two_numbers_in_words_stay_two(one: int, other: int) -> None:
    text = f"{in_words(one)} dogs, {in_words(other)} cats"
    assert spell_digits(text) == f"{one} dogs, {other} cats"
    assert read_quantity(text) is None


@settings(deadline=None)
@given(st.fractions(-100, 100, max_denominator=8))
def test_a_fraction_is_written_so_that_it_is_read_back(value: Fraction) -> None:
    found = read_quantity(f"{write_number(value)} inches")
    assert found is not None
    assert found.value == (value if 10**6 % value.denominator == 0 or value.denominator in (3, 6, 7) else None)


@settings(deadline=None)
@given(st.sampled_from(TEXTS))
def test_every_text_equals_itself_in_any_dress(text: str) -> None:
    if text.strip(". "):
        for dressed in (text, f" {text}\n", f"**{text}**", f"\\boxed{{{text}}}", f'"{text}"'):
            assert is_equal(dressed, text) or text[-1:] in "'\"", dressed


@settings(deadline=None)
@given(st.sampled_from(TEXTS), st.sampled_from(TEXTS))
def test_equality_has_no_direction_and_is_never_denied_the_other_way_round(one: str, other: str) -> None:
    assert is_equal(one, other) == is_equal(other, one)
    assert {compare_answers(one, other)[1], compare_answers(other, one)[1]} != {True, False}


@settings(deadline=None)
@given(st.sampled_from(TEXTS), st.sampled_from(TEXTS))
def test_texts_of_one_careful_form_are_the_same_answer(one: str, other: str) -> None:
    if careful_form(one) == careful_form(other) != "":
        assert is_equal(one, other) or "m" in one.lower()  # 5 mW and 5 MW


@settings(deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_makes_equality_raise(one: str, other: str) -> None:
    assert compare_answers(one, other)[1] in (True, False, None)
    assert strip_markup(strip_markup(one)) is not None


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(["5", "five", "5 people", "5 cars", "6", "Gate", "Gate A", "gate", "10²", "102", "½", "0.5"]),
        max_size=8,
    )
)
def test_groups_hold_every_answer_once_whatever_their_order(answers: list[str]) -> None:
    groups = group_equal(answers)
    assert sorted(text for group in groups for text in group.elements()) == sorted(answers)
    for group in groups:
        assert all(is_equal(one, other) for one, other in itertools.combinations(group, 2))
    assert group_answers(answers) == group_answers(answers[::-1])


@pytest.mark.parametrize(
    ("one", "other"),
    [("Gate A", "Gate"), ("10²", "102"), ("5'", '5"'), ("A 12", "12"), ("007", "7"), ("2½", "21/2"),
     ("minus five", "5"),
     ("not 5", "5"), ("at least 5", "5"), ("10 million", "10"), ("C#", "C"), ("→", "←"), ("5 mW", "5 MW"),
     ("m²", "m2"), ("Joe's", "Joe"),
     ("10:30", "10 30"), ("Exit A", "Exit"), ("A. blue", "blue"), ("1.200", "1200"), ("五六个", "56")],
)  # fmt: skip
def test_what_differs_is_not_merged_by_a_vote(one: str, other: str) -> None:
    groups = group_answers([one] * 4 + [other] * 4)
    assert [group.count for group in groups] == [4, 4]
    assert {group.answer for group in groups} == {one, other}  # as it was said


@pytest.mark.parametrize(
    "spellings",
    [["21", "twenty-one", "Twenty one."], ["half a dozen", "6", "six"], ["105", "one hundred and five"],
     ["dark-blue", "Dark blue"],
     ["½", "0.5", "1/2"], ["5 ft", "5 feet"], ["五个", "5"], ["٥", "5"], ["the red car", "Red car", "a red car"]],
)  # fmt: skip
def test_what_is_equal_is_merged_by_a_vote(spellings: list[str]) -> None:
    (group,) = group_answers(spellings)
    assert group.count == len(spellings)
    assert group.answer in spellings


def test_an_answer_that_equals_two_that_differ_joins_neither() -> None:
    groups = group_answers(["5", "5 people", "5 cars", "five"])
    assert sorted((group.answer, group.count) for group in groups) == [("5", 2), ("5 cars", 1), ("5 people", 1)]


@pytest.mark.parametrize(
    ("answer", "proposal"),
    [("21", "twenty-one"), ("105", "one hundred and five"), ("1/2", "0.5"), ("1/2", "50%"), ("100", "a hundred"),
     ("3", "III"),
     ("Dark blue", "dark-blue"), ("5 cm", "50 mm"), ("7", "seven"), ("$5", "5 dollars"), ("6", "half a dozen"),
     ("½", "50 percent"),
     ("Yes", "yes."), ("1 m", "100 centimetres"), ("2 hours", "120 min"), ("0", "None"), ("5", "５"), ("IX", "9")],
)  # fmt: skip
def test_what_equals_the_answer_or_may_do_so_is_no_distractor(answer: str, proposal: str) -> None:
    assert choose_distinct(answer, [proposal]) == []
    assert choose_distinct("something else", [answer, proposal]) in ([answer], [])
    assert may_be_equal(proposal, answer)


@pytest.mark.parametrize(
    ("answer", "proposal"),
    [("21", "22"), ("Gate A", "Gate"), ("Gate A", "Gate B"), ("10²", "102"), ("5'", '5"'), ("A 12", "12"),
     ("→", "←"), ("I", "V"),
     ("5 cm", "5 mm"), ("left", "right"), ("007", "008"), ("+", "-"), ("C", "C#"), ("dark blue", "blue")],
)  # fmt: skip
def test_what_differs_from_the_answer_is_a_distractor_and_kept_as_it_was_written(answer: str, proposal: str) -> None:
    assert choose_distinct(answer, [proposal]) == [proposal]


@pytest.mark.parametrize("text", ["10²", "5″", "½", "２", "#5", "> 5", "C#", "℃", "Ⅲ", "…", "→", "É", "N° 5"])
def test_markup_is_removed_and_nothing_else(text: str) -> None:
    assert strip_markup(text) == strip_markup(f"**{text}**") == strip_markup(f"\\boxed{{{text}}}") == text


@pytest.mark.parametrize(
    ("one", "other"), [("the platform", "Platform"), ("a man in a hat", "man in the hat"), ("An apple", "apple")]
)
def test_articles_are_articles_where_they_can_be_nothing_else(one: str, other: str) -> None:
    assert same_answer(one, other)
    assert not same_answer("Platform A", "Platform")
