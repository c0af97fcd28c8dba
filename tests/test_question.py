"""Writing and checking questions."""

import json
from pathlib import Path

import pytest
from teacher_fakes import FakeModel, by_reason, failed, ok, picture, question_row, region_row

from r2i.endpoint.base import Reply
from r2i.ids import make_id
from r2i.params import Question
from r2i.parse import ReplyError
from r2i.question.check import check_questions, judge
from r2i.question.reply import CHECKS, parse_questions, parse_verdict
from r2i.question.write import LONGEST, read_questions, summarise, write_questions
from r2i.records import QUESTIONS
from r2i.tables import read_table, write_table

MINI = Question.model_validate({"prompts": "mini", "teacher": {}, "per_crop": 3, "write": {}, "check": {}})
PAPER = MINI.model_copy(update={"prompts": "paper"})
DIGIT = '[{"question": " what digit is on the red square?", "dimension": " ocr"}]'
YES = '{"answerable_from_crop": true, "one_clear_answer": true, "same_in_both": true, "names_target": true}'
NO = YES.replace('"same_in_both": true', '"same_in_both": false')


def test_the_small_models_list_is_read_and_stripped() -> None:
    text = DIGIT[:-1] + ', {"question": " what is it made of?", "dimension": " material"}]'
    assert parse_questions(text) == [("what digit is on the red square?", "ocr"), ("what is it made of?", "material")]


def test_a_large_models_list_in_prose_and_fences_is_read() -> None:
    text = (
        'Looking at the sign [left part]...\n```json\n[{"question": "Which\\nword?", "dimension": "OCR"}]\n```\nDone.'
    )
    assert parse_questions(text) == [("Which word?", "ocr")]


def test_a_list_with_slips_is_repaired() -> None:
    assert parse_questions('[{"question": "What is it?" "dimension": "material",},]') == [("What is it?", "material")]


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
    assert parse_questions(json.dumps([{"question": "q", "dimension": said}])) == [("q", meant)]


def test_rules_drop_questions_one_by_one() -> None:
    said = ["What is it?", " ", "what is it", "x" * (LONGEST + 1), "Two?", "Three?", "Four?"]
    reply = ok(json.dumps([{"question": text, "dimension": "ocr"} for text in said]))
    rows = read_questions(region_row(1), reply, 3, "")
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
    regions = [region_row(number) for number in replies]
    crops = {region["crop"]: place for place, region in enumerate(regions)}
    rows = write_questions(regions, FakeModel(lambda request, _: replies[crops[request.images[0]]]), MINI, 0)
    assert {row["region_id"] for row in rows} == {region["region_id"] for region in regions}
    assert by_reason(rows) == {
        "ok: ": 1, "rejected: nothing_to_ask": 1, "failed: unparsable": 1,
        "failed: server_error": 1, "failed: truncated": 1,
    }  # fmt: skip
    assert all(row["question"] == "" and row["question_id"] == make_id(row["region_id"], "") for row in rows[1:])


def test_defect_18_a_changed_folder_changes_no_other_regions_rows() -> None:
    regions = [region_row(number) for number in range(4)]
    everything = write_questions(regions, FakeModel(lambda *_: DIGIT), MINI, 0)
    less = write_questions([regions[3], regions[1]], FakeModel(lambda *_: DIGIT), MINI, 0)
    assert sorted(less, key=str) == sorted((row for row in everything if row["region_id"][-1] in "13"), key=str)


def test_defect_20_seeds_follow_from_what_is_asked() -> None:
    model, again = FakeModel(lambda *_: DIGIT), FakeModel(lambda *_: DIGIT)
    write_questions([region_row(1), region_row(2)], model, MINI, 0)
    write_questions([region_row(2), region_row(1)], again, MINI, 0)
    assert sorted(r.seed for r in model.asked) == sorted(r.seed for r in again.asked)
    assert model.asked[0].seed != model.asked[1].seed


def test_defect_21_a_truncated_reply_gives_no_question() -> None:
    rows = read_questions(region_row(1), failed("truncated", DIGIT), 3, "")
    assert by_reason(rows) == {"failed: truncated": 1} and rows[0]["question"] == ""


def test_four_trues_pass() -> None:
    assert parse_verdict(YES) == (True,) * 4


@pytest.mark.parametrize(
    "text",
    [
        "INVALID: Yes", "Yes", "valid", "", "[true, true, true, true]",
        YES.replace("true}", '"true"}'), YES.replace("true}", "1}"), YES[:-30],
        YES.replace('"names_target"', '"target"'),
        f"{YES} Wait, I was wrong: " + '{"answerable_from_crop": false, "one_cl',
    ],
)  # fmt: skip
def test_defect_7_words_are_no_verdict(text: str) -> None:
    with pytest.raises(ReplyError):
        parse_verdict(text)
    assert judge(ok(text))["status"] == "failed"  # neither valid nor invalid


def test_defect_7_the_conclusion_beats_the_first_match() -> None:
    assert parse_verdict(f"A draft: {YES}\nBut there are two red squares.\n{NO}") == (True, True, False, True)
    assert parse_verdict(f"A draft: {NO}\nOn closer look:\n```json\n{YES}\n```") == (True,) * 4


def test_the_first_false_check_is_the_reason() -> None:
    assert judge(ok(NO)) == {
        "checks": [True, True, False, True], "check_key": "key", "status": "rejected", "reason": "same_in_both",
    }  # fmt: skip


def test_defect_1_a_failed_check_is_no_verdict() -> None:
    judged = judge(failed("timeout", YES))
    assert (judged["status"], judged["reason"], judged["checks"]) == ("failed", "check_timeout", None)


def test_the_check_sees_the_original_then_the_crop() -> None:
    rejected = question_row(2) | {"status": "rejected", "reason": "duplicate", "checks": None}
    model = FakeModel(lambda *_: NO)
    rows = check_questions([question_row(1), rejected], {"region-1": b"crop"}, {"image-1": b"full"}, model, MINI, 0)
    assert [request.images for request in model.asked] == [(b"full", b"crop")]  # the rejected one is not asked about
    assert rows[1] == rejected and rows[0]["reason"] == "same_in_both"


@pytest.mark.parametrize("params", [MINI, PAPER], ids=["mini", "paper"])
def test_rows_fit_their_table_in_both_styles(params: Question, tmp_path: Path) -> None:
    model = FakeModel(lambda request, _: YES if len(request.images) == 2 else DIGIT)
    rows = write_questions([region_row(1), region_row(2)], model, params, 0)
    originals = {f"image-{number}": picture(number) for number in (1, 2)}
    rows = check_questions(rows, {f"region-{n}": picture(n) for n in (1, 2)}, originals, model, params, 0)
    write_table(tmp_path / "questions", rows, QUESTIONS)
    assert [row["checks"] for row in read_table(tmp_path / "questions", QUESTIONS, "question")] == [[True] * 4] * 2
    assert all(word in model.asked[-1].prompt for word in (CHECKS if params is PAPER else ("check",)))


def test_metrics_count_regions_without_a_question() -> None:
    rows = [question_row(1), question_row(1, "b?"), question_row(2) | {"status": "failed", "reason": "timeout"}]
    found = summarise(rows)
    assert found["questions_per_region"] == {"0": 1, "2": 1}
    assert found["status"] == {"ok": 2, "failed": 1} and found["by_dimension"] == {"ocr": 2}
