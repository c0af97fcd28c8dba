"""Questions about texts name one place, readers find the option that stands there, wrong answers look alike."""

from r2i.core.boxes import Box
from r2i.core.choices import read_offered
from r2i.ocr.engines import Line, Quad
from r2i.ocr.language import (
    Place,
    find_place,
    find_standing,
    is_named,
    is_part,
    is_question,
    is_repeated,
    read_place,
    write_questions,
)
from r2i.ocr.reading import Reading, is_cut, is_legible, plain_text, stretch, vary
from r2i.ocr.similar import distance, fold, likeness, misread
from r2i.ocr.tasks import choose

SIZE = (900, 600)


def at(text: str, left: int, top: int, score: float = 0.95) -> Reading:
    return Reading(text, Box(left, top, left + 12 * len(text), top + 20), 0.8, score)


EXIT, CAFE, GATE = at("EXIT", 40, 40), at("Cafe", 400, 300), at("GATE 7", 40, 70)


def test_a_text_alone_in_its_field_is_named_by_it():
    place = find_place(CAFE, [EXIT, CAFE, GATE], SIZE)
    assert place == Place("in the middle")
    for question in write_questions("Cafe", place, ["EXIT"], seed=1, count=4):
        assert is_question(question) and read_place(question) == place


def test_one_of_two_is_named_by_its_neighbour_and_never_by_one_that_cannot_be_read():
    assert find_place(GATE, [EXIT, CAFE, GATE], SIZE) == Place("at the upper left", "directly below", "EXIT")
    assert find_place(GATE, [EXIT._replace(score=0.4), CAFE, GATE], SIZE) is None
    assert find_place(GATE, [EXIT, at("EX1T", 400, 500), CAFE, GATE], SIZE) is None  # which of them is meant?


def test_a_place_that_a_slightly_other_outline_would_change_is_none():
    border = at("BUS 7", 270, 40)  # its centre is at the border of two fields
    assert find_place(border, [border, CAFE], SIZE) is None
    beside = Reading("HOTEL", Box(20, 40, 150, 60), 0.8, 0.95)
    assert find_place(beside, [beside, border], SIZE) is None  # the other may stand there too
    below = at("OPEN 9-5", 40, 40 + 20 + 32)  # 1.6 heights below EXIT: near, or not
    assert find_place(below, [EXIT, below, CAFE], SIZE) is None


def test_directly_below_stands_the_closest_one():
    lines = [at(text, 40, 40 + 26 * number) for number, text in enumerate(("DOUBLE", "PARKING", "PROHIBITED"))]
    place = Place("at the upper left", "directly below", "DOUBLE")
    assert find_place(lines[1], lines, SIZE) == place and find_standing(place, lines, SIZE) == [lines[1]]
    assert find_place(lines[2], lines, SIZE) == Place("at the upper left", "directly below", "PARKING")
    doubt = [*lines, at("AT NIGHT", 60, 76)]  # as close to the neighbour, as far as outlines tell
    assert find_place(lines[1], doubt, SIZE) != place


def test_a_place_means_one_text_only():
    place = Place("at the upper left", "directly below", "EXIT")
    assert is_named(GATE, place, [EXIT, GATE], SIZE) and not is_named(EXIT, place, [EXIT, GATE], SIZE)
    assert not is_named(GATE, place, [EXIT, GATE, at("TOILETS", 44, 72)], SIZE)
    assert not is_named(GATE, place, [GATE], SIZE)  # no such neighbour
    assert not is_named(GATE, Place("at the upper left"), [EXIT, GATE], SIZE)


def test_a_choice_holds_the_text_and_one_that_looks_like_it():
    questions = write_questions("EXIT", Place("at the top"), [], seed=3, count=4)
    (choice,) = [pair for question in questions if (pair := read_offered(question))]
    wrong = next(text for text in choice if text != "EXIT")
    assert "EXIT" in choice and 0 < distance(wrong, "EXIT") <= 2 and len(set(questions)) == 4


def test_a_text_that_stands_twice_is_repeated_whatever_its_case():
    assert is_repeated("Exit", [EXIT, at("exit", 500, 500)]) and not is_repeated("EXIT", [EXIT, CAFE])


def test_a_text_that_goes_on_in_another_line_is_a_part():
    no, entry, far = at("NO", 40, 40), at("ENTRY", 80, 42), at("AHEAD", 180, 42)
    assert is_part(no, [no, entry, far]) and is_part(entry, [no, entry, far]) and not is_part(far, [no, entry, far])
    assert not is_part(no, [no, at("ENTRY", 40, 66)])  # the next row
    large = Reading("P", Box(70, 10, 130, 90), 0.8, 0.95)
    assert not is_part(no, [no, large])  # of another size
    side = [Reading(text, Box(40, top, 60, top + 100), 0.8, 0.95) for text, top in (("HOTEL", 40), ("METRO", 150))]
    assert is_part(side[0], side)


def test_other_texts_are_no_questions_about_a_place():
    assert not is_question("What is written on the box?") and read_place("at the top of the page") is None
    assert not is_question("What is written at the top of the whole picture? Say it in French.")


def test_a_reader_takes_the_option_that_stands_where_it_is_asked_for():
    options = {"A": "GATE 7", "B": "EXIT", "C": "EX1T", "D": "Cafe"}
    asked = "What is written {} of the whole picture?"
    lines = [EXIT, CAFE, GATE]
    assert choose(lines, SIZE, asked.format("in the middle"), options, 0) == "D"
    assert choose([at("EX1T", 420, 310)], SIZE, asked.format("at the top"), options, 0) == "C"
    below = "What does the text at the upper left of the whole picture, directly below “EXIT” say?"
    assert choose(lines, SIZE, below, options, 0) == "A"


def test_where_nothing_is_read_the_seed_guesses():
    options = {"A": "1", "B": "2", "C": "3", "D": "4"}
    letters = [choose([], SIZE, "Which?", options, seed) for seed in range(400)]
    assert all(60 < letters.count(letter) < 140 for letter in options)


def test_wrong_answers_are_near_ones_and_other_texts_of_the_picture():
    wrong = misread("ROOM 18", ["EXIT", "GATE 7", "room18"], seed=5, count=6)
    assert len(wrong) == 6 and len({fold(text) for text in wrong}) == 6
    assert fold("ROOM 18") not in {fold(text) for text in wrong}
    assert {"GATE 7", "EXIT"} & set(wrong) and "room18" not in wrong
    assert sum(distance(text, "ROOM 18") <= 2 for text in wrong) >= 4
    assert wrong == misread("ROOM 18", ["EXIT", "GATE 7", "room18"], seed=5, count=6)


def test_what_can_be_asked_for():
    assert is_legible("7A") and is_legible("Café") and not is_legible("O") and not is_legible("出口")
    assert not is_legible("--- 12 ---") and plain_text("‘OR OFFICE. |") == "OR OFFICE"
    assert likeness("Let Us C", "let usc") == 1 and likeness("", "") == 0


def line(*quad: tuple[float, float]) -> Line:
    return Line(quad, 0.9)  # type: ignore[arg-type]


FLAT: Quad = ((40, 20), (150, 20), (150, 40), (40, 40))
UPRIGHT: Quad = ((40, 20), (60, 20), (60, 140), (40, 140))


def test_a_line_that_may_go_on_beyond_its_picture_is_cut():
    assert not is_cut(line(*FLAT), (154, 40)) and is_cut(line(*FLAT), (153, 40))
    assert not is_cut(line(*UPRIGHT), (60, 144)) and is_cut(line(*UPRIGHT), (60, 143))
    askew = line((10, 10), (60, 60), (50, 70), (0, 20))  # it runs to the lower right
    assert not is_cut(askew, (70, 70)) and is_cut(askew, (70, 66))


def test_a_line_is_stretched_along_its_text():
    assert stretch(line(*FLAT), 0.5).quad == ((30, 20), (160, 20), (160, 40), (30, 40))
    assert stretch(line(*UPRIGHT), 0.5).quad == ((40, 10), (60, 10), (60, 150), (40, 150))


def test_a_variation_is_a_function_of_its_seed():
    assert vary(1, 2) == vary(1, 2) != vary(1, 3)
