"""A server that runs while tables change, pictures go, and people click twice."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from review.made_decisions import decision
from starlette.testclient import TestClient

from r2i.benchmark.build import Rules
from r2i.benchmark.build_write import build
from r2i.core import paths
from r2i.core.params import load_params
from r2i.core.records import BENCHMARK, IMAGES, VOTES
from r2i.core.tables import Row, read_table, write_table
from r2i.pages.review.app import review_app
from r2i.pages.review.desk import Desk
from r2i.pages.review.forms import token_of
from r2i.pages.review.rows import Items, Questions
from r2i.pages.review.status import status_of
from r2i.review.append import append
from r2i.review.decisions import read_decisions, was_of


@contextmanager
def visiting(desk: Desk, name: str = "ann") -> Iterator[TestClient]:
    with TestClient(review_app(desk), base_url="http://127.0.0.1", headers={"host": "127.0.0.1"}) as client:
        client.post("/name", data={"name": name}, follow_redirects=False)
        yield client


@pytest.fixture
def desk(chain: Path) -> Desk:
    return Desk(Questions("voted", load_params(Path("params.yaml"))), 20, 0)


@pytest.fixture
def items(chain: Path) -> list[Row]:
    """The rows of a benchmark of a small run."""
    _, made = build("trial", load_params(Path("params.yaml")), Rules(unreviewed=True, trained=True))
    shutil.copytree(made / "items", paths.BENCHMARK)
    return read_table(paths.BENCHMARK, BENCHMARK, "benchmark")


def without(subject: str) -> None:
    rows = read_table(paths.VOTES, VOTES, "vote")
    write_table(paths.VOTES, [row for row in rows if row["question_id"] != subject], VOTES)


def test_tables_that_are_made_anew_change_the_rows_and_not_who_has_which(desk: Desk) -> None:
    with visiting(desk) as ann:
        first, second = desk.queue.subjects[:2]
        assert desk.queue.next("bob") == first
        desk.queue.skip("bob", first)
        assert desk.queue.next("bob") == second
        without(first)
        assert ann.get("/").status_code == 200
        assert first not in desk.queue.subjects and desk.queue.next("bob") == second
        assert ann.get("/next").url.path == f"/row/{second}"
        # a table is away while its stage runs, and comes back as it was
        shutil.move(paths.VOTES, "away")
        assert ann.get("/next").status_code == 409
        shutil.move("away", paths.VOTES)
        assert ann.get("/next").status_code == 200 and status_of(desk)["queue"]["rows"] > 0


def test_a_row_whose_picture_is_gone_is_put_off_and_the_others_are_shown(desk: Desk) -> None:
    lost = desk.queue.subjects[0]
    image = desk.subjects.rows([lost])[lost]["image_id"]
    rows = read_table(paths.IMAGES, IMAGES, "sample")
    dropped = {"status": "failed", "reason": "unreadable", "image": None}
    write_table(paths.IMAGES, [row | dropped if row["image_id"] == image else row for row in rows], IMAGES)
    with visiting(desk) as ann:
        seen = [ann.get("/next") for _ in range(3)]
        assert [one.status_code for one in seen] == [409, 200, 200]
        assert seen[0].url.path == f"/row/{lost}" and seen[1].url == seen[2].url
        assert ann.get(seen[1].url.path.replace("row", "picture")).status_code == 200
        assert ann.post(f"/skip/{lost}").status_code == 200


def test_a_row_that_is_gone_can_be_skipped(desk: Desk) -> None:
    gone = desk.queue.subjects[0]
    with visiting(desk) as ann:
        without(gone)
        assert ann.post(f"/skip/{gone}").status_code == 200
        assert ann.get(f"/row/{gone}").status_code == 404


def test_two_clicks_are_one_decision(desk: Desk) -> None:
    with visiting(desk) as ann:
        subject = desk.queue.subjects[0]
        was = desk.was(desk.subjects.rows([subject])[subject])
        form = {"verdict": "accept", "token": token_of(was), "right": "", "answer": was.answer}
        page = ann.get(f"/row/{subject}").text
        marked = [line for line in page.splitlines() if 'name="right"' in line and "checked" in line]
        options = page.count('name="right"')
        assert len(marked) == (options > 0)
        row = desk.subjects.rows([subject])[subject]
        if options:
            form |= {"right": str("ABCDEFGHIJ".index(row["label"]))}
            form |= {f"option{place}": text for place, text in enumerate(row["options"])}

        def click(_: int) -> tuple[int, str]:
            answer = ann.post(f"/row/{subject}", data=form, follow_redirects=False)
            return answer.status_code, answer.text

        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(click, range(4)))
        assert sorted(code for code, _ in answers) == [303, 409, 409, 409]
        again = next(text for code, text in answers if code == 409)
        assert "decided about this row already" in again and 'href="/next"' in again
    assert len(read_decisions(paths.REVIEWED_QUESTIONS).all) == 1


def test_what_is_not_there_is_looked_for_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    find = Questions._find
    monkeypatch.setattr(Questions, "_find", lambda self, ids: (passes.append(ids), find(self, ids))[1])
    for _ in range(3):
        assert desk.subjects.rows(["gone"]) == {}
    assert passes == [{"gone"}]


def test_a_disputed_item_without_a_picture_says_so_and_comes_back(items: list[Row]) -> None:
    about = was_of(items[0], options=True)
    name = items[0]["item_id"]
    for verdict, who in (("accept", "ann"), ("reject", "bob")):
        append(paths.REVIEWED_ITEMS, decision(verdict, who, name, was=about, frame="items"))
    append(paths.REVIEWED_ITEMS, decision("fix", "cat", name, was=about, frame="items", question="else?"))
    views = dict.fromkeys(("image", "crop", "boxed", "crop_made", "phash"))
    dropped = items[0] | views | {"status": "rejected", "reason": "review_disputed"}
    write_table(paths.BENCHMARK, [dropped, *items[1:]], BENCHMARK)
    desk = Desk(Items(), None, 0)
    with visiting(desk) as ann, visiting(desk, "dan") as dan:
        other = desk.queue.next("dan")
        assert name in desk.queue.subjects and other not in (None, name)
        answer = dan.get(f"/row/{name}")
        assert answer.status_code == 409 and "review_disputed" in answer.text and "dvc repro benchmark" in answer.text
        assert "Take mine back" not in dan.get("/").text
        assert f'href="/row/{name}"' not in ann.get("/").text and "Take mine back (accept)" in ann.get("/").text
        mine = read_decisions(paths.REVIEWED_ITEMS).all[0]
        answer = ann.post("/undo", data={"decision": mine.decision_id})
        assert answer.status_code == 200 and answer.url.path == "/"
        write_table(paths.BENCHMARK, items, BENCHMARK)  # two that differ are open: the stage keeps it
        desk.queue.skip("dan", str(other))
        assert desk.queue.next("eve") == name and dan.get(f"/row/{name}").status_code == 200


def test_an_item_whose_dimension_was_fixed_is_shown_and_counted_by_the_one_before(items: list[Row]) -> None:
    before = items[0]["dimension"]
    name = items[0]["item_id"]
    about = was_of(items[0], options=True)
    for who in ("bob", "cat"):
        append(paths.REVIEWED_ITEMS, decision("fix", who, name, was=about, frame="items", dimension="moved"))
    write_table(paths.BENCHMARK, [items[0] | {"dimension": "moved"}, *items[1:]], BENCHMARK)
    desk = Desk(Items(), None, 0)
    assert desk.subjects.strata()[name] == before
    with visiting(desk) as ann:
        page = ann.get(f"/row/{name}").text
    field = next(line for line in page.splitlines() if 'id="dimension"' in line)
    assert f'value="{before}"' in field and "moved" not in field
    assert status_of(desk)["review"]["fixed"] == 1
