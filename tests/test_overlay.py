"""Distractors, the box, difficulty, training rows."""

import re
from pathlib import Path

import numpy as np
import pytest
from teacher_fakes import FakeModel, by_reason, failed, ok, picture, vote_row

from r2i.endpoint.base import Reply, Request
from r2i.errors import EndpointError, TableError
from r2i.images import read_image
from r2i.mcq import mcq_prompt
from r2i.overlay.difficulty import boxed_prompt, draw_boxes, score_tries, try_student
from r2i.overlay.distractors import ROUNDS, add_options
from r2i.overlay.item import Item, make_items, still_ok
from r2i.overlay.reply import choose_distinct, parse_distractors
from r2i.overlay.rows import choose_views, summarise, train_rows
from r2i.params import Overlay
from r2i.parse import ReplyError
from r2i.records import TRAIN
from r2i.tables import Row, read_table, write_table

PARAMS = Overlay.model_validate(
    {"prompts": "mini", "teacher": {}, "student": {}, "write": {"temperature": 0.8}, "attempt": {"temperature": 1},
     "line": 1, "views": {"boxed": 1, "full": 0.5, "crop": 0.25}}
)  # fmt: skip
NUMBERS = range(1, 5)
CROPS = {f"region-{number}": picture(10 + number, 32) for number in NUMBERS}
IMAGES = {f"image-{number}": picture(100 + number) for number in NUMBERS}
BOXES = {f"region-{number}": [8, 8, 24, 24] for number in NUMBERS}


def items(*answers: str) -> list[Item]:
    return make_items([vote_row(number, answer) for number, answer in enumerate(answers, 1)], BOXES)


def ready(*answers: str) -> list[Item]:
    """Items with options and a boxed image."""
    found = items(*answers)
    add_options(found, CROPS, FakeModel(lambda *_: '["1", "2", "3"]'), PARAMS, 0)
    draw_boxes(found, IMAGES, PARAMS)
    return found


def letter_of(request: Request, text: str) -> str:
    match = re.search(rf"^([A-J])\. {text}$", request.prompt, re.MULTILINE)
    assert match
    return match.group(1)


def test_the_small_models_list_is_read_and_stripped() -> None:
    assert parse_distractors('[" 3", " 8", " 1"]') == ["3", "8", "1"]


@pytest.mark.parametrize("text", ["", "3, 8, 1", "[]", "[3, 8, 1]", '{"a": "3"}', '[["3"]]'])
def test_a_reply_without_a_list_of_texts_is_unparsable(text: str) -> None:
    with pytest.raises(ReplyError):
        parse_distractors(text)


def test_defect_9_no_distractor_is_the_answer_or_another_one() -> None:
    said = ["Five", "5.", "**5**", "six", "6", " 6. ", "seven", "none", "8"]
    assert choose_distinct("5", said) == ["six", "seven", "8"]


def test_defect_5_no_markup_sets_an_option_apart() -> None:
    item = items("** Red.")[0]
    assert item.answer == "Red"
    assert choose_distinct(item.answer, ["**Blue**", "`Green`.", '"Pink"', "$4.50"]) == [
        "Blue",
        "Green",
        "Pink",
        "4.50",
    ]


def test_defect_9_options_are_four_different_texts() -> None:
    found = items("5")
    add_options(found, CROPS, FakeModel(lambda *_: '["five", "6", "six", "7", "8", "9"]'), PARAMS, 0)
    assert sorted(found[0].options) == ["5", "6", "7", "8"]
    assert found[0].options["ABCD".index(found[0].label)] == "5"


def test_short_lists_are_put_together_over_rounds_with_other_seeds() -> None:
    said = iter(['["6", "5"]', '["6", "7"]', '["8", "9"]'])
    model = FakeModel(lambda *_: next(said))
    found = items("5")
    add_options(found, CROPS, model, PARAMS, 0)
    assert found[0].distractors == ["6", "7", "8"] and found[0].rounds == 3
    assert len({request.seed for request in model.asked}) == 3
    assert model.asked[0].images == (CROPS["region-1"],)


def test_the_paper_prompt_names_question_answer_and_count() -> None:
    model = FakeModel(lambda *_: '["6", "7", "8"]')
    add_options(items("5"), CROPS, model, PARAMS.model_copy(update={"prompts": "paper"}), 0)
    prompt = model.asked[0].prompt
    assert "Question: what digit is on the red square?" in prompt and "Correct answer: 5" in prompt
    assert "JSON list of 3 strings" in prompt and "{" not in prompt


def test_too_few_after_all_rounds_is_rejected_and_a_lost_call_is_failed() -> None:
    found = items("5", "5", "5", "5")
    says: dict[bytes, str | Reply] = {
        CROPS["region-1"]: '["6", "7"]',
        CROPS["region-2"]: failed("server_error"),
        CROPS["region-3"]: "six, seven, eight",
        CROPS["region-4"]: '["6", "7", "8"]',
    }
    model = FakeModel(lambda request, _: says[request.images[0]])
    add_options(found, CROPS, model, PARAMS, 0)
    assert [item.reason for item in found] == [
        "too_few_distractors", "distractors_server_error", "distractors_unparsable", "",
    ]  # fmt: skip
    assert [item.status for item in found] == ["rejected", "failed", "failed", "ok"]
    assert len(model.asked) == 3 * ROUNDS + 1  # the fourth is not asked again


def test_defect_20_options_do_not_depend_on_the_order_of_items_or_a_clock() -> None:
    def labels(found: list[Item]) -> dict[str, tuple[str, ...]]:
        add_options(found, CROPS, FakeModel(lambda request, _: '["6", "7", "8"]'), PARAMS, 0)
        return {item.question_id: (item.label, *item.options) for item in found}

    assert labels(items("5", "5", "5")) == labels(items("5", "5", "5")[::-1])


def test_defect_20_the_right_letter_is_spread_evenly() -> None:
    votes = [vote_row(1) | {"question_id": f"q{number}"} for number in range(400)]
    found = make_items(votes, BOXES)
    add_options(found, CROPS, FakeModel(lambda *_: '["6", "7", "8"]'), PARAMS, 0)
    labels = [item.label for item in found]
    # 400 draws at 1/4: 100 each, sigma sqrt(400 * 3/16) = 8.7; 4 sigma
    assert all(abs(labels.count(letter) - 100) < 35 for letter in "ABCD")


def test_the_box_is_drawn_on_the_full_image() -> None:
    found = ready("5")
    pixels = np.asarray(read_image(found[0].boxed or b"")).astype(int)
    # box (8, 8, 24, 24), 16 px wide, grown by round(16 * 0.05) = 1 px on each side: outline from 7 to 24
    assert pixels[7, 16, 0] > 200 and pixels[7, 16, 1] < 80
    assert abs(pixels[40, 40] - 101).max() < 6 and abs(pixels[16, 16] - 101).max() < 6


def test_defect_2_a_dead_server_makes_no_question_hard() -> None:
    found = ready("5", "6")
    try_student(found, FakeModel(lambda *_: failed("timeout")), PARAMS, 0)
    assert {(item.status, item.reason, item.right, item.tries) for item in found} == {
        ("failed", "student_timeout", 0, 0)
    }


def test_defect_2_one_lost_try_leaves_the_question_unmeasured() -> None:
    item = ready("5")[0]
    wrong = next(letter for letter in "ABCD" if letter != item.label)
    score_tries(item, [*[ok(f"<answer>{wrong}</answer>")] * 3, failed("server_error")], drop_at=2)
    assert (item.status, item.reason, item.tries) == ("failed", "student_server_error", 3)


def test_defect_3_an_exception_on_the_way_never_leaves_a_valid_row() -> None:
    found = items("5", "5")
    add_options(found, CROPS, FakeModel(lambda *_: '["1", "2", "3"]'), PARAMS, 0)
    draw_boxes(found, IMAGES | {"image-1": b"not an image", "image-2": IMAGES["image-2"][:200]}, PARAMS)
    assert [(item.status, item.reason) for item in found] == [("failed", "unreadable"), ("failed", "truncated")]


def test_defect_3_a_server_that_can_not_be_called_ends_the_stage() -> None:
    def refuse(*_: object) -> str:
        raise EndpointError("401")

    with pytest.raises(EndpointError):
        try_student(ready("5"), FakeModel(refuse), PARAMS, 0)


@pytest.mark.parametrize(("right", "status"), [(0, "ok"), (1, "ok"), (2, "rejected"), (4, "rejected")])
def test_two_of_four_right_is_too_easy(right: int, status: str) -> None:
    item = ready("5")[0]
    wrong = next(letter for letter in "ABCD" if letter != item.label)
    said = [item.label] * right + [wrong] * (4 - right)
    score_tries(item, [ok(f" 5<answer> {letter}</answer>") for letter in said], drop_at=2)
    assert (item.status, item.right, item.tries) == (status, right, 4)
    assert item.reason == ("" if status == "ok" else "too_easy")


def test_a_cut_or_unclosed_reply_is_the_students_own_failure() -> None:
    item = ready("5")[0]
    right = f"<answer>{item.label}</answer>"
    # a truncated reply counts as wrong even where its text closes a span; so does an open span
    score_tries(item, [failed("truncated", right), failed("truncated"), ok(f"<answer>{item.label}"), ok(right)], 2)
    assert (item.status, item.right, item.tries) == ("ok", 1, 4)


def test_the_student_sees_the_boxed_image_and_the_rows_own_prompt() -> None:
    found = ready("5")
    student = FakeModel(lambda request, sample: f"<answer>{letter_of(request, '1')}</answer>")
    try_student(found, student, PARAMS, 0)
    rows = train_rows(found, CROPS, IMAGES, PARAMS, 0)
    boxed = next(row for row in rows if row["view"] == "boxed")
    asked = student.asked[0]
    assert (asked.images, asked.prompt, asked.n) == ((boxed["image"],), boxed["prompt"], 4)


def hard_rows(*answers: str, params: Overlay = PARAMS) -> list[Row]:
    found = ready(*answers)
    try_student(found, FakeModel(lambda request, _: f"<answer>{letter_of(request, '1')}</answer>"), params, 0)
    return train_rows(found, CROPS, IMAGES, params, 0)


def test_views_show_what_they_say() -> None:
    everywhere = PARAMS.model_copy(update={"views": {"boxed": 1.0, "full": 1.0, "crop": 1.0}})
    rows = {row["view"]: row for row in hard_rows("5", params=everywhere)}
    assert rows["full"]["image"] == IMAGES["image-1"] and rows["crop"]["image"] == CROPS["region-1"]
    assert rows["boxed"]["image"] not in (rows["full"]["image"], rows["crop"]["image"])
    assert len({row["row_id"] for row in rows.values()}) == 3
    assert {row["prompt"] for row in rows.values()} == {
        mcq_prompt("what digit is on the red square?", rows["full"]["options"], "mini")
    }


def test_shares_of_views_hold_over_many_questions() -> None:
    drawn = [choose_views(f"q{number}", PARAMS, 0) for number in range(1000)]
    # boxed always; full 500, sigma sqrt(1000 / 4) = 16; crop 250, sigma 14; 4 sigma
    assert all("boxed" in views for views in drawn)
    assert abs(sum("full" in views for views in drawn) - 500) < 64
    assert abs(sum("crop" in views for views in drawn) - 250) < 56


def test_every_question_leaves_a_row() -> None:
    found = ready("5", "6", "7", "8")
    found[0].drop("rejected", "too_easy")
    found[1].drop("failed", "student_timeout")
    rows = train_rows(found, CROPS, IMAGES, PARAMS.model_copy(update={"views": {"crop": 1.0}}), 0)
    assert by_reason(rows) == {"rejected: too_easy": 1, "failed: student_timeout": 1, "ok: ": 2}
    assert [(row["view"], row["image"] is None, row["prompt"]) for row in rows[:2]] == [("boxed", True, "")] * 2
    none = train_rows(ready("5"), CROPS, IMAGES, PARAMS.model_copy(update={"views": {}}), 0)
    assert by_reason(none) == {"rejected: no_view": 1}


def test_only_the_paper_style_speaks_of_the_box_and_only_in_the_boxed_view() -> None:
    assert boxed_prompt("q?", ["a", "b"], "mini") == mcq_prompt("q?", ["a", "b"], "mini")
    plain = mcq_prompt("q?", ["a", "b"], "paper")
    assert boxed_prompt("q?", ["a", "b"], "paper").startswith(plain + "\n") and "red box" not in plain
    rows = hard_rows("5", params=PARAMS.model_copy(update={"prompts": "paper", "views": {"boxed": 1.0, "full": 1.0}}))
    assert [("red box" in row["prompt"], row["view"]) for row in rows] == [(True, "boxed"), (False, "full")]


def test_defect_18_a_further_question_changes_no_other_row() -> None:
    few = {row["row_id"]: row for row in hard_rows("5", "6")}
    more = {row["row_id"]: row for row in hard_rows("5", "6", "7")}
    assert few.items() <= more.items() and len(more) > len(few)


def test_a_vote_without_its_region_is_an_error() -> None:
    with pytest.raises(TableError):
        make_items([vote_row(9)], BOXES)


def test_rows_fit_their_table_and_are_counted(tmp_path: Path) -> None:
    found = ready("5", "6", "7")
    found[2].drop("rejected", "too_easy")
    student = FakeModel(lambda request, sample: f"<answer>{letter_of(request, '1' if sample else '[56]')}</answer>")
    try_student(found, student, PARAMS, 0)
    rows = train_rows(found, CROPS, IMAGES, PARAMS, 0)
    write_table(tmp_path / "train", rows, TRAIN, shards=2)
    assert len(read_table(tmp_path / "train", TRAIN, "overlay")) == len(rows)
    counts = summarise(found, rows, PARAMS.tries)
    assert counts["questions"]["status"] == {"ok": 2, "rejected": 1} and counts["right"] == {"1": 2}
    assert sum(counts["labels"].values()) == len(still_ok(found)) == 2
    assert counts["distractor_rounds"] == {"1": 3} and counts["rows_by_view"]["boxed"] == 2


def test_a_dimension_that_crowds_is_cut_to_its_limit_whatever_the_order() -> None:
    """Five material questions and one about a digit, at most 2 of a dimension: 3 of 6 are left."""
    from r2i.overlay.balance import limit_dimensions

    def fresh() -> list[Item]:
        kinds = ["material"] * 5 + ["ocr"]
        return [Item({"question_id": f"q{i}", "dimension": kind}, (0, 0, 1, 1), "x") for i, kind in enumerate(kinds)]

    first, second = fresh(), fresh()[::-1]
    limit_dimensions(first, 2, 0)
    limit_dimensions(second, 2, 0)
    kept = {item.question_id for item in first if item.status == "ok"}
    assert len(kept) == 3 and "q5" in kept
    assert kept == {item.question_id for item in second if item.status == "ok"}
    assert {item.reason for item in first if item.status != "ok"} == {"over_limit"}
    untouched = fresh()
    limit_dimensions(untouched, None, 0)
    assert all(item.status == "ok" for item in untouched)
