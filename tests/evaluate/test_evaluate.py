"""Every question in every view: what is asked, and what becomes of each reply."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_run import make_run, run_stage, write_params
from teacher_fakes import FakeModel, connecting, failed, ok, sent

import r2i.endpoint
from r2i.core import paths
from r2i.core.errors import EndpointError
from r2i.core.params import Cut, Evaluate
from r2i.core.records import ATTENTION, PREDICTIONS
from r2i.core.tables import read_table, write_table
from r2i.endpoint.base import Picture, Reply, Request
from r2i.endpoint.ledger import Ledger
from r2i.evaluate.plan import plan, request_of
from r2i.evaluate.predict import predict
from r2i.evaluate.summary import summarise
from r2i.evaluate.views import Shelf, prompt_of

CFG = Evaluate(prompts="mini", samples=3, max_tokens=8)
RIGHT = "3 <answer>C</answer>"
ITEM = {
    "item_id": "i0", "image_id": "m0", "cluster_id": "q0", "source": "made", "image": b"full", "crop": b"crop",
    "boxed": b"boxed", "box": [0, 0, 4, 4], "question": "what digit is on the red square?",
    "options": ["1", "2", "3", "4"], "answer": "3", "label": "C", "dimension": "ocr", "status": "ok", "reason": "",
}  # fmt: skip


def says(text: str | Reply) -> FakeModel:
    return FakeModel(lambda request, sample: text)


def ask_all(text: str | Reply, folder: Path, cfg: Evaluate = CFG, **item: Any) -> list[dict[str, Any]]:
    return predict(says(text), [ITEM | item], cfg, Cut(), 0, scratch=folder)


def one(reply: str | Reply, folder: Path, **item: Any) -> dict[str, Any]:
    """The row of `reply`, greedy in the full view; the crop view answers rightly."""
    model = FakeModel(lambda request, _: reply if request.images[0].name == FULL_NAME else RIGHT)
    cfg = CFG.model_copy(update={"views": ["full", "crop"], "samples": 0})
    return next(row for row in predict(model, [ITEM | item], cfg, Cut(), 0, scratch=folder) if row["view"] == "full")


FULL_NAME = Picture.of(b"full").name


def test_each_view_is_asked_greedily_and_the_sampled_views_again_with_their_temperature(tmp_path: Path) -> None:
    cfg = CFG.model_copy(update={"sampled_views": ["full", "crop"], "temperature": 0.7})
    with Shelf(tmp_path) as shelf:
        asks = plan(shelf.put(ITEM), cfg, seed=0)
        requests = [request_of(ask) for ask in asks]
        assert [(a.view, sent(r), r.sampling.temperature, r.n) for a, r in zip(asks, requests, strict=True)] == [
            ("full", (b"full",), 0.0, 1),
            ("crop", (b"crop",), 0.0, 1),
            ("boxed", (b"boxed",), 0.0, 1),
            ("full", (b"full",), 0.7, 3),
            ("crop", (b"crop",), 0.7, 3),
        ]
    assert len({request.seed for request in requests}) == 5
    assert len({request.key("m") for request in requests}) == 5


def test_all_views_of_mini_share_one_prompt_and_a_boxed_sentence_is_added_where_a_style_has_one() -> None:
    assert prompt_of(ITEM, "boxed", "mini") == prompt_of(ITEM, "full", "mini")
    full, boxed = prompt_of(ITEM, "full", "paper"), prompt_of(ITEM, "boxed", "paper")
    assert boxed.startswith(full) and "red box" in boxed.removeprefix(full)


def test_an_open_question_gets_the_teachers_prompt() -> None:
    text = prompt_of({**ITEM, "options": [], "label": ""}, "full", "mini")
    assert ITEM["question"] in text and "A." not in text


def test_a_right_and_a_wrong_letter(tmp_path: Path) -> None:
    right = one(RIGHT, tmp_path)
    assert (right["correct"], right["predicted"], right["rule"]) == (True, "C", "letter")
    assert one("<answer>A</answer>", tmp_path)["correct"] is False


def test_an_open_question_is_scored_by_its_text(tmp_path: Path) -> None:
    assert one("<answer>three</answer>", tmp_path, options=[], label="", answer="3")["correct"] is True


def test_a_reply_that_nobody_can_read_is_unscored_which_is_not_failed(tmp_path: Path) -> None:
    row = one("well, there are many things in it", tmp_path)
    assert (row["status"], row["rule"], row["correct"]) == ("ok", "none", None)


def test_a_reply_that_was_cut_did_come_and_is_scored_by_what_it_says(tmp_path: Path) -> None:
    cut = one(failed("truncated", "the left thing and then the"), tmp_path)
    assert (cut["status"], cut["correct"], cut["reason"], cut["reply"]) == (
        "ok",
        None,
        "",
        "the left thing and then the",
    )
    assert one(failed("truncated", RIGHT), tmp_path)["correct"] is True
    assert one(failed("empty"), tmp_path)["status"] == "ok"


@pytest.mark.parametrize("reason", ["timeout", "refused", "bad_request", "server_error"])
# defect 1 of the reference
def test_a_failed_call_is_neither_right_nor_wrong(tmp_path: Path, reason: str) -> None:
    row = one(failed(reason, RIGHT), tmp_path)
    assert (row["status"], row["correct"], row["reason"], row["reply"]) == ("failed", None, reason, "")
    assert row["vision_forwards"] is None and row["reply_key"] == "key"


def test_when_every_call_fails_there_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(EndpointError, match=r"no reply at all: .*server_error"):
        ask_all(failed("server_error"), tmp_path)


def test_items_that_are_not_ok_are_not_asked(tmp_path: Path) -> None:
    lost = {**ITEM, "item_id": "i1", "status": "failed", "image": None, "crop": None, "boxed": None}
    rows = predict(says(RIGHT), [ITEM, lost], CFG, Cut(), 0, scratch=tmp_path)
    assert {row["item_id"] for row in rows} == {"i0"}
    assert sorted(row["sample"] for row in rows) == [0, 0, 0, 1, 2, 3]


def test_an_item_without_a_view_has_rejected_rows_there_and_costs_no_call(tmp_path: Path) -> None:
    ledger = Ledger()
    cfg = CFG.model_copy(update={"sampled_views": ["crop"]})
    bare = {**ITEM, "box": None, "crop": None, "boxed": None}
    rows = predict(says(RIGHT), [bare], cfg, Cut(), 0, ledger, scratch=tmp_path)
    states = [(row["view"], row["sample"], row["status"], row["reason"]) for row in rows]
    assert states == [
        ("full", 0, "ok", ""), ("crop", 0, "rejected", "no_crop"), ("boxed", 0, "rejected", "no_boxed"),
        ("crop", 1, "rejected", "no_crop"), ("crop", 2, "rejected", "no_crop"), ("crop", 3, "rejected", "no_crop"),
    ]  # fmt: skip
    assert ledger.metrics()["fake"]["requests"] == 1
    assert "crop" not in summarise(rows)["accuracy"]


def test_a_row_names_its_draw_and_holds_all_that_scores_it_again(tmp_path: Path) -> None:
    rows = ask_all(RIGHT, tmp_path)
    draws = [(json.loads(row["sampling"])["seed"], row["reply_key"].split("/")[-1]) for row in rows if row["sample"]]
    assert len({seed for seed, _ in draws}) == 1 and [number for _, number in draws] == ["0", "1", "2"]
    write_table(tmp_path / "table", rows, PREDICTIONS)
    from r2i.grading.flexible import grade_flexibly

    for row in read_table(tmp_path / "table", PREDICTIONS, "evaluate"):
        verdict = grade_flexibly(row["reply"], row)
        assert (verdict.rule, verdict.correct, verdict.predicted) == (row["rule"], row["correct"], row["predicted"])
        assert (row["cluster_id"], row["source"], row["question"]) == ("q0", "made", ITEM["question"])


def test_the_prompt_of_several_samples_is_counted_once_and_untold_tokens_are_null(tmp_path: Path) -> None:
    def script(request: Request, sample: int) -> Reply:
        return Reply(RIGHT, "ok", "", "key", "fake", 0 if sample else 70, 5)

    rows = predict(FakeModel(script), [ITEM], CFG, Cut(), 0, scratch=tmp_path)
    assert [row["tokens_in"] for row in rows] == [70, 70, 70, 70, 0, 0]
    assert {row["tokens_out"] for row in rows} == {5}
    assert {row["tokens_in"] for row in ask_all(ok(RIGHT), tmp_path)} == {None}


def test_the_headline_counts_unscored_as_wrong_and_failed_nowhere_and_says_how_many_they_are() -> None:
    shared = {"view": "full", "sample": 0, "zoom_box": None, "tokens_in": 10, "tokens_out": 2, "vision_forwards": 1}
    rows = [
        shared | {"status": "ok", "reason": "", "rule": "letter", "correct": True},
        shared | {"status": "ok", "reason": "", "rule": "letter", "correct": False},
        shared | {"status": "ok", "reason": "", "rule": "none", "correct": None},
        shared | {"status": "failed", "reason": "timeout", "rule": "none", "correct": None, "tokens_in": None},
        shared | {"status": "failed", "reason": "timeout", "view": "blind", "rule": "none", "correct": None},
        shared | {"status": "rejected", "reason": "no_crop", "view": "crop", "rule": "none", "correct": None},
    ]
    found = summarise(rows)
    assert found["accuracy"] == {"full": 1 / 3, "blind": None}
    assert found["view"]["full"] == {
        "asked": 4, "failed": 1, "unscored": 1, "rule": {"letter": 2, "none": 1},
        "tokens_in": 30, "tokens_out": 6, "vision_forwards": 3,
    }  # fmt: skip
    assert found["reason"] == {"failed: timeout": 2, "rejected: no_crop": 1}
    assert (found["unscored"], found["zoom"]) == (1, None)


def test_equal_pictures_lie_on_the_shelf_once_and_the_shelf_leaves_nothing(tmp_path: Path) -> None:
    with Shelf(tmp_path / "scratch") as shelf:
        first, again = shelf.put(ITEM), shelf.put({**ITEM, "item_id": "i1"})
        assert first["image"] is again["image"]
        assert shelf.end == len(b"full" + b"crop" + b"boxed")
        assert first["boxed"].load() == b"boxed"
    assert not list((tmp_path / "scratch").iterdir())


def set_evaluate(folder: Path, **values: Any) -> None:
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["profiles"]["smoke"]["evaluate"] |= values
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def evaluate(folder: Path, monkeypatch: pytest.MonkeyPatch, model: Any) -> dict[str, Any]:
    monkeypatch.setattr(r2i.endpoint, "connect", connecting(model))
    monkeypatch.setattr("r2i.evaluate.looks.connect", connecting(model))
    run_stage(monkeypatch, "evaluate", "--model", "base")
    return json.loads((folder / "metrics/evaluate-base.json").read_text())


def test_the_stage_writes_predictions_and_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(2)
    write_params(tmp_path)
    found = evaluate(tmp_path, monkeypatch, says("<answer>A</answer>"))
    rows = read_table(paths.PREDICTIONS / "base", PREDICTIONS, "evaluate")
    items = len({row["item_id"] for row in rows})
    assert len(rows) == items * 6 == found["rows"]  # four views and, in smoke, two samples
    share = sum(r["correct"] for r in rows if r["view"] == "crop" and r["sample"] == 0) / items
    assert found["accuracy"]["crop"] == pytest.approx(share, abs=1e-6)
    assert found["rule"] == {"letter": len(rows)}
    assert found["calls"]["fake"]["samples"] == len(rows) + items  # zoom takes two
    assert found["attention"] is None and read_table(paths.ATTENTION / "base", ATTENTION, "evaluate", None, True) == []


def test_the_stage_asks_the_judge_about_what_no_rule_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(1)
    write_params(tmp_path)
    judge = {"endpoint": {"kind": "local", "model": "models/judge"}, "max_calls": 100}
    set_evaluate(tmp_path, judge=judge)

    def script(request: Request, _: int) -> str:
        return "somewhere in it, perhaps" if request.images else '{"correct": true}'

    found = evaluate(tmp_path, monkeypatch, FakeModel(script))
    rows = read_table(paths.PREDICTIONS / "base", PREDICTIONS, "evaluate")
    assert {(row["rule"], row["correct"]) for row in rows} == {("judge", True)}
    assert all(row["verdict"]["model"] == "fake" for row in rows)
    assert found["judge"]["judged"] == len(rows) and found["unscored"] == 0


def test_memory_holds_no_pictures_while_calls_wait(tmp_path: Path) -> None:
    import tracemalloc

    size, count = 2**20, 48  # 1 MB a picture, three pictures an item: 144 MB in all

    def items() -> Iterator[dict[str, Any]]:
        for number in range(count):
            views = {
                view: bytes([number, place]) * (size // 2) for place, view in enumerate(("image", "crop", "boxed"))
            }
            yield {**ITEM, "item_id": f"i{number}", **views}

    tracemalloc.start()
    rows = predict(says(RIGHT), items(), CFG, Cut(), 0, scratch=tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(rows) == count * 6
    assert peak < 16 * size


def test_the_checkpoint_in_process_tells_its_tokens_and_the_order_of_items_is_no_part_of_a_reply(
    tmp_path: Path,
) -> None:
    from r2i.benchmark.rendered import render_items
    from r2i.core.params import Drawing, Zoom
    from r2i.endpoint.local import LocalModel

    items = render_items(4, Drawing(cut=Cut(square=True)), seed=1)
    cfg = Evaluate(prompts="mini", views=["full", "zoom"], samples=2, sampled_views=["zoom"], max_tokens=8,
                   zoom=Zoom(box="oracle", max_tokens=8))  # fmt: skip
    model = LocalModel(Path(__file__).parents[2] / "models" / "mini", 8)
    rows = predict(model, items, cfg, Cut(), 0, scratch=tmp_path)
    cost = {(row["view"], row["sample"]): (row["tokens_in"], row["tokens_out"], row["vision_forwards"]) for row in rows}
    # 16 image tokens, and those of the chat template and the question; the second step has as many again
    assert 30 < cost["full", 0][0] < 60 < cost["zoom", 0][0] < 120
    assert cost["full", 0][2] == 1 and cost["zoom", 0][2] == 2
    backwards = predict(model, items[::-1], cfg, Cut(), 0, scratch=tmp_path)
    assert sorted(rows, key=_id) == sorted(backwards, key=_id)


def _id(row: dict[str, Any]) -> str:
    return row["prediction_id"]
