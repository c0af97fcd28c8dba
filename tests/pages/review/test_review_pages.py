"""The form of a row, and what the server does with it, without a browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from review.made_decisions import WAS, decision
from starlette.testclient import TestClient
from typer.testing import CliRunner

from r2i.cli.main import app as cli
from r2i.core import paths
from r2i.core.errors import TableError
from r2i.core.params import load_params
from r2i.core.tables import Row
from r2i.pages.review.app import review_app
from r2i.pages.review.desk import Desk
from r2i.pages.review.forms import decide, read_form, shown_of, token_of
from r2i.pages.review.rows import Items, Questions
from r2i.pages.review.status import status_of
from r2i.pages.review.subjects import Subjects
from r2i.review.append import append
from r2i.review.decisions import Was, read_decisions

ROW: Row = {"id": "q1", "dimension": "ocr", "options": ["3", "5", "8"], "label": "B"}
SIZE = (64, 64)


def form_of_row(row: Row = ROW, was: Was = WAS, **typed: str) -> dict[str, str]:
    """What a browser sends when only `typed` was touched."""
    shown = shown_of(row, was)
    sides = dict(zip(("left", "top", "right_side", "bottom"), shown.box, strict=True))
    options = {f"option{place}": text for place, text in enumerate((*shown.options, ""))} if shown.options else {}
    mark = {"right": str(shown.right)} if shown.options else {"answer": shown.answer}
    question = shown.question.replace("\n", "\r\n").replace("\0", "\ufffd")
    return {
        "question": question,
        "dimension": shown.dimension,
        "reason": "",
        "note": "",
        **sides,
        **options,
        **mark,
    } | typed


def changes(row: Row = ROW, was: Was = WAS, **typed: str) -> dict[str, Any] | str:
    draft = read_form(form_of_row(row, was, **typed), shown_of(row, was), was, SIZE)
    return draft.fault or draft.fix.changes


def test_what_nobody_touched_is_no_change_whatever_the_browser_did_to_it() -> None:
    odd = WAS.model_copy(update={"question": "a\nb\0 \u202e 😀  c"})
    assert changes(was=odd) == {} == changes(ROW | {"options": []})


@pytest.mark.parametrize(
    ("typed", "changed"),
    [
        ({"question": "what is it?"}, {"question": "what is it?"}),
        ({"right": "2"}, {"answer": "8", "options": ["3", "5", "8"]}),
        ({"option0": "4"}, {"options": ["4", "5", "8"]}),
        ({"option0": ""}, {"options": ["5", "8"]}),
        ({"option3": "9"}, {"options": ["3", "5", "8", "9"]}),
        ({"option1": "6"}, {"answer": "6", "options": ["3", "6", "8"]}),
        ({"left": "9.4"}, {"box": [9, 8, 24, 24]}),
        ({"dimension": "digits"}, {"dimension": "digits"}),
    ],
)
def test_a_fix_holds_only_what_changed(typed: dict[str, str], changed: dict[str, Any]) -> None:
    assert changes(**typed) == changed


def test_of_an_item_another_mark_leaves_the_options_as_they_are() -> None:
    was = WAS.model_copy(update={"options": ["3", "5", "8"]})
    assert changes(was=was, right="0") == {"answer": "3"}


@pytest.mark.parametrize(
    ("typed", "fault"),
    [
        ({"left": "x"}, "four numbers"), ({"left": "30"}, "must lie on the image"), ({"bottom": "65"}, "must lie on"),
        ({"left": "nan"}, "four numbers"), ({"top": "1e999"}, "four numbers"), ({"question": "x" * 5000}, "question"),
        ({"option0": "y" * 400}, "options"), ({"left": "", "top": "", "right_side": "", "bottom": ""}, "four"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_said(typed: dict[str, str], fault: str) -> None:
    found = changes(**typed)
    assert isinstance(found, str) and fault in found


@pytest.mark.parametrize(
    ("typed", "verdict", "fault"),
    [
        ({"question": "else?"}, "accept", "you changed question"), ({}, "fix", "nothing was changed"),
        ({}, "reject", "say why"), ({"reason": "other"}, "reject", "say in the note"),
        ({"option0": "5."}, "fix", "different texts"), ({"right": ""}, "fix", "mark the option"),
    ],
)  # fmt: skip
def test_a_verdict_that_does_not_fit_the_fields_is_not_kept(typed: dict, verdict: str, fault: str) -> None:
    form = form_of_row(**typed) | {"verdict": verdict}
    made = decide(form, read_form(form, shown_of(ROW, WAS), WAS, SIZE), ROW, WAS, "ann", "voted")
    assert isinstance(made, str) and fault in made


def test_the_mark_is_at_the_labels_option_where_two_differ_in_case_alone() -> None:
    was = WAS.model_copy(update={"answer": "cat"})
    row = ROW | {"options": ["Cat", "cat", "dog"]}
    assert shown_of(row, was).right == 1
    assert shown_of(row | {"label": "C"}, was).right == 0  # of another run: the first that is the answer


@pytest.fixture
def desk(chain: Path) -> Desk:
    return Desk(Questions("voted", load_params(Path("params.yaml"))), 20, 0)


@pytest.fixture
def ann(desk: Desk) -> Iterator[TestClient]:
    with TestClient(review_app(desk), base_url="http://127.0.0.1", headers={"host": "127.0.0.1"}) as client:
        assert client.post("/name", data={"name": " ann  b "}).status_code == 200
        yield client


def first(desk: Desk) -> tuple[Row, Was]:
    row = desk.subjects.rows([desk.queue.subjects[0]])[desk.queue.subjects[0]]
    return row, desk.was(row)


def test_a_row_that_changed_while_somebody_looked_is_not_decided(ann: TestClient, desk: Desk) -> None:
    row, was = first(desk)
    form = form_of_row(row, was) | {"verdict": "accept", "token": "another"}
    answer = ann.post(f"/row/{row['id']}", data=form)
    assert answer.status_code == 409 and "has changed" in answer.text
    assert not paths.REVIEWED_QUESTIONS.exists()
    answer = ann.post(f"/row/{row['id']}", data=form | {"token": token_of(was)})
    assert answer.status_code == 200 and "Saved: accept" in answer.text
    assert [one.reviewer for one in read_decisions(paths.REVIEWED_QUESTIONS).all] == ["ann b"]


def test_nobody_decides_without_a_name_or_undoes_what_another_decided(ann: TestClient, desk: Desk) -> None:
    row, was = first(desk)
    theirs = decision(reviewer="bob", subject=row["id"], was=was)
    append(paths.REVIEWED_QUESTIONS, theirs)
    assert ann.post("/undo", data={"decision": theirs.decision_id}).status_code == 409
    ann.cookies.clear()
    form = form_of_row(row, was) | {"verdict": "accept", "token": token_of(was)}
    assert ann.post(f"/row/{row['id']}", data=form).status_code == 400
    assert len(read_decisions(paths.REVIEWED_QUESTIONS).all) == 1
    assert "Who are you" in ann.get("/next").text
    assert ann.post("/name", data={"name": "\u202e\n"}).status_code == 400


def test_others_are_not_seen_before_one_has_decided(ann: TestClient, desk: Desk) -> None:
    row, was = first(desk)
    append(paths.REVIEWED_QUESTIONS, decision("reject", "bob", row["id"], was=was, note="blurred beyond reading"))
    assert "blurred beyond reading" not in ann.get(f"/row/{row['id']}").text
    ann.post(f"/row/{row['id']}", data=form_of_row(row, was) | {"verdict": "accept", "token": token_of(was)})
    assert "blurred beyond reading" in ann.get(f"/row/{row['id']}").text


@pytest.mark.parametrize(
    "path", ["/row/none", "/picture/none", "/row/..%2f..%2fparams.yaml", "/static/..%2fapp.py", "/x"]
)
def test_what_is_not_there_is_not_found_and_no_path_reaches_the_disk(ann: TestClient, path: str) -> None:
    assert ann.get(path).status_code == 404


def test_another_sites_form_is_refused(ann: TestClient, desk: Desk) -> None:
    row, was = first(desk)
    form = form_of_row(row, was) | {"verdict": "accept", "token": token_of(was)}
    answer = ann.post(f"/row/{row['id']}", data=form, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403 and not paths.REVIEWED_QUESTIONS.exists()


def test_the_picture_is_the_image_as_it_is_stored(ann: TestClient, desk: Desk) -> None:
    row, _ = first(desk)
    answer = ann.get(f"/picture/{row['id']}")
    assert answer.headers["content-type"] == "image/jpeg" and answer.content == desk.subjects.picture(row["id"])
    assert desk.subjects.size(row["id"]) == (128, 128)


def test_a_server_that_two_share_hears_of_the_others_decisions(desk: Desk) -> None:
    other = Desk(desk.subjects, desk.count, desk.seed)
    row, was = first(desk)
    for name in ("ann", "bob"):
        other.log.add(decision(reviewer=name, subject=row["id"], was=was))
    assert desk.queue.next("cat") != row["id"]
    assert status_of(desk)["queue"]["closed"] == 1
    assert status_of(desk)["review"]["accepted"] == 1


def test_the_frames_are_the_train_rows_the_others_and_all(chain: Path) -> None:
    from r2i.core.records import TRAIN
    from r2i.core.tables import read_table, write_table

    rows = read_table(paths.TRAIN, TRAIN, "overlay")
    gone = {"status": "rejected", "image": None}
    rows[0] |= gone | {"reason": "too_easy"}
    rows[1] |= gone | {"reason": "review_rejected"}  # had people not dropped it, it were a train row
    write_table(paths.TRAIN, rows, TRAIN)
    append(paths.REVIEWED_QUESTIONS, decision("reject", subject=rows[1]["question_id"], frame="trained"))
    params = load_params(Path("params.yaml"))
    frames: dict[str, set[str]] = {
        frame: set(Questions(frame, params).strata())
        for frame in ("trained", "untrained", "voted")  # type: ignore[arg-type]
    }
    assert frames["untrained"] == {rows[0]["question_id"]}
    assert frames["trained"] | frames["untrained"] == frames["voted"] == {row["question_id"] for row in rows}


@pytest.mark.parametrize("subjects", [Items], ids=["items"])
def test_a_table_that_is_missing_names_the_stage_that_makes_it(chain: Path, subjects: type[Subjects]) -> None:
    with pytest.raises(TableError) as caught:
        review_app(Desk(subjects(), 20, 0))
    assert "dvc repro benchmark" in caught.value.remedy


def test_status_and_check_say_what_is_there(chain: Path) -> None:
    runner = CliRunner()
    found = runner.invoke(cli, ["review", "status", "--of", "voted"])
    assert found.exit_code == 0 and "0 of " in found.output and "not known yet" in found.output
    assert runner.invoke(cli, ["review", "check"]).exit_code == 0
    append(paths.REVIEWED_QUESTIONS, decision())
    with paths.REVIEWED_QUESTIONS.open("ab") as file:
        file.write(b"half")
    checked = runner.invoke(cli, ["review", "check"])
    assert checked.exit_code == 1 and "line 2" in checked.output and "half a one" in checked.output
    as_json = runner.invoke(cli, ["review", "status", "--of", "voted", "--json"])
    assert '"torn": true' in as_json.output and '"stale": 1' in as_json.output
