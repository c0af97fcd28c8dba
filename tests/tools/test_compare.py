"""Revisions side by side: what is common, what is tested, and reading them out of Git and DVC."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from made_run import write_params
from typer.testing import CliRunner

from r2i.cli.main import app
from r2i.core.params import Drawing
from r2i.core.records import PREDICTIONS
from r2i.core.tables import write_table
from r2i.tools.compare.load import CompareError, Revision, load_revision
from r2i.tools.compare.measure import compare_revisions
from r2i.tools.compare.page import render_page
from r2i.tools.compare.table import markdown
from r2i.tools.compare.words import p_words, points, verdict

RIGHT = {"v1": 8, "main": 20, "brave": 30, "workspace": 40}  # of 48 items, what each revision's distilled model gets


def _row(number: int, right: bool | None, **columns: object) -> dict:
    return {
        "prediction_id": f"p{number:02d}", "item_id": f"i{number:02d}", "image_id": f"m{number // 2}",
        "cluster_id": f"m{number // 2}", "source": "made", "dimension": "ocr" if number % 2 else "color",
        "view": "full", "sample": 0, "question": f"what is on {number}?", "options": ["a", "b"], "answer": "a",
        "label": "A", "rule": "letter", "correct": right, "status": "ok", "reason": "", **columns,
    }  # fmt: skip


def _rows(right: int, items: int = 48) -> list[dict]:
    return [_row(number, number < right) for number in range(items)]


def _revision(name: str, rows: list[dict]) -> Revision:
    return Revision(name, "", "distilled", {row["item_id"]: row for row in rows})


def test_every_revision_is_tested_against_the_first() -> None:
    found = compare_revisions(
        [_revision("a", _rows(8)), _revision("b", _rows(20)), _revision("c", _rows(8))], "full", 200
    )
    first, second, third = found.revisions
    assert (found.n, found.clusters, found.notes) == (48, 24, [])
    assert first.against is None
    assert second.score.accuracy == 20 / 48
    assert second.against is not None and third.against is not None
    assert second.against.found.mean.value == pytest.approx(0.25)
    # 12 fixed of 12: 2/2^12; six of 24 clusters moved by 2
    assert second.against.found.pairs.p_mcnemar == pytest.approx(2 / 2**12)
    assert second.against.holm == pytest.approx(2 * second.against.found.p_clustered)
    assert verdict(second.against) == "better" and verdict(third.against) == "not shown"
    assert {group.name: group.n for group in found.groups["dimension"]} == {"color": 24, "ocr": 24}
    assert "source" not in found.groups  # all items are of one


def test_only_items_that_all_measured_and_asked_alike_are_compared() -> None:
    fewer = _rows(8, 40)
    other = _rows(8)
    other[0] |= {"options": ["b", "a"], "label": "B"}
    found = compare_revisions([_revision("a", _rows(8)), _revision("b", fewer), _revision("c", other)], "full", 200)
    assert found.n == 39
    assert found.notes[0] == "a measured 48 items; 40 are common to all revisions"
    assert "1 common items ask or expect something else" in found.notes[-1]
    assert "40 are common" in markdown(found)


def test_revisions_without_a_common_item_are_not_compared() -> None:
    with pytest.raises(CompareError, match="no item that all"):
        compare_revisions([_revision("a", _rows(8)[:4]), _revision("b", _rows(8)[4:])], "full", 200)


def test_failed_calls_are_left_out_of_both_unscored_replies_are_wrong_and_both_are_counted() -> None:
    rows = _rows(8)
    rows[0] |= {"status": "failed", "correct": None}
    rows[1] |= {"rule": "none", "correct": None}
    compared = compare_revisions([_revision("a", _rows(8)), _revision("b", rows)], "full", 200)
    first, found = compared.revisions
    assert compared.n == 47 and first.score.accuracy == 7 / 47 and found.score.accuracy == 6 / 47
    assert (found.failed, found.unscored) == (1, 1) and any("failed" in note for note in compared.notes)


def test_revisions_from_before_the_benchmark_was_written_down_are_compared_by_id() -> None:
    old = [
        {key: row[key] for key in ("item_id", "image_id", "view", "correct", "status", "dimension")} for row in _rows(8)
    ]
    assert compare_revisions([_revision("old", old), _revision("new", _rows(9))], "full", 200).n == 48


def test_numbers_in_words() -> None:
    assert [points(value) for value in (0.2917, -0.0083, -0.0001)] == ["+29.2", "−0.8", "0.0"]
    assert [p_words(p) for p in (1e-9, 0.00314, 0.31, 1.0)] == ["< 0.0001", "0.0031", "0.31", "1.00"]


def test_the_page_needs_no_other_file_and_runs_nothing() -> None:
    evil = "<script>alert(1)</script>"
    rows = [{**row, "dimension": evil if row["dimension"] == "ocr" else "color"} for row in _rows(20)]
    found = compare_revisions([_revision("a", rows), _revision(evil, _rows(8))], "full", 200)
    html = render_page(found)
    assert not re.search(r"<script|<link|<img|https?://|@import|url\(", html)
    assert html.count("&lt;script&gt;") > 3
    assert render_page(found) == html
    positions = [float(text) for text in re.findall(r"left:(-?[\d.]+)%", html)]
    assert positions and all(0 <= at <= 100 for at in positions)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Git and DVC repository: tag v1, branch main, experiment `brave`, and a workspace changed since."""
    root = tmp_path_factory.mktemp("lab")
    env = {
        **os.environ,
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(root.parent / "site"),
        "HOME": str(root.parent),
    }

    def run(*command: str) -> None:
        words = [sys.executable, "-m", *command] if command[0] == "dvc" else list(command)
        done = subprocess.run(words, cwd=root, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    def predict(name: str) -> None:
        write_table(root / "data/evaluate/distilled", _rows(RIGHT[name]), PREDICTIONS)
        run("dvc", "add", "-q", "data/evaluate/distilled")

    run("git", "init", "-q", "-b", "main")
    run("git", "config", "user.email", "lab@example.org")
    run("git", "config", "user.name", "lab")
    run("dvc", "init", "-q")
    run("dvc", "remote", "add", "-q", "-d", "store", str(root.parent / "remote"))
    write_params(root)
    for name in ("v1", "main"):
        predict(name)
        run("git", "add", "-A")
        run("git", "commit", "-q", "-m", name)
        if name == "v1":
            run("git", "tag", "v1")
    predict("brave")
    run("dvc", "exp", "save", "-q", "--name", "brave")
    run("dvc", "push", "-q", "--all-commits")
    write_table(root / "data/evaluate/distilled", _rows(RIGHT["workspace"]), PREDICTIONS)
    yield root


@pytest.fixture
def inside(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(repository)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(repository.parent / "site"))
    return repository


@pytest.mark.parametrize("name", RIGHT)
def test_a_tag_a_branch_an_experiment_and_the_workspace_are_read(name: str, inside: Path) -> None:
    found = load_revision(name, "distilled", "full")
    assert sum(row["correct"] for row in found.rows.values()) == RIGHT[name]
    assert bool(found.commit) == (name != "workspace")


def test_the_command_compares_them_in_the_terminal_in_markdown_and_in_html(inside: Path) -> None:
    names = ["v1", "main", "brave", "workspace"]
    told = CliRunner().invoke(app, ["compare", *names, "--draws", "200", "--html", "out/page.html"])
    assert told.exit_code == 0, told.output
    assert "48 common items in 24 clusters" in told.output and "by dimension" in told.output
    html = Path("out/page.html").read_text(encoding="utf-8")
    assert all(name in html for name in names)
    told = CliRunner().invoke(app, ["compare", *names, "--draws", "200", "--md"])
    lines = [line for line in told.output.splitlines() if line.startswith("| brave (distilled")]
    # 30 of 48 right, v1 8: 22 fixed, none broken
    assert len(lines) == 1 and "| 62.5 % (" in lines[0] and "| +45.8 (" in lines[0] and "| 22 / 0 |" in lines[0]
    shutil.rmtree("out")


def test_a_revision_may_name_its_own_model(inside: Path) -> None:
    write_table(Path("data/evaluate/base"), _rows(4), PREDICTIONS)
    found = load_revision("workspace:base", "distilled", "full")
    assert found.model == "base" and sum(row["correct"] for row in found.rows.values()) == 4
    shutil.rmtree("data/evaluate/base")


def test_revisions_whose_only_models_have_other_names_are_compared(inside: Path, tmp_path: Path) -> None:
    """Nobody names a model: of a revision that lacks the params' one, its only one is taken; several are a question."""
    for model, rows in (("qwen", _rows(4)), ("left-out", [])):  # a model that was left out has a table without rows
        write_table(tmp_path / "data/evaluate" / model, rows, PREDICTIONS)
    assert load_revision("workspace", None, "full", tmp_path, "distilled").model == "qwen"
    assert load_revision("workspace", None, "full", tmp_path, "left-out").model == "qwen"
    assert load_revision("v1", None, "full", prefer="qwen").model == "distilled"
    with pytest.raises(CompareError, match=r"no predictions of left-out .*there are: qwen;"):
        load_revision("workspace", "left-out", "full", tmp_path)
    write_table(tmp_path / "data/evaluate/llava", _rows(6), PREDICTIONS)
    with pytest.raises(CompareError, match=r"several models: llava, qwen; say which: `workspace:MODEL`"):
        load_revision("workspace", None, "full", tmp_path, "distilled")
    with pytest.raises(CompareError, match="say which: `workspace:MODEL@full`"):
        load_revision("workspace@full", None, "crop", tmp_path)
    assert load_revision("workspace", None, "full", tmp_path, "llava").model == "llava"
    with pytest.raises(CompareError, match="workspace has no predictions"):
        load_revision("workspace", None, "full", tmp_path / "data")


def test_the_command_finds_the_model_of_each_revision(inside: Path, tmp_path: Path) -> None:
    shutil.move("data/evaluate/distilled", tmp_path / "distilled")
    write_table(Path("data/evaluate/qwen"), _rows(12), PREDICTIONS)
    try:
        told = CliRunner().invoke(app, ["compare", "v1", "workspace", "--draws", "200", "--md"])
    finally:
        shutil.rmtree("data/evaluate/qwen")
        shutil.move(tmp_path / "distilled", "data/evaluate/distilled")
    assert told.exit_code == 0, told.output
    assert "distilled, qwen, full view, 48 common items" in told.output and "workspace (qwen)" in told.output


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["v1", "nowhere"], "no revision 'nowhere' here"),
        (["v1:sft", "main"], "v1:sft has no predictions of sft (data/evaluate/sft)"),
        (["v1", "main", "--view", "zoom"], "v1 has no zoom view of distilled"),
        (["v1"], "one revision is nothing to compare"),
    ],
)
def test_errors_say_what_is_missing(arguments: list[str], cause: str, inside: Path) -> None:
    told = CliRunner().invoke(app, ["compare", *arguments])
    assert told.exit_code == 1
    assert cause in told.stderr and "  -> " in told.stderr


def test_a_torn_file_of_the_workspace_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "data/evaluate/distilled"
    folder.mkdir(parents=True)
    (folder / "part-00000-of-00001.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(CompareError, match="not a readable Parquet file"):
        load_revision("workspace", "distilled", "full", tmp_path)


@pytest.mark.parametrize("listing", ["known", "unknown"])
def test_files_come_from_the_remote_and_their_absence_names_the_remedy(
    listing: str, inside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if listing == "unknown":  # DVC remembers what a folder held: another lab doesn't
        monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path))
    cache, remote = inside / ".dvc/cache", inside.parent / "remote"
    cache.rename(inside.parent / "kept-cache")
    try:
        assert len(load_revision("v1", "distilled", "full").rows) == 48
        shutil.rmtree(cache, ignore_errors=True)
        remote.rename(inside.parent / "kept-remote")
        if listing == "unknown":
            monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "other"))
        with pytest.raises(CompareError, match="dvc fetch"):
            load_revision("v1", "distilled", "full")
    finally:
        shutil.rmtree(cache, ignore_errors=True)
        (inside.parent / "kept-cache").rename(cache)
        if (inside.parent / "kept-remote").exists():
            shutil.rmtree(remote, ignore_errors=True)
            (inside.parent / "kept-remote").rename(remote)


@pytest.mark.parametrize(
    ("view", "locked", "said"),
    [
        ("crop", {"margin": 0.5}, "another cut"),
        ("zoom", {"margin": 0.5}, "another cut"),
        ("crop", {}, ""),  # a default is written out, or not
        ("crop", None, "two: not told"),
        ("full", {"margin": 0.5}, ""),
        ("boxed", {"margin": 0.5}, ""),
    ],
)
def test_two_ways_to_cut_a_crop_are_told(view: str, locked: dict | None, said: str, tmp_path: Path) -> None:
    def write(root: Path, cut: dict | None) -> Revision:
        rows = [dict.fromkeys(PREDICTIONS.names) | _row(number, True, view=view) for number in range(4)]
        write_table(root / "data/evaluate/distilled", rows, PREDICTIONS)
        drawing = {"data/code/params.yaml": {"drawing": {"outline": {"line": 1}}}}
        evaluated = {"params": {"data/code/params.yaml": {"drawing.cut": cut}}}
        lock = {"stages": {"evaluate@distilled": evaluated, "benchmark": {"params": drawing}}}
        (root / "dvc.lock").write_text(json.dumps(lock if cut is not None else {"stages": {}}))
        return load_revision("workspace", "distilled", view, root)

    one = write(tmp_path / "one", {"margin": Drawing().cut.margin})
    two = write(tmp_path / "two", locked)
    notes = compare_revisions([one, replace(two, name="two")], view, 200).notes
    assert [note for note in notes if said in note] if said else not notes, notes


def test_what_was_not_done_alike_is_said_and_two_views_of_one_model_are_paired(tmp_path: Path) -> None:
    def write(root: Path, protocol: str, judge: str | None) -> None:
        call = {"model": judge, "endpoint": "openai", "prompt_sha256": "", "sampling": "", "reply_key": ""}
        said = json.dumps({"temperature": 0.7 if judge else 0.0, "max_tokens": 8, "seed": 3})
        rows = [
            dict.fromkeys(PREDICTIONS.names) | _row(number, number < right, view=view) | {
                "prediction_id": f"{view}{number}", "sampling": said, "prompt_sha256": protocol * 9,
                "verdict": call if judge else None,
            }
            for view, right in (("full", 10), ("crop", 40)) for number in range(48)
        ]  # fmt: skip
        write_table(root / "data/evaluate/distilled", rows, PREDICTIONS)
        path = root / "metrics" / "evaluate-distilled.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"protocol": {"name": protocol}}))

    ways = {}
    for folder, protocol, judge in (("one", "r2i", None), ("two", "zwz", "kimi")):
        write(tmp_path / folder, protocol, judge)
        names = ("workspace@full", "workspace@crop")
        ways[folder] = [load_revision(name, "distilled", "full", tmp_path / folder) for name in names]
    notes = compare_revisions([ways["one"][0], ways["two"][0]], "full", 200).notes
    assert [note.partition(":")[0] for note in notes] == ["another protocol", "another decoding", "another judge"]
    assert "r2i" in notes[0] and "zwz" in notes[0] and "none" in notes[2] and "kimi" in notes[2]
    found = compare_revisions(ways["one"], "full", 200)
    assert found.notes[0] == "another view: workspace@full: full; workspace@crop: crop"
    assert "protocol r2i, 48 common items" in markdown(found)
    both = markdown(compare_revisions([ways["one"][0], ways["two"][0]], "full", 200))
    assert "protocol r2i and zwz, 48" in both
    assert found.revisions[1].against.found.mean.value == pytest.approx(30 / 48)
    assert "full and crop view" in markdown(found)
