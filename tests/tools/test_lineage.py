"""Any id is walked back to its image, its calls and the code; one that names nothing says where it was looked for."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from made_lab import run
from made_run import OLD_PROMPT
from typer.testing import CliRunner

from r2i.cli.main import app
from r2i.core.catalogue import ANSWERS, TRAIN
from r2i.core.images import sha256
from r2i.core.records import TRAIN as SCHEMA
from r2i.core.tables import write_table
from r2i.tools.lineage import calls
from r2i.tools.lineage.text import story_text
from r2i.tools.lineage.walk import trace


@pytest.fixture(autouse=True)
def forget_prompts() -> None:
    calls._past_prompts.cache_clear()


def a_row() -> dict[str, Any]:
    return pq.read_table(TRAIN.folder).to_pylist()[0]


def test_a_row_leads_to_its_image_votes_and_every_call(chain: Path) -> None:
    row = a_row()
    story = trace(row["row_id"])
    assert story["kind"] == "row" and [told["row_id"] for told in story["rows"]] == [row["row_id"]]
    assert story["rows"][0]["image_sha256"] == sha256(row["image"]) and story["missing"] == {}
    assert story["question"]["question_id"] == row["question_id"] and story["region"]["box"] == row["box"]
    assert story["image"]["source"].startswith("scenes/") and story["image"]["kind"] == "rendered"
    assert story["image"]["bytes"] == "in the table, the source's own"
    assert story["vote"]["groups"] == [{"answer": row["answer"], "count": 8}]
    steps = [call["step"] for call in story["calls"]]
    assert steps == ["write"] + ["answer"] * 8 + ["try"]  # two teachers, four samples each


def test_a_reply_that_the_store_holds_is_shown_and_one_that_it_lacks_is_said(chain: Path) -> None:
    story = trace(a_row()["row_id"])
    write, answer = story["calls"][0], story["calls"][1]
    assert answer["reply"]["kept"] == "the live store" and answer["reply"]["text"].endswith(a_row()["answer"])
    assert write["reply"]["kept"] == "" and "no reply is filed under" in write["reply"]["why"]


def test_a_reply_is_found_in_the_archive_once_it_was_packed(chain: Path) -> None:
    assert CliRunner().invoke(app, ["replies", "pack"]).exit_code == 0
    shutil.rmtree(".r2i/store")
    assert trace(a_row()["row_id"])["calls"][1]["reply"]["kept"].startswith("segment ")


def test_a_prompt_is_named_by_its_file_or_by_the_commit_that_has_it(chain: Path) -> None:
    story = trace(a_row()["row_id"])
    write, answer = story["calls"][0]["prompt"], story["calls"][1]["prompt"]
    assert answer == {"file": "r2i/answer/prompts/mini/answer.txt", "now": True, "commit": ""}
    assert write["file"] == "r2i/question/prompts/mini/write.txt" and not write["now"]
    held = run(chain, "git", "log", "--format=%H", "--", "r2i/question/prompts").split()
    assert write["commit"] in held and story["calls"][0]["prompt_sha256"] == sha256(OLD_PROMPT.encode())
    assert calls.prompt_of("0" * 64, "write") == {"file": "", "now": False, "commit": ""}


def test_the_revision_names_the_locks_commit_and_what_has_changed_since(chain: Path) -> None:
    row_id = a_row()["row_id"]
    before = trace(row_id)["revision"]
    assert before["commit"] == run(chain, "git", "rev-parse", "HEAD").strip() and before["committed"]
    assert before["stages"]["vote"]["code"].keys() == {"r2i/vote.py"} and not before["stages"]["vote"]["changed"]
    assert {out["state"] for stage in before["stages"].values() for out in stage["outs"]} == {"as locked"}
    Path("r2i/vote.py").write_text("limit = 2\n")
    (ANSWERS.folder / "part-00000-of-00001.parquet").write_bytes(b"other")
    shutil.rmtree("data/sample/images")
    Path("dvc.lock").write_text(Path("dvc.lock").read_text() + "\n")
    after = trace(row_id)
    states = {out["path"]: out["state"] for stage in after["revision"]["stages"].values() for out in stage["outs"]}
    assert states["data/answer/answers"] == "differs" and states["data/sample/images"] == "missing"
    assert after["revision"]["stages"]["vote"]["changed"] == ["r2i/vote.py"] and not after["revision"]["committed"]
    assert after["missing"].keys() == {"data/answer/answers", "data/sample/images"}
    assert after["image"] == {"image_id": after["rows"][0]["image_id"]}


def test_every_kind_of_id_is_known(chain: Path) -> None:
    row = a_row()
    answer_id = pq.read_table(ANSWERS.folder, columns=["answer_id"])[0][0].as_py()
    for name in ("row_id", "question_id", "region_id", "image_id"):
        story = trace(row[name])
        assert story["kind"] == name.removesuffix("_id") and row["row_id"] in [
            found["row_id"] for found in story["rows"]
        ]
        assert story_text(story).startswith(f"{story['kind']} {row[name]}")
    assert trace(answer_id)["kind"] == "answer" and trace(answer_id)["question"]
    assert trace(row["image_id"])["regions"] and trace(row["region_id"])["questions"]


def test_an_item_of_the_benchmark_shows_the_replies_of_every_model(tmp_path: Path, monkeypatch: Any) -> None:
    from made_run import make_run, write_params

    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    make_run(2, samples=1)
    item_id = pq.read_table("data/benchmark/items", columns=["item_id"])[0][0].as_py()
    story = trace(item_id)
    models = ("base", "distilled", "sft", "opd")
    assert {name: len(rows) for name, rows in story["predictions"].items()} == dict.fromkeys(models, 4)
    assert story["revision"]["stages"] == {} and "no dvc.lock" in story_text(story)


def test_an_unknown_id_says_where_it_was_looked_for_and_what_is_similar(chain: Path) -> None:
    row_id = a_row()["row_id"]
    shutil.rmtree("data/vote")
    typo = row_id[:9] + ("0" if row_id[9] != "0" else "1") + row_id[10:]
    found = CliRunner().invoke(app, ["lineage", typo])
    assert found.exit_code == 1 and f"row {row_id}" in found.stderr
    assert "train rows, questions, answers, regions, images" in found.stderr
    assert "not here: votes, benchmark items (`dvc pull` brings them)" in found.stderr


def test_a_row_whose_other_tables_are_gone_still_tells_what_it_holds(chain: Path) -> None:
    row = a_row()
    for stage in ("sample", "crop", "question", "answer", "vote"):
        shutil.rmtree(f"data/{stage}")
    text = CliRunner().invoke(app, ["lineage", row["row_id"]]).stdout
    assert f"try 0  by {row['try_calls'][0]['model']}" in text and row["label"] in text
    assert "not here: data/vote/votes" in text and "`dvc pull data/vote/votes` brings it" in text


def test_json_is_json_and_text_steers_no_terminal(chain: Path) -> None:
    row_id = a_row()["row_id"]
    assert json.loads(CliRunner().invoke(app, ["lineage", row_id, "--json"]).stdout)["id"] == row_id
    text = CliRunner().invoke(app, ["lineage", row_id]).stdout
    assert "\\x1b[31mIt is" in text and "\x1b" not in text


def test_rows_are_found_across_row_groups_and_shards(tmp_path: Path, monkeypatch: Any) -> None:
    """1,800 rows in 3 shards, 256 to a row group: the rows of one question stand apart."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("r2i.core.catalogue.BATCH", 100)  # ids are read in pieces that are no row groups
    empty = dict.fromkeys(SCHEMA.names)
    rows = [
        empty | {"row_id": f"{n:04d}", "question_id": str(n % 50), "image_id": str(n), "status": "ok", "reason": ""}
        for n in range(1800)
    ]
    write_table(TRAIN.folder, rows, SCHEMA, shards=3)
    found = TRAIN.find("question_id", "7", ["row_id"])
    assert [row["row_id"] for row in found] == [f"{n:04d}" for n in range(7, 1800, 50)]
    assert TRAIN.find("row_id", "0300")[0]["image_id"] == "300" and TRAIN.find("row_id", "none") == []
