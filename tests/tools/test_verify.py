"""`r2i verify` believes no date and no database: what was altered, lost or added is named, and nothing else."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from made_lab import flip_a_bit, run
from made_run import TABLES
from typer.testing import CliRunner

from r2i.cli.main import app
from r2i.core.catalogue import ANSWERS, QUESTIONS, REGIONS, TRAIN, VOTES, Listed
from r2i.core.tables import Row, write_table
from r2i.repo import lock as lock_module
from r2i.repo.lock import md5_of, read_lock
from r2i.repo.profile import read_run
from r2i.tools.labs import named_entries
from r2i.tools.verify import Finding
from r2i.tools.verify.files import check_params
from r2i.tools.verify.rows import check_rows
from r2i.tools.verify.run import verify_all
from r2i.tools.verify.tables import check_tables


def told(cache: bool = False) -> set[tuple[str, str]]:
    return {(finding.kind, finding.where) for finding in verify_all(cache).findings}


def shard(table: Listed) -> Path:
    return table.folder / "part-00000-of-00001.parquet"


def respell(table: Listed, change: Callable[[list[Row]], Any]) -> None:
    """Write a table anew with other rows."""
    rows = pq.read_table(table.folder).to_pylist()
    change(rows)
    write_table(table.folder, rows, table.schema)


# files


def test_a_run_as_dvc_left_it_has_no_fault(chain: Path) -> None:
    done = CliRunner().invoke(app, ["verify", "--cache"])
    assert done.exit_code == 0, done.stdout + done.stderr
    assert done.stdout.startswith("12 outputs") and "ids, labels, votes, pictures and metrics agree" in done.stdout


def test_our_hash_of_a_folder_is_dvcs_whatever_its_files_are_called(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b/ä.txt", "b c.txt", "B.txt", "b/c/d.txt", "b.pyc", "__pycache__/x.txt"):
        Path("out", name).parent.mkdir(parents=True, exist_ok=True)
        Path("out", name).write_text(name, encoding="utf-8")
    run(tmp_path, "git", "init", "--quiet")
    run(tmp_path, "dvc", "init", "--quiet")
    Path(".dvcignore").write_text("__pycache__\n*.pyc\n")

    lock_module._ignored.cache_clear()
    run(tmp_path, "dvc", "add", "--quiet", "out")
    assert f"md5: {md5_of(Path('out'))}\n" in Path("out.dvc").read_text()
    lock_module._ignored.cache_clear()


def test_one_flipped_byte_is_found_though_size_and_time_are_the_same(chain: Path) -> None:
    """DVC believes size and time: `dvc status` calls this clean."""
    path = shard(VOTES)
    run(chain, "dvc", "status")
    before, data = path.stat(), bytearray(path.read_bytes())
    path.chmod(0o644)
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "up to date" in run(chain, "dvc", "status")
    assert ("differs", str(path)) in told()
    done = CliRunner().invoke(app, ["verify"])
    assert done.exit_code == 1 and f"`rm -rf {path} && dvc checkout {VOTES.folder}`" in done.stdout


def test_missing_and_extra_files_are_named(chain: Path) -> None:
    shutil.rmtree("data/crop/regions")
    (VOTES.folder / "notes.txt").write_text("mine")
    shard(TRAIN).unlink()
    Path("data/vote/old.json").write_text("{}")
    assert told() >= {
        ("missing", "data/crop/regions"), ("extra", "data/vote/votes/notes.txt"), ("missing", str(shard(TRAIN))),
        ("note", "data/vote/old.json"),
    }  # fmt: skip


def test_a_note_alone_is_no_fault(chain: Path) -> None:
    Path("data/vote/old.json").write_text("{}")
    done = CliRunner().invoke(app, ["verify"])
    assert done.exit_code == 0 and "note     data/vote/old.json: no stage in dvc.lock left it" in done.stdout


def test_changed_code_and_params_name_the_stages_that_ran_with_others(chain: Path) -> None:
    Path("r2i/vote.py").write_text("limit = 2\n")
    params = Path("params.yaml").read_text()
    smoke = params.index("\n  smoke:")
    Path("params.yaml").write_text(params[:smoke] + params[smoke:].replace("min_agreement: 6", "min_agreement: 7", 1))
    found = {finding.kind: finding for finding in verify_all(False).findings}
    assert found.keys() == {"code", "params"}
    assert found["code"] == Finding("code", "r2i/vote.py", "changed since vote ran")
    assert found["params"].where == "vote" and '"min_agreement": 7' in found["params"].why


def test_a_lock_that_is_half_of_another_run_is_told(chain: Path) -> None:
    """overlay's dep is no longer what vote left: a merge that took one stage from each side."""
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    (dep,) = [dep for dep in lock["stages"]["overlay"]["deps"] if dep["path"] == str(TABLES["vote"][0])]
    dep["md5"] = "0" * 32 + ".dir"
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    assert told() == {("lock", "overlay")}


def test_a_frozen_stages_deps_are_left_alone(chain: Path) -> None:
    text = Path("dvc.yaml").read_text()
    Path("dvc.yaml").write_text(text.replace("  vote:\n", "  vote:\n    frozen: true\n"))
    Path("r2i/vote.py").write_text("limit = 2\n")
    assert told() == set()


def test_a_damaged_and_a_missing_object_of_the_cache_are_told(chain: Path) -> None:
    md5 = md5_of(shard(VOTES))
    other = md5_of(Path("metrics/crop.json"))
    assert md5 and other
    damaged, gone = (Path(".dvc/cache/files/md5", name[:2], name[2:]) for name in (md5, other))
    damaged.chmod(0o644)
    damaged.write_bytes(b"damaged")
    gone.unlink()
    assert told() == set()
    assert told(cache=True) == {("cache", str(shard(VOTES))), ("cache", "metrics/crop.json")}


def object_of(md5: str | None) -> Path:
    assert md5
    return Path(".dvc/cache/files/md5", md5[:2], md5[2:])


def test_the_commands_that_are_named_really_mend(chain: Path) -> None:
    """`dvc checkout` alone brings a damaged object of the cache back, and believes a file of the same size and time."""
    run(chain, "dvc", "remote", "add", "--local", "--default", "shared", str(chain.parent / "remote"))
    run(chain, "dvc", "push", "--quiet")
    flip_a_bit(shard(VOTES))  # the object is sound
    (VOTES.folder / "my notes.txt").write_text("x")
    os.mkfifo(VOTES.folder / "part-00001-of-00002.parquet")
    flip_a_bit(object_of(md5_of(shard(ANSWERS))))
    flip_a_bit(shard(ANSWERS))
    flip_a_bit(object_of(md5_of(shard(QUESTIONS))))
    shard(QUESTIONS).unlink()
    flip_a_bit(object_of(md5_of(REGIONS.folder)))  # the folder's listing
    flip_a_bit(shard(REGIONS))
    shutil.rmtree(TRAIN.folder)
    TRAIN.folder.write_text("a file in place of a folder")
    flip_a_bit(Path("metrics/vote.json"))
    Path("metrics/crop.json").unlink()
    os.mkfifo("metrics/crop.json")
    Path("metrics/answer.json").unlink()
    Path("metrics/answer.json").symlink_to("nowhere")
    faults = [fault for fault in verify_all(False).faults if fault.kind in ("differs", "missing", "extra")]
    assert len(faults) == 10
    run(
        chain,
        "bash",
        "-c",
        " && ".join(re.findall("`([^`]+)`$", "\n".join(fault.why for fault in faults), re.MULTILINE)),
    )
    assert told(cache=True) == set()


def test_a_pipe_among_tables_and_metrics_is_named_and_not_waited_for(chain: Path) -> None:
    shard(VOTES).unlink()
    os.mkfifo(shard(VOTES))
    Path("metrics/vote.json").unlink()
    os.mkfifo("metrics/vote.json")
    assert told() >= {("differs", str(shard(VOTES))), ("differs", "metrics/vote.json"), ("table", str(VOTES.folder))}


def test_what_dvc_wrote_is_what_verify_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC writes 0.000001 as `1e-06`, which YAML 1.1 takes for a word; `010` is ten for it, and `yes` a word."""
    monkeypatch.chdir(tmp_path)
    values = "lr: 1.0e-6\nsmall: 1e-06\nbig: 1E5\ncode: 010\nword: yes\ntime: 12:30\nname: 'no'\n"
    Path("params.yaml").write_text(values)
    keys = [line.partition(":")[0] for line in values.splitlines()]
    stage = {"cmd": "touch out", "params": keys, "outs": ["out"]}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"a": stage}}))
    run(tmp_path, "git", "init", "--quiet")
    run(tmp_path, "dvc", "init", "--quiet")
    run(tmp_path, "dvc", "repro", "--quiet")
    assert "1e-06" in Path("dvc.lock").read_text()
    assert list(check_params(read_lock())) == []
    Path("params.yaml").write_text(values.replace("1e-06", "1e-05").replace("010", "011"))
    assert [finding.why for finding in check_params(read_lock())] == [
        "code was 10, is 11 in params.yaml", "small was 1e-06, is 1e-05 in params.yaml",
    ]  # fmt: skip


def test_what_dvc_compares_by_other_means_is_left_to_it(chain: Path) -> None:
    """A dependency by its address has an ETag, no hash; an output elsewhere too."""
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    lock["stages"]["crop"]["deps"].append({"path": "https://host/weights.pt", "etag": '"abc"', "size": 3})
    lock["stages"]["crop"]["outs"].append({"path": "s3://bucket/out", "etag": '"abc"', "size": 3})
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    assert told(cache=True) == set() and "s3://bucket/out" not in {entry.path for entry in named_entries(read_run())}


def test_a_damaged_reply_and_an_altered_archive_are_told(chain: Path) -> None:
    CliRunner().invoke(app, ["replies", "pack"])
    run(chain, "dvc", "add", "--quiet", "replies")
    assert told() == set()
    record = next(Path(".r2i/store").glob("*/*.json"))
    record.write_text(record.read_text().replace("It is", "It was", 1))
    segment = next(Path("replies").glob("*.sqlite"))
    segment.chmod(0o644)
    segment.write_bytes(segment.read_bytes()[:-1])
    found = told()
    assert {("replies", str(record.resolve())), ("differs", str(segment))} <= {
        (kind, str(Path(where).resolve()) if where.endswith(".json") else where) for kind, where in found
    }


def test_without_a_lock_it_says_what_to_run(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["verify"])
    assert done.exit_code == 1 and "no dvc.lock" in done.stderr and "make repro" in done.stderr


# tables


def broken(*spoil: tuple[Listed, Callable[[list[Row]], Any]]) -> list[str]:
    for table, change in spoil:
        respell(table, change)
    return [f"{finding.where}: {finding.why}" for finding in [*check_tables(), *check_rows(6)]]


def test_a_label_that_names_another_option_is_found(chain: Path) -> None:
    def change(rows: list[Row]) -> None:
        rows[0]["label"] = next(letter for letter in "ABCD" if letter != rows[0]["label"])

    (found,) = broken((TRAIN, change))
    assert "its label does not name its answer: 1 rows" in found


def test_an_id_that_refers_to_nothing_is_found(chain: Path) -> None:
    found = broken((VOTES, lambda rows: rows.pop()))
    assert any("data/overlay/train: question_id of 1 id" in line for line in found)
    assert any(
        "data/vote/votes: 1 id" in line and "kept in data/question/questions without a row" in line for line in found
    )
    assert any("metrics/vote.json: rows is" in line for line in found)


def test_ids_are_hashes_of_what_they_name(chain: Path) -> None:
    def move(rows: list[Row]) -> None:
        rows[0]["box"][0] += 1

    def rephrase(rows: list[Row]) -> None:
        rows[0]["question"] = "another question?"

    def swap(rows: list[Row]) -> None:
        rows[0]["sample"] = 9

    found = "\n".join(broken((REGIONS, move), (QUESTIONS, rephrase), (ANSWERS, swap)))
    assert "region_id is not the hash of image and box: 1 rows" in found
    assert "question_id is not the hash of region and question: 1 rows" in found
    assert "answer_id is not the hash of question, teacher and sample: 1 rows" in found
    assert "region_id has a crop that is not of its box's size: 1 rows" in found  # the box was moved by a pixel


def test_votes_must_add_up_and_reach_the_agreement(chain: Path) -> None:
    def change(rows: list[Row]) -> None:
        rows[0]["agree"] = 7
        rows[1] |= {"agree": 5, "valid": 5, "groups": [{"answer": rows[1]["answer"], "count": 5}]}

    found = broken((VOTES, change))
    assert [line.partition(": ")[2].partition(" (")[0] for line in found] == [
        "question_id its groups do not add up to its counts: 1 rows",
        "question_id is ok with fewer than 6 that agree: 1 rows",
    ]


def test_a_status_without_its_reason_and_a_picture_where_none_belongs_are_found(chain: Path) -> None:
    def change(rows: list[Row]) -> None:
        rows[0]["status"] = "rejected"

    found = "\n".join(broken((TRAIN, change)))
    assert "1 rows have status 'rejected', reason ''" in found
    assert "row_id has no image and is ok, or has one and is not: 1 rows" in found


def test_an_id_that_stands_twice_is_found(chain: Path) -> None:
    table = pq.read_table(shard(ANSWERS))
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), shard(ANSWERS))
    found = "\n".join(broken())
    assert "1 id" in found and "stand there more than once" in found


def test_metrics_that_are_not_the_tables_are_found(chain: Path) -> None:
    path = Path("metrics/answer.json")
    said = json.loads(path.read_text())
    path.chmod(0o644)
    path.write_text(json.dumps(said | {"status": {"ok": 1}}))
    (found,) = broken()
    assert found.startswith("metrics/answer.json: status is {'ok': 1}, in data/answer/answers it is {'ok': ")


def test_a_table_that_is_no_parquet_is_told_and_ends_nothing(chain: Path) -> None:
    shard(QUESTIONS).chmod(0o644)
    shard(QUESTIONS).write_bytes(b"not parquet")
    found = told()
    assert ("table", "data/question/questions") in found and ("differs", str(shard(QUESTIONS))) in found
