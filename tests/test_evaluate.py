"""Every question in every view: what is asked, and what becomes of each reply."""

import json
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from made_run import make_run, write_params
from teacher_fakes import connecting, sent

import r2i.endpoint
from r2i import paths
from r2i.endpoint.base import Reply, Request
from r2i.errors import EndpointError, TableError
from r2i.evaluate.predict import find_model, plan, predict, prompt_of, read_replies, summarise
from r2i.params import Evaluate
from r2i.records import PREDICTIONS
from r2i.tables import read_table

STAGE = Path(__file__).parents[1] / "stages" / "evaluate.py"
CFG = Evaluate(prompts="mini", samples=3, max_tokens=8)
ITEM = {
    "item_id": "i0", "image_id": "m0", "image": b"full", "crop": b"crop", "boxed": b"boxed",
    "question": "what digit is on the red square?", "options": ["1", "2", "3", "4"], "answer": "3", "label": "C",
    "dimension": "ocr", "status": "ok", "reason": "",
}  # fmt: skip


class Says:
    """A model that always says the same; it keeps what it was asked."""

    name = "fake"

    def __init__(self, text: str, status: str = "ok", reason: str = "") -> None:
        self.text, self.status, self.reason = text, status, reason
        self.asked: list[Request] = []

    def complete(self, requests: Sequence[Request]) -> list[list[Reply]]:
        self.asked += requests
        return [[Reply(self.text, self.status, self.reason, "key", "fake")] * request.n for request in requests]


def test_each_view_is_asked_greedily_and_the_full_view_again_at_temperature_1() -> None:
    asks = plan(ITEM, CFG, seed=0)
    assert [(a.view, sent(a.request), a.request.sampling.temperature, a.request.n) for a in asks] == [
        ("full", (b"full",), 0.0, 1),
        ("crop", (b"crop",), 0.0, 1),
        ("boxed", (b"boxed",), 0.0, 1),
        ("full", (b"full",), 1.0, 3),
    ]
    assert len({a.request.seed for a in asks}) == 4


def test_all_views_of_mini_share_one_prompt_and_a_boxed_sentence_is_added_where_a_style_has_one() -> None:
    assert prompt_of(ITEM, "boxed", "mini") == prompt_of(ITEM, "full", "mini")
    if (Path(r2i.__path__[0]) / "mcq/prompts/paper/choose.txt").is_file():
        full, boxed = prompt_of(ITEM, "full", "paper"), prompt_of(ITEM, "boxed", "paper")
        assert boxed.startswith(full) and "red box" in boxed.removeprefix(full)


def test_an_open_question_gets_the_teachers_prompt() -> None:
    text = prompt_of({**ITEM, "options": [], "label": ""}, "full", "mini")
    assert ITEM["question"] in text and "A." not in text


def _one(reply: Reply, item: dict = ITEM) -> dict:
    return read_replies(plan(item, CFG, 0)[0], [reply])[0]


def test_a_right_and_a_wrong_letter() -> None:
    right = _one(Reply("3 <answer>C</answer>", "ok", "", "", ""))
    assert (right["correct"], right["predicted"], right["rule"]) == (True, "C", "letter")
    assert _one(Reply("<answer>A</answer>", "ok", "", "", ""))["correct"] is False


def test_an_open_question_is_graded_by_its_text() -> None:
    item = {**ITEM, "options": [], "label": "", "answer": "3"}
    assert _one(Reply("<answer>three</answer>", "ok", "", "", ""), item)["correct"] is True


@pytest.mark.parametrize("reason", ["truncated", "empty"])
def test_a_reply_without_a_finished_answer_is_wrong_and_not_failed(reason: str) -> None:
    row = _one(Reply("<answer>C</answer>", "failed", reason, "", ""))
    assert (row["status"], row["correct"], row["rule"], row["reason"]) == ("ok", False, "none", "")


def test_defect_1_a_failed_call_is_neither_right_nor_wrong() -> None:
    row = _one(Reply("", "failed", "timeout", "", ""))
    assert (row["status"], row["correct"], row["reason"]) == ("failed", None, "timeout")
    assert summarise([row, _one(Reply("<answer>C</answer>", "ok", "", "", ""))])["accuracy"] == {"full": 1.0}


def test_when_every_call_fails_there_is_no_table() -> None:
    with pytest.raises(TableError, match="server_error"):
        predict(Says("", "failed", "server_error"), [ITEM], CFG, 0)


def test_items_that_are_not_ok_are_not_asked() -> None:
    model = Says("<answer>C</answer>")
    rows = predict(model, [ITEM, {**ITEM, "item_id": "i1", "status": "failed"}], CFG, 0)
    assert {row["item_id"] for row in rows} == {"i0"}
    assert sorted(row["sample"] for row in rows) == [0, 0, 0, 1, 2, 3]


def test_a_trained_model_that_is_missing_names_its_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_model("base", "some/hub-id") == "some/hub-id"
    with pytest.raises(EndpointError) as missing:
        find_model("distilled", "models/mini")
    assert missing.value.remedy == "run `dvc repro train@dapo`"


def test_the_stage_writes_predictions_and_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(2)
    write_params(tmp_path)
    model = Says("<answer>A</answer>")
    monkeypatch.setattr(r2i.endpoint, "connect", connecting(model))
    monkeypatch.setattr(sys, "argv", [str(STAGE), "--model", "base"])
    with pytest.raises(SystemExit) as done:
        runpy.run_path(str(STAGE), run_name="__main__")
    assert not done.value.code
    rows = read_table(paths.PREDICTIONS / "base", PREDICTIONS, "evaluate")
    found = json.loads(Path("metrics/evaluate-base.json").read_text())
    items = len({row["item_id"] for row in rows})
    assert len(rows) == items * 5 == found["rows"]  # three views and, in smoke, two samples
    share = sum(r["correct"] for r in rows if r["view"] == "crop") / items
    assert found["accuracy"]["crop"] == pytest.approx(share, abs=1e-6)
    assert found["rule"] == {"letter": len(rows)}
    assert found["calls"]["fake"]["samples"] == len(rows)
