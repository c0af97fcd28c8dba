"""A dvc.lock that a kill cut off is put aside; a whole one is left alone."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from r2i.cli.main import app
from r2i.repo.lock_repair import is_whole, mend_lock

ROOT = Path(__file__).parents[2]


def test_a_lock_is_whole_only_where_every_entry_that_it_has_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / "dvc.lock").read_text(encoding="utf-8")
    assert is_whole(text)
    stages = yaml.safe_load(text)["stages"]
    ends = [place for place, letter in enumerate(text, 1) if letter == "\n"]
    taken = 0
    for cut in [*ends[: len(ends) // 8 : 9], *range(0, len(text) // 8, 997)]:
        if is_whole(text[:cut]):
            taken += 1
            assert text[cut - 1] == "\n"
            for name, stage in yaml.safe_load(text[:cut])["stages"].items():
                assert stage["deps"] == stages[name]["deps"] and stage.get("params") == stages[name].get("params")
                assert len(stage["outs"]) <= len(stages[name]["outs"])
    assert taken < 6  # those between two stages, or in the outs of one


def test_a_lock_without_its_frozen_stage_is_not_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages:\n  a: {cmd: 'true', frozen: true}\n")
    out = "outs:\n    - {path: x, md5: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, size: 1}\n"
    both = "schema: '2.0'\nstages:\n" + "".join(f"  {name}:\n    cmd: 'true'\n    {out}" for name in "ba")
    (tmp_path / "dvc.lock").write_text(both)
    for words in ("init -q", "add dvc.lock", "-c user.name=x -c user.email=x@example.org commit -qm x"):
        subprocess.run(["git", *words.split()], check=True)
    assert is_whole(both)
    assert not is_whole(both[: both.index("  a:")])


def test_a_whole_lock_and_none_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert mend_lock() is None
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    assert mend_lock() is None and (tmp_path / "dvc.lock").is_file()


def test_dvc_refuses_a_lock_that_is_cut_off_and_goes_on_from_its_run_cache_once_it_is_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--no-scm", "--quiet"], check=True)
    (tmp_path / "dep").write_text("1")
    (tmp_path / "dvc.yaml").write_text("stages:\n  a:\n    cmd: cp dep out\n    deps: [dep]\n    outs: [out]\n")
    subprocess.run([*dvc, "repro", "--quiet"], check=True)
    lock = (tmp_path / "dvc.lock").read_bytes()
    (tmp_path / "dvc.lock").write_bytes(b"")
    assert subprocess.run([*dvc, "repro"], capture_output=True).returncode != 0
    done = CliRunner().invoke(app, ["mend"])
    assert done.exit_code == 0 and ".r2i/dvc.lock.torn" in done.stdout
    again = subprocess.run([*dvc, "repro"], capture_output=True, text=True, check=True)
    assert "Running stage" not in again.stdout and (tmp_path / "dvc.lock").read_bytes() == lock


def test_the_committed_lock_takes_the_place_of_the_one_that_was_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    lock = "schema: '2.0'\nstages: {}\n"
    (tmp_path / "dvc.lock").write_text(lock)
    for words in ("init -q", "add dvc.lock", "-c user.name=x -c user.email=x@example.org commit -qm x"):
        subprocess.run(["git", *words.split()], check=True)
    (tmp_path / "dvc.lock").write_text(lock[:-5])
    assert mend_lock() == Path(".r2i/dvc.lock.torn")
    assert (tmp_path / "dvc.lock").read_text() == lock
