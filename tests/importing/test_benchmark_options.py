"""Published prompts -> question and options; published answers -> letters."""

import pytest

from r2i.importing.boxes import NO_BOX, read_boxes
from r2i.importing.questions import find_label, read_choices, relabel, split_options
from r2i.importing.records import read_list, read_text

ABC = ["red", "blue", "green"]


@pytest.mark.parametrize(
    ("prompt", "question", "options"),
    [
        ("<image>\nWhat color?\nA. red\nB. blue\nC. green", "What color?", ABC),
        ("What color?\n(A) red\n(B) blue\n(C) green\nAnswer with the option's letter directly.", "What color?", ABC),
        ("What color?\nOptions: A: red, B: blue, C: green", "What color?", ABC),
        ("What color?\nOptions:\nA) red\nB) blue\nC) green\n", "What color?", ABC),
        ("What color? (A) red (B) blue (C) green", "What color?", ABC),
        ("What color? Select from the following choices.\n(A) red\n(B) blue\n(C) green", "What color?", ABC),
        ("What color? The choices are listed below:\n(A) red\n(B) blue\n(C) green\nThe best", "What color?", ABC),
        ("什么颜色？ 选项如下所示:\n（A）红\n（B）蓝\n根据图像选择", "什么颜色？", ["红", "蓝"]),
        ("Vitamin A. Which one?\nA. 1, 2\nB. 3, 4", "Vitamin A. Which one?", ["1, 2", "3, 4"]),
        ("Which?\nA. a long\n  option\nB. short", "Which?", ["a long option", "short"]),
        ("A. Look at the lid.\nWhich?\nA. red\nB. blue", "A. Look at the lid.\nWhich?", ["red", "blue"]),
        ("How many options are there?", "How many options are there?", []),
        ("Is it A. or B?", "Is it A. or B?", []),
        ("A. red\nB. blue", "A. red\nB. blue", []),  # no question
        ("Which?\nA. red\nB.\nAnswer briefly.", "Which?\nA. red\nB.\nAnswer briefly.", []),
        ("Which?\nA. red\nB. blue\nA. Smith wrote the answers.", "Which?", ["red", "blue"]),
        ("Which of the options\nA. red\nB. blue", "Which of the options", ["red", "blue"]),  # no heading
        ("Which?\n" + "\n".join(f"{x}. {x}{x}" for x in "ABCDEFGHIJKL"), "Which?", [x * 2 for x in "ABCDEFGHIJKL"]),
        ("Which?\nA.\nB. blue", "Which?\nA.\nB. blue", []),  # an empty option is none
        ("Which?\nA. red\nC. blue", "Which?\nA. red\nC. blue", []),  # a gap is no list
    ],
)
def test_options_are_taken_out_of_the_prompt(prompt: str, question: str, options: list[str]) -> None:
    assert split_options(prompt) == (question, options)


def test_letters_of_published_choices_may_have_gaps() -> None:
    by_letter = read_choices(["(A) Left", "(B) Right", "(E) No car"])
    assert by_letter == {"A": "Left", "B": "Right", "E": "No car"}
    assert relabel(by_letter, "(E)") == "C"  # the third that is shown
    assert relabel(by_letter, "C") == ""


def test_choices_without_letters_go_by_their_order_and_empty_ones_are_left_out() -> None:
    assert read_choices(["3", None, "5", float("nan")]) == {"A": "3", "C": "5"}
    assert relabel({"A": "3", "C": "5"}, "C") == "B"


@pytest.mark.parametrize(
    ("answer", "label"), [("(B) blue", "B"), ("B. blue", "B"), ("B. red", ""), ("(E) blue", ""), ("purple", "")]
)
def test_a_letter_with_a_text_must_agree_with_it(answer: str, label: str) -> None:
    assert find_label(ABC, answer) == label


def test_a_bare_letter_names_the_option_of_that_letter_where_options_have_letters() -> None:
    assert find_label(["C", "A", "B", "D"], "B", letter_first=True) == "B"
    assert find_label(["C", "A", "B", "D"], "B") == ""  # else it may as well be the text of option C
    assert find_label(ABC, "A. blue") == find_label(ABC, "A. blue", letter_first=True) == ""


def test_lists_come_as_lists_or_as_text() -> None:
    assert read_list(["a"]) == read_list('["a"]') == read_list("['a']") == ["a"]
    assert read_list("a, b") == read_list(None) == read_list(3) == read_list("{'a': 1}") == []


def test_numbers_are_texts_without_a_fraction_that_the_file_format_added() -> None:
    assert [read_text(value) for value in (3.0, 3.5, float("nan"), None, " x ", 0)] == ["3", "3.5", "", "", "x", "0"]


def test_boxes_of_any_nesting() -> None:
    assert read_boxes([1, 2, 3, 4]) == read_boxes("[1, 2, 3, 4]") == [(1, 2, 3, 4)]
    assert read_boxes([[1, 2, 3, 4], [5, 6, 7, 8]]) == [(1, 2, 3, 4), (5, 6, 7, 8)]
    assert read_boxes(None) == read_boxes([]) == read_boxes("") == read_boxes(float("nan")) == []
    for broken in ([1, 2, 3], "here", [1, 2, 3, None], [1, 2, 3, float("nan")], {"x": 1}):
        assert read_boxes(broken) == [NO_BOX]
