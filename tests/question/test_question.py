"""Writing and checking questions."""

import json
from pathlib import Path

import pytest
from made_rows import by_reason, image_row, question_row, region_row
from teacher_fakes import FakeModel, failed, ok, pictures, sent

from r2i.core.ids import make_id
from r2i.core.params import Question
from r2i.core.parse import ReplyError
from r2i.core.records import QUESTIONS
from r2i.core.tables import Row, read_table, write_table
from r2i.endpoint.base import Picture, Reply, Request
from r2i.endpoint.flow import run_jobs
from r2i.endpoint.ledger import Ledger
from r2i.question.ask import count_questions, question_jobs
from r2i.question.check import apply_check, build_check_request
from r2i.question.reply import CHECKS, CHECKS_FORM, DIMENSIONS, QUESTIONS_FORM, parse_checks, parse_questions
from r2i.question.write import MAX_LENGTH, build_write_request, read_questions

MINI = Question.model_validate({"prompts": "mini", "teacher": {}, "per_crop": 3, "write": {}, "check": {}})
PAPER = MINI.model_copy(update={"prompts": "paper"})
UNCHECKED = MINI.model_copy(update={"validate_": False})
SEEN = Picture.of(b"seen")
DIGIT = '[{"question": " what digit is on the red square?", "dimension": " ocr"}]'
YES = '{"answerable_from_crop": true, "one_clear_answer": true, "same_in_both": true, "names_target": true}'
NO = YES.replace('"same_in_both": true', '"same_in_both": false')


def ask(model: FakeModel, *numbers: int, params: Question = MINI, ledger: Ledger | None = None) -> list[Row]:
    """The rows of some regions, each on an image of its own."""
    crops = {f"region-{n}": region_row(n)["crop"] for n in numbers}
    images = {f"image-{n}": image_row(n)["image"] for n in numbers}
    regions = [region_row(n) for n in numbers]
    jobs = question_jobs(regions, pictures(crops), pictures(images), model, params, 0)
    return [row for rows in run_jobs(jobs, ledger) for row in rows]


def read(reply: Reply) -> list[Row]:
    return read_questions(region_row(1), build_write_request(region_row(1), SEEN, SEEN, MINI, 0), reply, MINI)


def check(reply: Reply, row: Row | None = None, params: Question = MINI) -> Row:
    row = row or question_row(1)
    return apply_check(row, build_check_request(row, SEEN, SEEN, params, 0), reply, params)


def test_the_small_models_list_is_read_and_stripped() -> None:
    text = DIGIT[:-1] + ', {"question": " what is it made of?", "dimension": " material"}]'
    found = parse_questions(text)
    assert found.value == [("what digit is on the red square?", "ocr"), ("what is it made of?", "material")]


def test_a_large_models_list_in_prose_and_fences_is_read() -> None:
    text = (
        'Looking at the sign [left part]...\n```json\n[{"question": "Which\\nword?", "dimension": "OCR"}]\n```\nDone.'
    )
    assert parse_questions(text) == ([("Which word?", "ocr")], False)


def test_a_list_with_slips_is_repaired_and_the_row_says_so() -> None:
    text = '[{"question": "What is it?" "dimension": "material",},]'
    assert parse_questions(text) == ([("What is it?", "material")], True)
    assert [row["repaired"] for row in read(ok(text)) + read(ok(DIGIT))] == [True, False]
    assert check(ok(YES[:-1] + ",}"))["repaired"] and not check(ok(YES))["repaired"]
    assert check(ok(YES), question_row(1) | {"repaired": True})["repaired"]  # of the reply that wrote it
    assert count_questions(read(ok(text)))["repaired"] == 1


def test_the_forms_that_servers_enforce_are_read_by_the_same_parsers() -> None:
    questions = {"questions": [{"question": "How many [red] dots?", "dimension": "counting"}]}
    assert parse_questions(json.dumps(questions)) == ([("How many [red] dots?", "counting")], False)
    assert parse_questions('{"questions": []}') == ([], False)
    verdict = {"reasoning": 'A draft: {"x": 1}', **json.loads(NO)}
    assert parse_checks(json.dumps(verdict)) == ((True, True, False, True), False)
    fields = json.loads(QUESTIONS_FORM)["schema"]["properties"]["questions"]["items"]["properties"]
    assert list(fields) == ["question", "dimension"] and fields["dimension"]["enum"] == list(DIMENSIONS)
    assert list(json.loads(CHECKS_FORM)["schema"]["properties"]) == ["reasoning", *CHECKS]  # reasons come first


def test_requests_carry_their_forms() -> None:
    model = FakeModel(lambda request, _: YES if len(request.images) == 2 else DIGIT)
    ask(model, 1)
    assert [request.form for request in model.asked] == [QUESTIONS_FORM, CHECKS_FORM]


@pytest.mark.parametrize(
    "text", ["", "What color is it?", '["What color is it?"]', '[{"question": 5}]', '[{"dimension": "ocr"}]',
             '{"question": "What?"}', '[{"question": "What?", "tags": [] "dimension"']
)  # fmt: skip
def test_a_reply_without_a_list_of_questions_is_unparsable(text: str) -> None:
    with pytest.raises(ReplyError):
        parse_questions(text)


@pytest.mark.parametrize(
    ("said", "meant"),
    [("Colour", "color"), ("OCR", "ocr"), ("spatial", "structure"), ("mood", "other"), (None, "other")],
)
def test_dimensions_have_one_name(said: str | None, meant: str) -> None:
    assert parse_questions(json.dumps([{"question": "q", "dimension": said}])).value == [("q", meant)]


def test_rules_drop_questions_one_by_one() -> None:
    said = ["What is it?", " ", "what is it", "x" * (MAX_LENGTH + 1), "Two?", "Three?", "Four?"]
    reply = ok(json.dumps([{"question": text, "dimension": "ocr"} for text in said]))
    rows = read(reply)
    assert [row["reason"] for row in rows] == ["", "empty", "duplicate", "too_long", "", "", "too_many"]
    assert len({row["question_id"] for row in rows}) == 7  # a duplicate keeps a row of its own


def test_every_region_survives_as_a_row() -> None:
    replies: dict[int, str | Reply] = {
        0: DIGIT,
        1: "[]",
        2: "hm",
        3: failed("server_error"),
        4: failed("truncated", DIGIT),
    }
    crops = {region_row(number)["crop"]: number for number in replies}
    rows = ask(FakeModel(lambda request, _: replies[crops[sent(request)[0]]]), *replies, params=UNCHECKED)
    assert [row["region_id"] for row in rows] == [f"region-{number}" for number in replies]
    assert by_reason(rows) == {
        "ok: ": 1, "rejected: nothing_to_ask": 1, "failed: unparsable": 1,
        "failed: server_error": 1, "failed: truncated": 1,
    }  # fmt: skip
    assert all(row["question"] == "" and row["question_id"] == make_id(row["region_id"], "") for row in rows[1:])


# defect 18 of the reference
def test_a_changed_folder_changes_no_other_regions_rows() -> None:
    everything = ask(FakeModel(lambda *_: DIGIT), *range(4))
    less = ask(FakeModel(lambda *_: DIGIT), 3, 1)
    assert sorted(less, key=str) == sorted((row for row in everything if row["region_id"][-1] in "13"), key=str)


# defect 20 of the reference
def test_seeds_follow_from_what_is_asked() -> None:
    model, again = FakeModel(lambda *_: DIGIT), FakeModel(lambda *_: DIGIT)
    ask(model, 1, 2)
    ask(again, 2, 1)
    assert sorted(r.seed for r in model.asked) == sorted(r.seed for r in again.asked)
    assert model.asked[0].seed != model.asked[1].seed


# defect 21 of the reference
def test_a_truncated_reply_gives_no_question() -> None:
    rows = read(failed("truncated", DIGIT))
    assert by_reason(rows) == {"failed: truncated": 1} and rows[0]["question"] == ""


def test_four_trues_pass() -> None:
    assert parse_checks(YES).value == (True,) * 4


@pytest.mark.parametrize(
    "text",
    [
        "INVALID: Yes", "Yes", "valid", "", "[true, true, true, true]",
        YES.replace("true}", '"true"}'), YES.replace("true}", "1}"), YES[:-30],
        YES.replace('"names_target"', '"target"'),
        f"{YES} Wait, I was wrong: " + '{"answerable_from_crop": false, "one_cl',
    ],
)  # fmt: skip
# defect 7 of the reference
def test_words_are_no_verdict(text: str) -> None:
    with pytest.raises(ReplyError):
        parse_checks(text)
    assert check(ok(text))["status"] == "failed"  # neither valid nor invalid


# defect 7 of the reference
def test_the_conclusion_beats_the_first_match() -> None:
    assert parse_checks(f"A draft: {YES}\nBut there are two red squares.\n{NO}").value == (True, True, False, True)
    assert parse_checks(f"A draft: {NO}\nOn closer look:\n```json\n{YES}\n```").value == (True,) * 4


def test_the_first_false_check_is_the_reason() -> None:
    found = check(ok(NO))
    assert found["checks"] == [True, True, False, True]
    assert (found["status"], found["reason"]) == ("rejected", "same_in_both")


def test_a_row_names_both_calls_that_made_it() -> None:
    row = ask(FakeModel(lambda request, _: YES if len(request.images) == 2 else DIGIT), 1)[0]
    assert (row["model"], row["endpoint"]) == ("fake", "local") == (row["check"]["model"], row["check"]["endpoint"])
    assert row["sampling"] == '{"max_tokens":64,"temperature":0.0,"top_p":1.0}'
    assert len({row["reply_key"], row["check"]["reply_key"]}) == 2
    small = check(ok(YES), params=MINI.model_copy(update={"max_pixels": 500}))
    assert json.loads(small["check"]["sampling"])["max_pixels"] == 500


# defect 1 of the reference
def test_a_failed_check_is_no_verdict() -> None:
    judged = check(failed("timeout", YES))
    assert (judged["status"], judged["reason"], judged["checks"]) == ("failed", "check_timeout", None)


def test_the_check_sees_the_original_then_the_crop_and_only_questions_that_stand() -> None:
    said = DIGIT[:-1] + "," + DIGIT[1:]  # one question, twice
    model = FakeModel(lambda request, _: NO if len(request.images) == 2 else said)
    rows = ask(model, 1)
    crop, image = region_row(1)["crop"], image_row(1)["image"]
    assert [sent(request) for request in model.asked] == [(crop,), (image, crop)]
    assert by_reason(rows) == {"rejected: same_in_both": 1, "rejected: duplicate": 1}
    assert [row["check"] is None for row in rows] == [False, True]


def test_regions_are_gone_through_in_the_order_of_the_images() -> None:
    # so that each row group of the table of images is read about once
    model = FakeModel(lambda *_: "[]")
    regions = [region_row(number) for number in (1, 2, 3)]
    crops = pictures({region["region_id"]: region["crop"] for region in regions})
    images = pictures({f"image-{number}": image_row(number)["image"] for number in (3, 1, 2)})
    run_jobs(question_jobs(regions, crops, images, model, MINI, 0))
    assert [sent(request)[0] for request in model.asked] == [region_row(number)["crop"] for number in (3, 1, 2)]


def test_calls_are_counted() -> None:
    def answer(request: Request, _: int) -> str:
        return YES if len(request.images) == 2 else DIGIT

    ledger = Ledger()
    ask(FakeModel(answer), 1, 2, ledger=ledger)
    assert ledger.metrics()["fake"]["requests"] == 4  # two regions, each written once and checked once


@pytest.mark.parametrize("params", [MINI, PAPER], ids=["mini", "paper"])
def test_rows_fit_their_table_in_both_styles(params: Question, tmp_path: Path) -> None:
    model = FakeModel(lambda request, _: YES if len(request.images) == 2 else DIGIT)
    rows = ask(model, 1, 2, params=params)
    write_table(tmp_path / "questions", rows, QUESTIONS)
    found = read_table(tmp_path / "questions", QUESTIONS, "question")
    assert [row["checks"] for row in found] == [[True] * 4] * 2
    assert [row["check"] for row in found] == [row["check"] for row in sorted(rows, key=lambda r: r["question_id"])]
    assert all(word in model.asked[-1].prompt for word in (CHECKS if params is PAPER else ("check",)))


def test_metrics_count_regions_without_a_question() -> None:
    rows = [question_row(1), question_row(1, "b?"), question_row(2) | {"status": "failed", "reason": "timeout"}]
    found = count_questions(rows)
    assert found["questions_per_region"] == {"0": 1, "2": 1}
    assert found["status"] == {"ok": 2, "failed": 1} and found["by_dimension"] == {"ocr": 2}


def test_a_teacher_of_the_full_view_writes_from_the_image_and_checks_with_both() -> None:
    model = FakeModel(lambda request, _: YES if request.form == CHECKS_FORM else DIGIT)
    ask(model, 1, params=MINI.model_copy(update={"view": "full"}))
    image, crop = image_row(1)["image"], region_row(1)["crop"]
    assert [[picture.load() for picture in request.images] for request in model.asked] == [[image], [image, crop]]
