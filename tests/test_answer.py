"""Teachers' answers."""

from pathlib import Path

import pytest
from teacher_fakes import FakeModel, by_reason, failed, question_row

from r2i.answer.ask import ask_teacher, summarise
from r2i.answer.reply import LONGEST, parse_answer
from r2i.endpoint.base import Reply, Request
from r2i.params import Answer
from r2i.records import ANSWERS
from r2i.tables import read_table, write_table

PARAMS = Answer.model_validate(
    {"prompts": "mini", "teachers": [{"name": "a", "endpoint": {}, "samples": 4}], "sampling": {"temperature": 0.7}}
)
CROPS = {f"region-{number}": b"crop %d" % number for number in range(5)}


def ask(model: FakeModel, *numbers: int) -> list[dict]:
    return ask_teacher([question_row(n) for n in numbers], CROPS, PARAMS.teachers[0], model, PARAMS, 0)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer> 5</answer>", "5"),
        ("The sign says 5, no, 6. <answer>5</answer> <answer>6</answer>", "6"),
        (r"Step 1: ... so \boxed{4}; checking again: \boxed{\text{dark blue}}.", "dark blue"),
        (r"<answer>\boxed{\text{red}}</answer>", "red"),
        ("<answer>**red**</answer>", "red"),
        ("<answer>A</answer>", "A"),  # a letter on a sign is an answer, not an article
        ("<answer>0</answer>", "0"),
    ],
)
def test_the_last_closed_answer_counts(text: str, answer: str) -> None:
    assert parse_answer(text) == (answer, "")


@pytest.mark.parametrize(
    "text", ["", "5", "<answer>5", r"\boxed{5", "<answer>5</answer> or rather <answer>6", "<answer> </answer>"]
)
def test_an_answer_that_is_not_closed_is_none(text: str) -> None:
    assert parse_answer(text) == ("", "no_answer")


@pytest.mark.parametrize("word", ["None", "null", "N/A", "**None**", "unknown", "None.", "?"])
def test_defect_8_a_stand_in_is_no_answer(word: str) -> None:
    assert parse_answer(f"<answer>{word}</answer>") == ("", "no_answer")
    assert parse_answer(rf"\boxed{{{word}}}") == ("", "no_answer")


def test_an_essay_is_no_answer() -> None:
    assert parse_answer(f"<answer>{'x' * (LONGEST + 1)}</answer>") == ("", "too_long")


def test_defect_1_a_failed_call_is_no_answer() -> None:
    model = FakeModel(lambda *_: failed("server_error", "<answer>Error 500</answer>"))
    rows = ask(model, 1)
    assert by_reason(rows) == {"failed: server_error": 4} and {row["answer"] for row in rows} == {""}


def test_defect_21_a_truncated_reply_is_no_answer() -> None:
    rows = ask(FakeModel(lambda *_: failed("truncated", "first I thought <answer>5</answer> but then")), 1)
    assert by_reason(rows) == {"failed: truncated": 4} and {row["answer"] for row in rows} == {""}
    assert "first I thought" in rows[0]["reply"]  # kept, to be looked at


def test_one_request_holds_all_samples_of_a_question() -> None:
    model = FakeModel(lambda request, sample: f"<answer>{sample}</answer>")
    rows = ask(model, 1, 2)
    assert [(request.n, request.images) for request in model.asked] == [(4, (b"crop 1",)), (4, (b"crop 2",))]
    assert [row["answer"] for row in rows] == ["0", "1", "2", "3"] * 2
    assert len({row["reply_key"] for row in rows}) == 8


def test_one_failure_does_not_sink_its_neighbours() -> None:
    def say(request: Request, sample: int) -> str | Reply:
        return failed("timeout") if sample == 2 else "<answer>5</answer>"

    assert [row["status"] for row in ask(FakeModel(say), 1)] == ["ok", "ok", "failed", "ok"]


def test_defects_18_and_20_rows_do_not_depend_on_the_order_of_questions() -> None:
    def say(request: Request, sample: int) -> str:
        return f"<answer>{request.seed + sample}</answer>"

    forth, back = ask(FakeModel(say), 1, 2, 3), ask(FakeModel(say), 3, 1)
    known = {row["answer_id"]: row for row in forth}
    assert all(known[row["answer_id"]] == row for row in back)


def test_teachers_draw_with_different_seeds() -> None:
    # two teachers may be one and the same model: equal seeds would make 8 votes of 4
    one, two = FakeModel(lambda *_: ""), FakeModel(lambda *_: "")
    teacher = PARAMS.teachers[0]
    ask_teacher([question_row(1)], CROPS, teacher, one, PARAMS, 0)
    ask_teacher([question_row(1)], CROPS, teacher.model_copy(update={"name": "b"}), two, PARAMS, 0)
    assert one.asked[0].seed != two.asked[0].seed


def test_the_paper_prompt_asks_for_a_box() -> None:
    model = FakeModel(lambda *_: r"It reads five. \boxed{5}")
    params = PARAMS.model_copy(update={"prompts": "paper"})
    rows = ask_teacher([question_row(1)], CROPS, PARAMS.teachers[0], model, params, 0)
    assert r"\boxed{}" in model.asked[0].prompt and "what digit is on the red square?" in model.asked[0].prompt
    assert {row["answer"] for row in rows} == {"5"}


def test_rows_fit_their_table_and_are_counted(tmp_path: Path) -> None:
    rows = ask(FakeModel(lambda _, sample: "<answer>5</answer>" if sample else "so"), 1, 2)
    write_table(tmp_path / "answers", rows, ANSWERS)
    found = summarise(read_table(tmp_path / "answers", ANSWERS, "answer"))
    assert found["answers_per_question"] == {"3": 2} and found["by_teacher"]["a"]["reason"] == {"failed: no_answer": 2}
