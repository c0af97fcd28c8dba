"""A dvc.lock that a kill cut off is put aside; a whole one is left alone."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bench.faults_locks import BROKEN, HEAD, OUT, WHOLE, A
from r2i.cli.main import app
from r2i.core import paths
from r2i.core.errors import R2IError
from r2i.core.yaml_text import read_yaml
from r2i.repo.lock_repair import is_accepted, is_cut_off, mend_lock

ROOT = Path(__file__).parents[2]


def commit_lock(text: str = "") -> None:
    Path(".gitattributes").write_text("* -text\n")
    if text:
        Path("dvc.lock").write_bytes(text.encode())
    for words in ("init -q", "add -A", "-c user.name=x -c user.email=x@example.org commit -qm x"):
        subprocess.run(["git", *words.split()], check=True)


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


@pytest.mark.parametrize("ending", ["", "without the last newline"])
@pytest.mark.parametrize("committed", ["", f"{HEAD}  z:\n    cmd: 'true'\n    {OUT}"])
@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE)
def test_a_lock_that_dvc_takes_is_left_as_it_is(empty: Path, text: str, committed: str, ending: str) -> None:
    commit_lock(committed)
    data = (text.rstrip("\r\n") if ending else text).encode()
    (empty / "dvc.lock").write_bytes(data)
    assert mend_lock() is None
    assert (empty / "dvc.lock").read_bytes() == data and not paths.torn_lock().exists()


@pytest.mark.parametrize("committed", ["", f"{A}    {OUT}"])
@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_lock_that_is_broken_in_another_way_stays_and_it_is_said_what_to_do(
    empty: Path, text: str, committed: str
) -> None:
    commit_lock(committed)
    (empty / "dvc.lock").write_text(text)
    with pytest.raises(R2IError) as caught:
        mend_lock()
    assert "git checkout" in caught.value.remedy
    assert (empty / "dvc.lock").read_text() == text and not paths.torn_lock().exists()


def test_a_lock_from_which_a_person_took_stages_stays(empty: Path) -> None:
    stages = {name: f"  {name}:\n    cmd: 'true'\n    {OUT}" for name in "abc"}
    (empty / "dvc.yaml").write_text("stages:\n  a: {cmd: 'true', frozen: true}\n")
    commit_lock(HEAD + "".join(stages.values()))
    for kept in ("ab", "ac", "a"):
        text = HEAD + "".join(stages[name] for name in kept)
        (empty / "dvc.lock").write_text(text)
        assert mend_lock() is None and (empty / "dvc.lock").read_text() == text
    text = HEAD + stages["b"] + stages["c"]  # without the frozen one DVC could not go on
    (empty / "dvc.lock").write_text(text)
    with pytest.raises(R2IError, match="no entry of the frozen stage a"):
        mend_lock()
    assert (empty / "dvc.lock").read_text() == text


def test_a_lock_that_was_cut_off_anywhere_is_one_that_dvc_completes_or_is_put_aside(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "dvc.lock").read_text(encoding="utf-8")
    ends = [place for place, letter in enumerate(text, 1) if letter == "\n"]
    shutil.copy(ROOT / "dvc.yaml", empty)
    known = read_yaml(text)["stages"]
    tail = len(text) - 400
    asides = 0
    for cut in {*range(150), *ends[::61], *range(0, tail, 3999), *range(tail, len(text), 7)}:
        if is_cut_off(text[:cut].encode(), text.encode()):
            asides += 1
            continue
        assert is_accepted(text[:cut])
        for name, stage in read_yaml(text[:cut])["stages"].items():
            for kind in ("deps", "outs"):
                for entry, whole in zip(stage.get(kind) or (), known[name].get(kind, ()), strict=False):
                    assert entry.get("md5") in (None, whole["md5"])  # never half a hash
        assert known["pretrain"]["outs"] == read_yaml(text[:cut])["stages"]["pretrain"]["outs"]
    assert asides > 100


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_lock_of_dvcs_cut_at_any_byte_is_never_a_broken_one(data: st.DataObject) -> None:
    from dvc.utils.serialize import dumps_yaml

    words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=90)
    entry = st.fixed_dictionaries(
        {
            "path": words,
            "hash": st.just("md5"),
            "md5": st.just("b" * 32) | st.just("c" * 32 + ".dir"),
            "size": st.integers(0),
        }
    )
    stage = st.fixed_dictionaries(
        {"cmd": words},
        optional={
            "deps": st.lists(entry, min_size=1, max_size=3),
            "params": st.dictionaries(
                words, st.dictionaries(words, words | st.floats(allow_nan=False), min_size=1), min_size=1
            ),
            "outs": st.lists(entry, min_size=1, max_size=3),
        },
    )
    order = ("cmd", "deps", "params", "outs")
    stages = data.draw(st.dictionaries(words, stage, min_size=1, max_size=3))
    ordered = {name: {part: one[part] for part in order if part in one} for name, one in stages.items()}
    whole = dumps_yaml({"schema": "2.0", "stages": ordered}).encode()
    assert not is_cut_off(whole)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    assert is_cut_off(cut) or is_accepted(cut.decode("utf-8", "ignore"))


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


def test_locks_that_were_put_aside_are_all_kept(empty: Path) -> None:
    commit_lock(f"{A}    {OUT}")
    cuts = [b"", b"schema: '2", f"{HEAD}  a:\n    cm".encode(), b"", b"\0" * 4096]
    for data in cuts:
        (empty / "dvc.lock").write_bytes(data)
        assert mend_lock()
    assert sorted(path.read_bytes() for path in Path(".r2i").glob("dvc.lock.torn*")) == sorted(cuts)


def test_a_committed_lock_that_is_broken_takes_no_place(empty: Path) -> None:
    commit_lock("<<<<<<< HEAD\n")
    (empty / "dvc.lock").write_bytes(b"schema: '2.0'\nstag")
    assert mend_lock() and not (empty / "dvc.lock").exists()
