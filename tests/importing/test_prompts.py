"""One reader of published prompts: question, options and gold are read with certainty, or the row says why not."""

import random
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from r2i.benchmark.build import query_of
from r2i.core.choices import LETTERS, mcq_prompt
from r2i.importing.questions import find_label, read_choices, read_letter_columns, read_problem, split_options

LAMPS = ["Lamp one", "Lamp two", "Both", "Neither"]
NAMES = ["B. Baker", "C. Clark", "D. Dunn", "A. Adams"]


@pytest.mark.parametrize(
    ("prompt", "question", "options"),
    [
        ("Which of the lamps marked (A) and (B) is lit?\nOptions: A: Lamp one, B: Lamp two, C: Both, D: Neither",
         "Which of the lamps marked (A) and (B) is lit?", LAMPS),
        ("Which of the lamps marked A. and B. is lit?\nA. Lamp one\nB. Lamp two\nC. Both\nD. Neither",
         "Which of the lamps marked A. and B. is lit?", LAMPS),
        ("Which of (A) and (B) is lit? (A) Lamp one (B) Lamp two (C) Both (D) Neither",
         "Which of (A) and (B) is lit?", LAMPS),
        ("What is in the bottle?\nOptions: A: Vitamin A: retinol, B: Vitamin C, C: Zinc, D: Iron",
         "What is in the bottle?", ["Vitamin A: retinol", "Vitamin C", "Zinc", "Iron"]),
        ("What is in it?\nOptions: A: Vitamin B: a mix, B: Vitamin C, C: Zinc",
         "What is in it?", ["Vitamin B: a mix", "Vitamin C", "Zinc"]),
        ("What does the clock say?\nOptions: A: 5 A.M., B: 5 P.M., C: noon, D: 6 A.M.",
         "What does the clock say?", ["5 A.M.", "5 P.M.", "noon", "6 A.M."]),
        ("Whose name is on the shop?\nA. B. Baker\nB. C. Clark\nC. D. Dunn\nD. A. Adams",
        "Whose name is on the shop?", NAMES),
        ("Which letter is it?\nA. C\nB. A\nC. B\nD. D", "Which letter is it?", ["C", "A", "B", "D"]),
        ("The board reads:\nA. milk\nB. eggs\nWhich is first?\nA. milk\nB. eggs\nC. both",
         "The board reads:\nA. milk\nB. eggs\nWhich is first?", ["milk", "eggs", "both"]),
        ("What colour?\na) red\nb) blue\nAnswer with the letter.", "What colour?", ["red", "blue"]),
        ("Which?\n[A] red\n[B] blue", "Which?", ["red", "blue"]),
        ("图中是什么颜色？\nA、红色\nB、蓝色\n请直接回答", "图中是什么颜色？", ["红色", "蓝色"]),
        ("Какого цвета дверь?\nA. красная\nB. синяя", "Какого цвета дверь?", ["красная", "синяя"]),
        ("Which?\nA. red\nB. a colour\n  of the sea\nAnswer by letter.", "Which?", ["red", "a colour of the sea"]),
    ],
)  # fmt: skip
def test_question_and_options_are_whole(prompt: str, question: str, options: list[str]) -> None:
    assert split_options(prompt) == (question, options)
    for place, option in enumerate(options):
        problem = read_problem(prompt, LETTERS[place])
        assert (problem.label, problem.answer, problem.reason) == (LETTERS[place], option, "")


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("The board reads:\nA. milk\nB. eggs\nWhat is printed below the eggs?", "bread"),
        ("Which letter is on the sign?", "B"),
        ("How many options are there?", "4"),
        ("Who painted it, J. Smith or A. Jones?", "A. Jones"),
        ("What is written above (A)?", "exit"),
    ],
)
def test_a_question_that_quotes_a_list_or_letters_stays_open_and_whole(prompt: str, answer: str) -> None:
    problem = read_problem(prompt, answer)
    assert (problem.question, problem.options, problem.label, problem.reason) == (prompt, [], answer, "")


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Which of the lamps marked (A) and (B) is lit?", "A"),  # the letter on the lamp, or an option that is not here
        ("The board reads:\nA. milk\nB. eggs\nWhat is printed first?", "B"),
        ("Which?\nA. red\nB. blue\nD. white", "B"),  # a list with a gap
        ("Which?\nA. red\nB) blue", "B"),  # of two styles
        ("Which? A: red, B: blue C: green", "B"),
        ("What?\nA red\nB blue", "B"),
        ("What is it? A red car. B. Blue car.", "B"),
        ("Which of these is shown: A. a cat, B. a dog?", "A"),
        ("What does he order?\nMenu:\nA. soup\nB. fish\nHe points at the second line.", "B"),
        ("How many?\n1. two\n2. three", "2"),  # the number of an option, or the number
    ],
)
def test_where_the_options_are_not_certain_the_row_fails_with_that_reason(prompt: str, answer: str) -> None:
    assert read_problem(prompt, answer).reason == "ambiguous_options"


@pytest.mark.parametrize(
    ("answer", "label"),
    [("B", "B"), ("B. blue", "B"), ("blue", "B"), ("A. blue", ""), ("A blue", ""), ("(A) blue", ""), ("E", ""),
     ("not blue", ""),
     ("blue or red", ""), ("<think>A</think>B", "B"), ("<|begin_of_box|>B<|end_of_box|>", "B"),
     ("B<|im_end|>", "B"), ("A, B", ""),
     ("The blue", "B"), ("", "")],
)  # fmt: skip
def test_a_gold_answer_names_one_option_or_none(answer: str, label: str) -> None:
    assert find_label(["red", "blue", "green"], answer, letter_first=True) == label


def test_initials_are_no_letters_of_options() -> None:
    assert read_choices(NAMES) == dict(zip("ABCD", NAMES, strict=True))
    assert read_letter_columns(dict(zip("ABCD", NAMES, strict=True))) == dict(zip("ABCD", NAMES, strict=True))
    assert read_letter_columns({"A": "A. red", "B": "B. blue"}) == {"A": "red", "B": "blue"}
    assert read_letter_columns({"A": None, "B": "B. Baker", "C": "x"}) == {"B": "B. Baker", "C": "x"}
    assert find_label(NAMES, "B. Baker", letter_first=True) == "A"
    assert find_label(NAMES, "A", letter_first=True) == "A"


def test_an_open_gold_answer_is_kept_as_it_was_published() -> None:
    for answer in ("10²", "5″", "2½", "STOP", "#5", "Gate A", "→", "007"):
        assert read_problem("What does it say?", answer).answer == answer


WORDS = st.text(alphabet="abcdefgh ABC.,:()'-é红٥½²", min_size=1, max_size=20)
OPTIONS = st.lists(WORDS.map(str.strip).filter(bool), min_size=2, max_size=6, unique=True)


def _is_plain(option: str) -> bool:
    """Whether an option may stand in a list as it is: no white space or punctuation at its end, which are not kept."""
    return " ".join(option.split()) == option and option.rstrip(",;，； ") == option


@settings(deadline=None)
@given(
    OPTIONS,
    st.sampled_from(
        ["What is it?", "Which of (A) and (B) is lit?", "A. Smith wrote this. Who?", "Vitamin A: what is it?"]
    ),
)
def test_a_prompt_that_is_written_is_read_back(options: list[str], question: str) -> None:
    assume(all(map(_is_plain, options)))
    item = {"question": question, "options": options}
    assert split_options(query_of(item)) == (question, options)
    assert split_options(mcq_prompt(question, options, "paper")) == (question, options)


@settings(deadline=None)
@given(OPTIONS, st.integers(0, 5), st.randoms())
def test_the_order_of_options_changes_no_gold(options: list[str], place: int, chance: random.Random) -> None:
    assume(all(map(_is_plain, options)))
    gold = options[place % len(options)]
    order = sorted(options, key=lambda _: chance.random())
    problem = read_problem(query_of({"question": "What is it?", "options": order}), LETTERS[order.index(gold)])
    assert problem.answer == gold or problem.reason == "equal_options"
    assert find_label(order, gold) in ("", LETTERS[order.index(gold)])


@settings(deadline=None)
@given(st.text(max_size=80), st.text(max_size=20))
def test_no_text_makes_the_reader_raise_or_lose_a_question(text: str, answer: str) -> None:
    problem = read_problem(text, answer)
    assert problem.reason or problem.question
    assert not problem.options or problem.reason or problem.answer in problem.options


@pytest.mark.parametrize(
    "text", ["A. " * 20_000, "(A) (B) " * 20_000, "A: B: " * 10_000, "Options: " * 10_000, "A. x\nB. y\n" * 5000]
)
def test_a_prompt_of_nothing_but_marks_is_read_or_refused_in_little_time(text: str) -> None:
    start = time.monotonic()
    read_problem(f"What?\n{text}", "B")
    read_problem(text, "no letter")
    assert time.monotonic() - start < 5  # some 0.1 s; to look back from every mark to the beginning takes minutes
