"""The strict grader: that of rewards, the difficulty filter and imported answers."""

import pytest

from r2i.core.text import strip_markup
from r2i.grading import Verdict
from r2i.grading.strict import LONGEST, grade_strictly

COLORS = ["red", "dark blue", "green", "pink"]
COUNTS = ["3", "5", "7", "9"]


@pytest.mark.parametrize(
    "said", ["B", "b", " B ", "B.", "(B)", "B)", "**B**", r"\boxed{B}", "B. dark blue", "B: Dark Blue", "Option B"]
)
def test_a_letter_in_any_dress_is_that_letter(said: str) -> None:
    assert grade_strictly(f"I see it. <answer>{said}</answer>", "B", COLORS) == Verdict("letter", True, "B")


def test_a_letter_is_right_for_its_own_label_alone() -> None:
    # defect 10 of the reference: a model was asked. Every letter against every label: right exactly on the diagonal
    for said in "ABCD":
        for label in "ABCD":
            assert grade_strictly(f"<answer>{said}</answer>", label, COLORS).correct == (said == label)


def test_an_options_text_stands_for_its_letter() -> None:
    assert grade_strictly("<answer>the Dark blue.</answer>", "B", COLORS) == Verdict("option_text", True, "B")


def test_a_number_word_stands_for_its_option() -> None:
    assert grade_strictly("<answer>five</answer>", "B", COUNTS) == Verdict("option_text", True, "B")


def test_a_number_with_its_unit_stands_for_its_option() -> None:
    assert grade_strictly("<answer>5 people</answer>", "B", COUNTS) == Verdict("number", True, "B")
    assert grade_strictly("<answer>5.00</answer>", "B", COUNTS).correct


@pytest.mark.parametrize("said", ["A or B", "A, B", "AB", "B. crimson", "blue", "not B", "E", "3 or 5", "none"])
def test_no_rule_reads_two_options_or_none(said: str) -> None:
    assert grade_strictly(f"<answer>{said}</answer>", "B", COLORS) == Verdict("none", None, strip_markup(said))


@pytest.mark.parametrize("reply", ["B", "<answer>B", "B</answer>", "<answer></answer>", "<answer> </answer>", ""])
def test_an_unclosed_or_empty_span_has_no_format_and_is_never_searched(reply: str) -> None:
    assert grade_strictly(reply, "B", COLORS) == Verdict("format", False, "")


@pytest.mark.parametrize("said", ["A. 5", "B. 3", "(A) 5", "B: 7", "A - 5"])
def test_a_letter_with_another_options_text_names_two_options(said: str) -> None:
    verdict = grade_strictly(f"<answer>{said}</answer>", "B", COUNTS)
    assert (verdict.rule, verdict.correct, len(verdict.predicted)) == ("letter", False, 3)


@pytest.mark.parametrize(
    "said", ["B - 5", "B: 5", "B) 5", "(B) five", "B, 5", "B (5)", "<|begin_of_box|>B<|end_of_box|>"]
)
def test_a_letter_with_its_own_text_is_that_letter(said: str) -> None:
    assert grade_strictly(f"<answer>{said}</answer>", "B", COUNTS) == Verdict("letter", True, "B")


def test_the_last_span_counts() -> None:
    assert not grade_strictly("<answer>B</answer> no: <answer>C</answer>", "B", COLORS).correct
    assert grade_strictly("<answer>B</answer> no: <answer>C", "B", COLORS).rule == "format"


def test_a_long_span_has_no_format() -> None:
    # "B" and 299 blanks more are stripped to one character; 301 letters stay 301
    assert grade_strictly(f"<answer>B{' ' * LONGEST}</answer>", "B", COLORS).correct
    assert grade_strictly(f"<answer>{'B' * (LONGEST + 1)}</answer>", "B", COLORS).rule == "format"


def test_no_rule_reads_a_number_that_fits_two_options() -> None:
    assert grade_strictly("<answer>5</answer>", "A", ["5 m", "5 km", "6 m"]).rule == "none"


def test_letters_beyond_the_options_are_no_letters() -> None:
    assert grade_strictly("<answer>C</answer>", "A", ["yes", "no"]).rule == "none"


def test_an_option_that_is_an_article_is_not_lost() -> None:
    # "A" the letter comes first; the text "a dog" is not letter A with the text "dog"
    assert grade_strictly("<answer>a dog</answer>", "C", ["cat", "cow", "a dog"]) == Verdict("option_text", True, "C")


def test_open_questions_compare_texts_then_numbers() -> None:
    assert grade_strictly("<answer>Dark Blue</answer>", "dark blue", []) == Verdict("exact", True, "Dark Blue")
    assert grade_strictly("<answer>5 people</answer>", "5", []) == Verdict("number", True, "5 people")
    assert grade_strictly("<answer>5 people</answer>", "6", []) == Verdict("number", False, "5 people")
    assert grade_strictly("<answer>5 people</answer>", "6 cars", []) == Verdict("none", None, "5 people")
    assert not grade_strictly("<answer>5 dogs</answer>", "5 cats", []).correct
    assert not grade_strictly("<answer>5 or 6</answer>", "5", []).correct
    assert not grade_strictly("<answer>-5</answer>", "5", []).correct


def test_an_open_answer_may_be_an_article() -> None:
    # OCR: the sign reads "A"; dropping the article would leave nothing to compare
    assert grade_strictly("<answer>a</answer>", "A", []).correct
    assert not grade_strictly("<answer>the</answer>", "A", []).correct
