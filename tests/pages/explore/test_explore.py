"""The explorer against rows that were counted and filtered in plain Python."""

import csv
import io
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from pages.made_explored import HOSTILE
from starlette.testclient import TestClient

from r2i.core import paths
from r2i.core.catalogue import ANSWERS, IMAGES, QUESTIONS, REGIONS, TRAIN, VOTES
from r2i.core.errors import TableError
from r2i.core.tables import Row, read_table, write_table
from r2i.pages.explore.app import explorer
from r2i.pages.explore.choice import Choice
from r2i.pages.explore.export import export
from r2i.pages.explore.relatives import QuickReader
from r2i.pages.explore.sheets import ROLES, SHEETS
from r2i.tools.lineage.text import story_text
from r2i.tools.lineage.walk import trace


@pytest.fixture
def run(made_explored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that a test may change, as the current directory."""
    shutil.copytree(made_explored, tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def client(run: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """All that comes in batches comes in several."""
    monkeypatch.setattr("r2i.pages.explore.database.BATCH", 7)
    monkeypatch.setattr("r2i.pages.explore.export.BATCH", 5)
    with TestClient(explorer(), base_url="http://127.0.0.1:8710", follow_redirects=True) as found:
        yield found


def rows_of(slug: str) -> list[Row]:
    table = SHEETS[slug].table
    return read_table(table.folder, table.schema, table.stage, table.light)


def shown_count(html: str) -> int:
    found = re.search(r'id="count"[^>]*>([\d,]+)', html)
    assert found, html
    return int(found[1].replace(",", ""))


def shown_ids(client: TestClient, address: str) -> list[str]:
    """Ids on all pages."""
    found: list[str] = []
    while address:
        html = client.get(address).text
        found += [
            unescape(text) for text in re.findall(r'<th scope="row"><a class="id" href="[^"]*[?&;]id=([^"&]+)', html)
        ]
        following = re.search(r'rel="next" href="([^"]+)"', html)
        address = unescape(following[1]) if following else ""
    return found


def exported(client: TestClient, query: str) -> list[Row]:
    return [json.loads(line) for line in client.get(f"/export/answers?as=jsonl&{query}").text.splitlines()]


def test_every_table_is_shown_whole(client: TestClient) -> None:
    for table in (IMAGES, REGIONS, QUESTIONS, ANSWERS, VOTES, TRAIN):
        slug = next(slug for slug, sheet in SHEETS.items() if sheet.table is table)
        assert sorted(shown_ids(client, f"/t/{slug}")) == [row[table.key] for row in rows_of(slug)]


@pytest.mark.parametrize(
    "query", ["status=ok", "status=failed", "teacher=teacher-a&status=ok", "teacher=teacher-a&teacher=teacher-b"]
)
def test_filters_show_what_python_finds(client: TestClient, query: str) -> None:
    wanted: dict[str, list[str]] = {}
    for part in query.split("&"):
        wanted.setdefault(part.split("=")[0], []).append(part.split("=")[1])
    expected = [row["answer_id"] for row in rows_of("answers") if all(row[k] in values for k, values in wanted.items())]
    assert sorted(shown_ids(client, f"/t/answers?{query}")) == expected
    assert sorted(row["answer_id"] for row in exported(client, query)) == expected


def test_answers_are_filtered_by_their_votes_and_their_questions(client: TestClient) -> None:
    """Agreement stands in votes, the dimension in questions: answers know neither."""
    votes = rows_of("votes")
    write_table(VOTES.folder, [row | {"agree": 7 if n % 3 else 5} for n, row in enumerate(votes)], VOTES.schema)
    few = {row["question_id"] for n, row in enumerate(votes) if n % 3 == 0 and row["dimension"] == "color"}
    expected = [row["answer_id"] for row in rows_of("answers") if row["question_id"] in few]
    assert expected
    assert sorted(shown_ids(client, "/t/answers?agreement=5+of+8&dimension=color")) == expected


def test_facets_count_what_choosing_them_would_show(client: TestClient) -> None:
    html = client.get("/t/answers?status=ok").text
    counts = Counter(row["teacher"] for row in rows_of("answers") if row["status"] == "ok")
    for teacher, count in counts.items():
        link = re.search(rf'href="([^"]+)"><span><bdi[^>]*>{teacher}</bdi></span> <span class="soft">([\d,]+)<', html)
        assert link and int(link[2]) == count
        assert shown_count(client.get(unescape(link[1])).text) == count


def test_alternatives_to_a_chosen_value_keep_their_counts(client: TestClient) -> None:
    html = client.get("/t/answers?teacher=teacher-a").text
    count = sum(row["teacher"] == "teacher-b" for row in rows_of("answers"))
    assert re.search(rf'>teacher-b</bdi></span> <span class="soft">{count}<', html)


def test_rows_are_sorted_and_keep_their_order_where_equal(client: TestClient) -> None:
    by_id = {row["answer_id"]: row["sample"] for row in rows_of("answers")}
    stored = shown_ids(client, "/t/answers")
    up, down = shown_ids(client, "/t/answers?sort=sample"), shown_ids(client, "/t/answers?sort=sample&down=1")
    assert up == sorted(stored, key=lambda name: by_id[name])
    assert down == sorted(stored, key=lambda name: -by_id[name])


def test_text_is_found_in_answers_and_questions_and_in_replies_when_asked(client: TestClient) -> None:
    questions = {row["question_id"]: row["question"] for row in rows_of("questions")}
    rows = rows_of("answers")
    word = questions[rows[5]["question_id"]].split()[-1].upper().rstrip("?")
    low = word.lower()
    expected = [
        row["answer_id"] for row in rows if low in questions[row["question_id"]].lower() or low in row["answer"].lower()
    ]
    assert 0 < len(expected) < len(rows)
    assert sorted(shown_ids(client, f"/t/answers?text={word}")) == expected
    assert shown_ids(client, "/t/answers?text=the+end") == []
    assert shown_ids(client, "/t/answers?text=the+end&long=1") == [rows[0]["answer_id"]]


@pytest.mark.parametrize("text", ["%25", "_", "' OR 1=1 --", '"; DROP TABLE t', "\\", ".*", "(", "\0", "é", "🙂"])
def test_a_search_is_a_text_and_nothing_else(client: TestClient, text: str) -> None:
    for long in (False, True):
        answer = client.get(
            "/t/questions" if not long else "/t/answers", params={"text": text} | ({"long": "1"} if long else {})
        )
        assert answer.status_code == 200
        held = [row["question"] for row in rows_of("questions")]
        if not long:
            assert shown_count(answer.text) == sum(text.strip().lower() in question for question in held)


def test_texts_too_large_for_memory_are_searched_in_the_files(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = shown_ids(client, "/t/answers?text=r")
    monkeypatch.setattr("r2i.pages.explore.build.LARGEST", 1)
    other = TestClient(explorer(), base_url="http://127.0.0.1:8710")
    index = other.app.state.tables.index("answers")  # type: ignore[attr-defined]
    assert "answer" not in index.texts
    assert "question" not in index.texts
    assert shown_ids(other, "/t/answers?text=r") == kept
    word = rows_of("questions")[3]["question"].upper().rstrip("?").split()[-1]
    found = shown_ids(client, f"/t/answers?text={word}")
    assert found and shown_ids(other, f"/t/answers?text={word}") == found


def test_without_questions_their_texts_are_searched_where_the_page_shows_them_from(client: TestClient) -> None:
    asked = {row["question_id"]: row["question"].lower() for row in rows_of("votes")}
    word = next(iter(asked.values())).rstrip("?").split()[-1]
    expected = [
        row["answer_id"]
        for row in rows_of("answers")
        if word in asked[row["question_id"]] or word in row["answer"].lower()
    ]
    assert any(word not in row["answer"].lower() for row in rows_of("answers") if row["answer_id"] in set(expected))
    shutil.rmtree(paths.QUESTIONS)
    assert sorted(shown_ids(client, f"/t/answers?text={word}")) == expected
    shutil.rmtree(paths.VOTES)
    assert set(shown_ids(client, f"/t/answers?text={word}")) < set(expected)


def test_questions_that_are_asked_again_and_again_are_held_once(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = read_table(QUESTIONS.folder, QUESTIONS.schema, "question")
    text = "what is it?" * 10
    write_table(QUESTIONS.folder, [row | {"question": text} for row in rows], QUESTIONS.schema)
    monkeypatch.setattr("r2i.pages.explore.build.LARGEST", 400)
    index = client.app.state.tables.index("answers")  # type: ignore[attr-defined]
    assert len(rows) * len(text) > 400 and "question" in index.texts
    assert shown_count(client.get("/t/answers?text=what+is+it").text) == len(rows_of("answers"))


def test_ids_lead_from_a_row_to_all_that_belongs_to_it(client: TestClient) -> None:
    """image -> regions -> questions -> answers, vote, train rows, and back."""
    image = rows_of("images")[0]["image_id"]
    region = next(row for row in rows_of("regions") if row["image_id"] == image)
    question = next(row for row in rows_of("questions") if row["region_id"] == region["region_id"])
    name = question["question_id"]
    answers = [row["answer_id"] for row in rows_of("answers") if row["question_id"] == name]
    trained = [row["row_id"] for row in rows_of("train") if row["question_id"] == name]
    up = [f"/row/images?id={image}", f"/row/regions?id={region['region_id']}"]
    down = [
        f"/row/votes?id={name}",
        *(f"/row/answers?id={of}" for of in answers),
        *(f"/row/train?id={of}" for of in trained),
    ]
    assert len(answers) == 8 and trained
    steps = {
        up[0]: up[1:],
        up[1]: [up[0], f"/row/questions?id={name}"],
        f"/row/questions?id={name}": up + down,
        **{address: [*up, f"/row/questions?id={name}"] for address in down},
    }
    for address, links in steps.items():
        html = client.get(address).text
        assert [link for link in links if f'href="{link}"' not in html] == []


def test_predictions_of_all_models_are_one_table(client: TestClient) -> None:
    assert shown_count(client.get("/t/predictions").text) == 8
    assert shown_count(client.get("/t/predictions?run=base&correct=true").text) == 0
    html = client.get("/t/predictions?run=distilled&correct=true&view=crop").text
    assert shown_count(html) == 2
    row = unescape(re.findall(r'href="(/row/predictions[^"]+)"', html)[0])
    page = client.get(row).text
    assert "run=base" in page and "run=distilled" in page  # the other model's reply to the same item
    assert client.get("/row/items", params={"id": "item 0/é"}).status_code == 200


def test_the_story_is_that_of_lineage(client: TestClient) -> None:
    answer = rows_of("answers")[3]
    html = client.get(f"/story/answers?id={answer['answer_id']}").text
    assert answer["question_id"] in html and "reply" in html and answer["image_id"] in html


def test_the_story_of_an_image_has_all_its_rows(client: TestClient) -> None:
    """As `r2i lineage` prints it: not the first 500."""
    row = read_table(TRAIN.folder, TRAIN.schema, "overlay")[0]
    write_table(TRAIN.folder, [row | {"row_id": f"{number:04}"} for number in range(503)], TRAIN.schema)
    tables = client.app.state.tables  # type: ignore[attr-defined]
    quick, usual = (trace(row["image_id"], "image", reader) for reader in (QuickReader(tables), None))
    assert len(quick["rows"]) == len(usual["rows"]) == 503 and story_text(quick) == story_text(usual)


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "ids"])
@pytest.mark.parametrize("begun", [False, True])
def test_an_export_breaks_off_where_the_table_is_written_anew(client: TestClient, form: str, begun: bool) -> None:
    """With as many rows as before: those at the chosen places are others now."""
    tables = client.app.state.tables  # type: ignore[attr-defined]
    choice = Choice(SHEETS["answers"], {"status": ("ok",)})
    index, numbers = tables.steady("answers", lambda index: (index, tables.selected(index, choice)))
    pieces = export(index, numbers, form)
    if begun:
        next(pieces)
    rows = read_table(ANSWERS.folder, ANSWERS.schema, "answer")
    turned = [row | {"status": "rejected" if row["status"] == "ok" else "ok"} for row in rows]
    write_table(ANSWERS.folder, turned, ANSWERS.schema, shards=3)
    with pytest.raises(TableError, match="changed while it was read"):
        list(pieces)
    assert b"rejected" not in b"".join(export(tables.index("votes"), np.arange(1), "jsonl"))  # others go on


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "ids"])
def test_an_export_holds_the_chosen_rows_without_pictures(client: TestClient, form: str) -> None:
    expected = [row for row in rows_of("train") if row["view"] == "full"][:]
    data = client.get(f"/export/train?view=full&as={form}")
    assert data.status_code == 200 and "attachment" in data.headers["content-disposition"]
    if form == "ids":
        assert data.text.split() == [row["row_id"] for row in expected]
        return
    found: list[Any]
    if form == "csv":
        found = [row | {"options": json.loads(row["options"])} for row in csv.DictReader(io.StringIO(data.text))]
    elif form == "jsonl":
        found = [json.loads(line) for line in data.text.splitlines()]
    else:
        found = pq.read_table(io.BytesIO(data.content)).to_pylist()
    assert [(row["row_id"], row["question"], row["options"]) for row in found] == [
        (row["row_id"], row["question"], row["options"]) for row in expected
    ]
    assert "image" not in found[0]


def test_an_export_of_predictions_names_the_model(client: TestClient) -> None:
    lines = client.get("/export/predictions?run=base&as=jsonl").text.splitlines()
    assert {json.loads(line)["run"] for line in lines} == {"base"} and len(lines) == 4


def test_pictures_are_found_by_id_and_nothing_else(client: TestClient) -> None:
    region = read_table(REGIONS.folder, REGIONS.schema, "crop")[0]
    about = {"table": "regions", "column": "crop", "id": region["region_id"]}
    assert client.get("/picture", params=about).content == region["crop"]
    small = client.get("/picture", params=about | {"side": "160"})
    assert small.content[:2] == b"\xff\xd8" and len(small.content) <= len(region["crop"])
    again = client.get(
        "/picture", params=about, headers={"if-none-match": client.get("/picture", params=about).headers["etag"]}
    )
    assert again.status_code == 304
    for bad in ({"table": "../data"}, {"column": "region_id"}, {"side": "7"}, {"side": "²"}, {"table": "answers"}):
        assert client.get("/picture", params=about | bad).status_code == 400
    for name in ("../../../etc/passwd", "/etc/passwd", "", "%", "\0"):
        assert client.get("/picture", params=about | {"id": name}).status_code == 404


def test_hostile_text_is_text(client: TestClient) -> None:
    row = rows_of("answers")[0]
    for address in (
        "/t/answers?status=failed",
        f"/row/answers?id={row['answer_id']}",
        "/",
        f"/story/answers?id={row['answer_id']}",
    ):
        html = client.get(address).text
        assert "<script>" not in html and "<img src=x" not in html and "\0" not in html and "\u202e" not in html
        assert "\U000e0041" not in html
    html = client.get(f"/row/answers?id={row['answer_id']}").text
    assert "U+E0041" in html
    assert "THE END" in html and f"all {len(HOSTILE):,} characters" in html


def test_a_table_that_is_missing_says_how_to_make_it(client: TestClient) -> None:
    shutil.rmtree(paths.VOTES)
    shutil.rmtree(paths.PREDICTIONS)
    assert client.get("/").status_code == 200
    answer = client.get("/t/votes")
    assert answer.status_code == 409 and "dvc repro vote" in answer.text
    assert client.get("/t/predictions").status_code == 409
    name = rows_of("answers")[0]["answer_id"]
    assert "dvc repro vote" in client.get(f"/row/answers?id={name}").text
    assert shown_count(client.get("/t/answers?agreement=∅").text) == len(rows_of("answers"))


def test_before_any_question_there_are_images_with_their_regions(client: TestClient) -> None:
    for path in ("question", "answer", "vote", "overlay", "benchmark", "evaluate"):
        shutil.rmtree(Path("data") / path)
    image = rows_of("images")[0]
    regions = [row for row in rows_of("regions") if row["image_id"] == image["image_id"]]
    html = client.get(f"/row/images?id={image['image_id']}").text
    assert html.count("<rect") == len(regions)
    for left, top, right, bottom in (row["box"] for row in regions):
        assert f'x="{left}" y="{top}" width="{right - left}" height="{bottom - top}"' in html
    assert f'viewBox="0 0 {image["width"]} {image["height"]}"' in html
    assert client.get("/t/images?look=gallery").text.count("<rect") == len(rows_of("regions"))


def test_a_table_that_is_written_anew_is_read_anew(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r2i.pages.explore.tables.CHECKED", 0.0)
    rows = read_table(ANSWERS.folder, ANSWERS.schema, "answer")
    assert shown_count(client.get("/t/answers").text) == len(rows)
    write_table(ANSWERS.folder, rows[:10], ANSWERS.schema)
    assert shown_count(client.get("/t/answers").text) == 10
    assert len(exported(client, "")) == 10


def test_a_damaged_file_is_an_error_with_a_remedy(client: TestClient) -> None:
    part = next(ANSWERS.folder.glob("part-*"))
    data = part.read_bytes()
    part.write_bytes(data[: len(data) // 2])
    answer = client.get("/t/answers")
    assert answer.status_code == 409 and "dvc" in answer.text


@pytest.mark.parametrize(
    "address",
    [
        "/t/nothing",
        "/row/answers?id=nothing",
        "/find?id=nothing",
        "/t/answers?page=999",
        "/t/../../etc/passwd",
        "/row/train?id=",
    ],
)
def test_what_is_not_there_is_404(client: TestClient, address: str) -> None:
    assert client.get(address).status_code == 404


@pytest.mark.parametrize("query", ["color=red", "sort=reply", "page=0", "page=²", "look=x", "text=" + "x" * 201])
def test_what_makes_no_sense_is_400(client: TestClient, query: str) -> None:
    assert client.get(f"/t/answers?{query}").status_code == 400


def test_an_id_is_found_in_whatever_table_it_stands(client: TestClient) -> None:
    for slug in ("train", "questions", "answers", "regions", "images", "items"):
        name = rows_of(slug)[0][SHEETS[slug].key]
        found = client.get("/find", params={"id": name})
        assert found.status_code == 200 and f"/row/{slug}" in str(found.url)


def test_the_way_back_leads_to_a_list_and_nowhere_else(client: TestClient) -> None:
    name = rows_of("answers")[0]["answer_id"]
    html = client.get("/row/answers", params={"id": name, "from": "status=failed&page=1"}).text
    assert 'href="/t/answers?status=failed"' in html
    html = client.get("/row/answers", params={"id": name, "from": "//evil.example/?x=1"}).text
    assert "evil" not in html


def test_no_filter_has_the_name_of_something_else() -> None:
    reserved = {*ROLES, "text", "long", "sort", "down", "page", "look", "from", "as", "id"}
    for sheet in SHEETS.values():
        names = [facet.name for facet in sheet.facets]
        assert not reserved & set(names) and len(names) == len(set(names))


def test_rows_and_pictures_are_found_in_any_row_group(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three shards of row groups of 7 rows: every number is read back as the row that the scan saw there."""
    monkeypatch.setattr("r2i.core.tables.ROW_GROUP", 7)
    write_table(ANSWERS.folder, read_table(ANSWERS.folder, ANSWERS.schema, "answer"), ANSWERS.schema, shards=3)
    regions = read_table(REGIONS.folder, REGIONS.schema, "crop")
    write_table(REGIONS.folder, regions, REGIONS.schema)
    assert pq.read_metadata(REGIONS.parts()[0]).num_row_groups > 1
    index = client.app.state.tables.index("answers")  # type: ignore[attr-defined]
    parts = [pq.read_table(path, columns=["answer_id"])["answer_id"].to_pylist() for path in ANSWERS.parts()]
    ids = [name for part in parts for name in part]
    assert [row["answer_id"] for row in index.shards.read(list(range(index.rows)), ["answer_id"])] == ids
    assert index.shards.read([9, 100, 8], ["answer_id"]) == [
        {"answer_id": ids[n], "run": "answers"} for n in (9, 100, 8)
    ]
    assert len(parts) == 3 and np.all(np.diff(index.shards.first) == [len(part) for part in parts])
    for row in regions:
        about = {"table": "regions", "column": "crop", "id": row["region_id"]}
        assert client.get("/picture", params=about).content == row["crop"]


def test_a_train_row_that_was_too_easy_shows_the_crop_that_it_asks_about(client: TestClient) -> None:
    rows = read_table(TRAIN.folder, TRAIN.schema, TRAIN.stage)
    lost = [row | {"image": None, "status": "rejected", "reason": "too_easy"} for row in rows[:2]]
    write_table(TRAIN.folder, [*lost, *rows[2:]], TRAIN.schema)
    html = client.get("/t/train?look=gallery&reason=too_easy").text
    sources = [unescape(source) for source in re.findall(r'<img[^>]*src="(/picture[^"]+)"', html)]
    assert len(sources) == len(lost)
    for source in sources:
        found = client.get(source)
        assert found.status_code == 200 and found.headers["content-type"] == "image/jpeg", source
