"""The grader that difficulty, reward and evaluation share."""

import pytest

from r2i.grading.strict import LONGEST, Grade, grade

COLORS = ["red", "dark blue", "green", "pink"]
COUNTS = ["3", "5", "7", "9"]


@pytest.mark.parametrize(
    "said", ["B", "b", " B ", "B.", "(B)", "B)", "**B**", r"\boxed{B}", "B. dark blue", "B: Dark Blue", "Option B"]
)
def test_a_letter_in_any_dress_is_that_letter(said: str) -> None:
    assert grade(f"I see it. <answer>{said}</answer>", "B", COLORS) == Grade(True, True, "B", "letter")


# defect 10 of the reference
def test_letters_are_compared_not_judged() -> None:
    # every letter against every label: right exactly on the diagonal
    for said in "ABCD":
        for label in "ABCD":
            assert grade(f"<answer>{said}</answer>", label, COLORS).correct == (said == label)


def test_an_options_text_stands_for_its_letter() -> None:
    assert grade("<answer>the Dark blue.</answer>", "B", COLORS) == Grade(True, True, "B", "option_text")


def test_a_number_word_stands_for_its_option() -> None:
    assert grade("<answer>five</answer>", "B", COUNTS) == Grade(True, True, "B", "option_text")


def test_a_number_with_its_unit_stands_for_its_option() -> None:
    assert grade("<answer>5 people</answer>", "B", COUNTS) == Grade(True, True, "B", "number")
    assert grade("<answer>5.00</answer>", "B", COUNTS).correct


@pytest.mark.parametrize("said", ["A or B", "A, B", "AB", "B. red", "blue", "not B", "E", "3 or 5", "none"])
def test_two_options_or_none_are_wrong(said: str) -> None:
    found = grade(f"<answer>{said}</answer>", "B", COLORS)
    assert found.format and not found.correct and found.rule == "none"


@pytest.mark.parametrize("reply", ["B", "<answer>B", "B</answer>", "<answer></answer>", "<answer> </answer>", ""])
def test_an_unclosed_or_empty_span_has_no_format_and_is_never_searched(reply: str) -> None:
    assert grade(reply, "B", COLORS) == Grade(False, False, "", "none")


def test_the_last_span_counts() -> None:
    assert not grade("<answer>B</answer> no: <answer>C</answer>", "B", COLORS).correct
    assert not grade("<answer>B</answer> no: <answer>C", "B", COLORS).format


def test_a_long_span_has_no_format() -> None:
    # "B" and 299 blanks more are stripped to one character; 301 letters stay 301
    assert grade(f"<answer>B{' ' * LONGEST}</answer>", "B", COLORS).correct
    assert not grade(f"<answer>{'B' * (LONGEST + 1)}</answer>", "B", COLORS).format


def test_a_number_that_fits_two_options_is_wrong() -> None:
    assert grade("<answer>5</answer>", "A", ["5 m", "5 km", "6 m"]).rule == "none"


def test_letters_beyond_the_options_are_no_letters() -> None:
    assert grade("<answer>C</answer>", "A", ["yes", "no"]).rule == "none"


def test_an_option_that_is_an_article_is_not_lost() -> None:
    # "A" the letter comes first; the text "a dog" is not letter A with the text "dog"
    assert grade("<answer>a dog</answer>", "C", ["cat", "cow", "a dog"]) == Grade(True, True, "C", "option_text")


def test_open_questions_compare_texts_then_numbers() -> None:
    assert grade("<answer>Dark Blue</answer>", "dark blue", []) == Grade(True, True, "Dark Blue", "exact")
    assert grade("<answer>5 people</answer>", "5", []) == Grade(True, True, "5 people", "number")
    assert grade("<answer>5 people</answer>", "6", []) == Grade(True, False, "5 people", "none")
    assert not grade("<answer>5 dogs</answer>", "5 cats", []).correct
    assert not grade("<answer>5 or 6</answer>", "5", []).correct
    assert not grade("<answer>-5</answer>", "5", []).correct


def test_an_open_answer_may_be_an_article() -> None:
    # OCR: the sign reads "A"; dropping the article would leave nothing to compare
    assert grade("<answer>a</answer>", "A", []).correct
    assert not grade("<answer>the</answer>", "A", []).correct
