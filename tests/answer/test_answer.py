"""Teachers' answers."""

from pathlib import Path

import pytest
from made_rows import by_reason, question_row
from teacher_fakes import FakeModel, failed, pictures, sent

from r2i.answer.ask import MAX_LENGTH, answer_jobs, count_answers, parse_answer, within_reach
from r2i.core.params import Answer
from r2i.core.records import ANSWERS
from r2i.core.tables import Row, read_table, write_table
from r2i.endpoint.base import Reply, Request
from r2i.endpoint.flow import run_jobs
from r2i.endpoint.ledger import Ledger

PARAMS = Answer.model_validate(
    {"prompts": "mini", "teachers": [{"name": "a", "endpoint": {}, "samples": 4}], "sampling": {"temperature": 0.7}}
)
TWO = PARAMS.model_copy(update={"teachers": [PARAMS.teachers[0].model_copy(update={"name": name}) for name in "ab"]})
FRUGAL = TWO.model_copy(update={"skip_below": 6})
CROPS = pictures({f"region-{number}": b"crop %d" % number for number in range(5)})


def ask_all(questions: list[Row], models: list[FakeModel], params: Answer, ledger: Ledger | None = None) -> list[Row]:
    return [row for rows in run_jobs(answer_jobs(questions, CROPS, models, params, 0), ledger) for row in rows]


def ask(model: FakeModel, *numbers: int) -> list[Row]:
    return ask_all([question_row(n) for n in numbers], [model], PARAMS)


def ask_two(first: FakeModel, second: FakeModel, params: Answer) -> list[Row]:
    return ask_all([question_row(1)], [first, second], params)


def says(*texts: str | Reply) -> FakeModel:
    """A teacher whose samples are these, each wrapped as an answer."""
    return FakeModel(
        lambda _, sample: f"<answer>{texts[sample]}</answer>" if isinstance(texts[sample], str) else texts[sample]
    )


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
# defect 8 of the reference
def test_a_stand_in_is_no_answer(word: str) -> None:
    assert parse_answer(f"<answer>{word}</answer>") == ("", "no_answer")
    assert parse_answer(rf"\boxed{{{word}}}") == ("", "no_answer")


def test_an_essay_is_no_answer() -> None:
    assert parse_answer(f"<answer>{'x' * (MAX_LENGTH + 1)}</answer>") == ("", "too_long")


# defect 1 of the reference
def test_a_failed_call_is_no_answer() -> None:
    model = FakeModel(lambda *_: failed("server_error", "<answer>Error 500</answer>"))
    rows = ask(model, 1)
    assert by_reason(rows) == {"failed: server_error": 4} and {row["answer"] for row in rows} == {""}


# defect 21 of the reference
def test_a_truncated_reply_is_no_answer() -> None:
    rows = ask(FakeModel(lambda *_: failed("truncated", "first I thought <answer>5</answer> but then")), 1)
    assert by_reason(rows) == {"failed: truncated": 4} and {row["answer"] for row in rows} == {""}
    assert "first I thought" in rows[0]["reply"]  # kept, to be looked at


# defect 15 of the reference
def test_one_request_holds_all_samples_of_a_question() -> None:
    model = FakeModel(lambda request, sample: f"<answer>{sample}</answer>")
    rows = ask(model, 1, 2)
    assert [(request.n, sent(request)) for request in model.asked] == [(4, (b"crop 1",)), (4, (b"crop 2",))]
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
    model = FakeModel(lambda *_: "")
    ask_two(model, model, TWO)
    assert len({request.seed for request in model.asked}) == 2


# defect 14 of the reference
def test_all_teachers_see_the_same_bytes_and_they_are_read_when_sent() -> None:
    one, two = FakeModel(lambda *_: ""), FakeModel(lambda *_: "")
    ask_two(one, two, TWO)
    assert sent(one.asked[0]) == sent(two.asked[0]) == (b"crop 1",)
    assert one.asked[0].images == two.asked[0].images  # one Picture, not two copies


def test_the_next_teacher_is_spared_where_agreement_is_out_of_reach() -> None:
    second = says("1", "1", "1", "1")
    # the largest group has 1, 4 more may come: 5 < 6
    rows = ask_two(says("1", "2", "3", "4"), second, FRUGAL)
    assert second.asked == []
    assert by_reason(rows) == {"ok: ": 4, "rejected: not_asked": 4}
    spared = rows[4:]
    assert {row["teacher"] for row in spared} == {"b"} and len({row["answer_id"] for row in rows}) == 8
    assert all(row[name] == "" for row in spared for name in ("model", "endpoint", "sampling", "reply_key", "reply"))
    assert count_answers(rows)["not_asked"] == {"questions": 1, "samples": 4}


@pytest.mark.parametrize(
    "first",
    [
        ("1", "one", "3", "4"),  # by the rules, two agree: 2 + 4 = 6
        ("1", "2", "3", failed("timeout")),  # the lost call may have agreed with any: 1 + 1 + 4 = 6
        ("1", "2", "3", failed("truncated")),
    ],
)
def test_the_next_teacher_is_asked_while_agreement_is_within_reach(first: tuple[str | Reply, ...]) -> None:
    second = says("1", "1", "1", "1")
    rows = ask_two(says(*first), second, FRUGAL)
    assert len(second.asked) == 1 and "rejected: not_asked" not in by_reason(rows)


def test_a_sample_without_an_answer_can_not_agree() -> None:
    second = says("1", "1", "1", "1")
    ask_two(says("1", "2", "None", "x" * (MAX_LENGTH + 1)), second, FRUGAL)
    assert second.asked == []
    assert within_reach([], 8) == 8


def test_the_saving_can_be_switched_off() -> None:
    second = says("1", "1", "1", "1")
    rows = ask_two(says("1", "2", "3", "4"), second, TWO)
    assert len(second.asked) == 1 and count_answers(rows)["not_asked"] == {"questions": 0, "samples": 0}


def test_the_first_teacher_is_always_asked() -> None:
    first, second = says("1", "1", "1", "1"), says("1", "1", "1", "1")
    ask_two(first, second, TWO.model_copy(update={"skip_below": 9}))  # 8 samples can't reach 9: the vote will say so
    assert (len(first.asked), len(second.asked)) == (1, 0)


def test_spared_teachers_change_no_seed_and_no_row_of_the_others() -> None:
    all_rows, few = (ask_two(says("1", "2", "3", "4"), says("5", "5", "5", "5"), params) for params in (TWO, FRUGAL))
    assert all_rows[:4] == few[:4]


def test_rows_say_where_they_come_from_and_calls_are_counted() -> None:
    ledger = Ledger()
    rows = ask_all([question_row(1)], [says(*"1111"), says(*"1111")], TWO, ledger)
    assert {(row["model"], row["endpoint"]) for row in rows} == {("fake", "local")}
    assert {row["sampling"] for row in rows} == {'{"max_tokens":64,"temperature":0.7,"top_p":1.0}'}
    assert len({row["reply_key"] for row in rows}) == 8
    assert ledger.metrics()["fake"] == {"requests": 2, "samples": 8, "tokens_in": 0, "tokens_out": 0}


def test_the_paper_prompt_asks_for_a_box() -> None:
    model = FakeModel(lambda *_: r"It reads five. \boxed{5}")
    rows = ask_all([question_row(1)], [model], PARAMS.model_copy(update={"prompts": "paper"}))
    assert r"\boxed{}" in model.asked[0].prompt and "what digit is on the red square?" in model.asked[0].prompt
    assert {row["answer"] for row in rows} == {"5"}


def test_rows_fit_their_table_and_are_counted(tmp_path: Path) -> None:
    rows = ask(FakeModel(lambda _, sample: "<answer>5</answer>" if sample else "so"), 1, 2)
    write_table(tmp_path / "answers", rows, ANSWERS)
    found = count_answers(read_table(tmp_path / "answers", ANSWERS, "answer"))
    assert found["answers_per_question"] == {"3": 2} and found["by_teacher"]["a"]["reason"] == {"failed: no_answer": 2}


def test_teachers_of_the_full_view_see_the_image_and_no_crop() -> None:
    whole, model = pictures({"image-1": b"whole", "image-2": b"other"}), says(*["5"] * 4)
    params = PARAMS.model_copy(update={"view": "full"})
    jobs = answer_jobs([question_row(2), question_row(1)], whole, [model], params, 0)
    rows = [row for rows in run_jobs(jobs) for row in rows]
    assert [request.images[0].load() for request in model.asked] == [b"whole", b"other"]
    assert [row["question_id"] for row in rows[::4]] == [question_row(n)["question_id"] for n in (1, 2)]
    assert sorted(r["answer_id"] for r in rows) == sorted(r["answer_id"] for r in ask(says(*["5"] * 4), 1, 2))
