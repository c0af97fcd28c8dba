"""What a remote holds is checked before any of it is written: another lab, or whoever has its keys, wrote it."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from labs.lab import Repeated, commit, run, stand_alone

from bench.faults_locks import NAMES_ELSEWHERE
from r2i.core.errors import R2IError
from r2i.repo.commands import open_tree, run_dvc
from r2i.repo.git import install_merge_driver
from r2i.repo.listing import MD5, fault_of_entries, fault_of_output
from r2i.tools import labs

EVIL = b"import os; os.abort()\n"


def digest(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def put(remote: Path, data: bytes, md5: str = "", ending: str = "") -> str:
    """An object of the remote, under the hash of its bytes or another."""
    md5 = md5 or digest(data)
    path = remote / "files" / "md5" / md5[:2] / (md5[2:] + ending)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    path.chmod(0o444)  # as DVC leaves it there
    return md5 + ending


def listing(*names: str, md5: str = "") -> bytes:
    return json.dumps([{"md5": md5 or digest(EVIL), "relpath": name} for name in names]).encode()


def share_pool(folder: Path) -> None:
    """The first lab shares a folder `pool` and a stage `copy`; the second is at that commit."""
    a = folder / "a"
    (a / "pool").mkdir()
    for name in "12":
        (a / "pool" / f"{name}.txt").write_bytes(name.encode())
    (a / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"copy": {
        "cmd": "mkdir -p out && cp pool/1.txt out", "deps": ["pool"], "outs": ["out"],
    }}}))  # fmt: skip
    run(a, "dvc", "add", "--quiet", "pool")
    run(a, "dvc", "repro", "--quiet")
    run(a, "dvc", "push", "--run-cache", "--quiet")
    commit(a, "a pool")
    run(a, "git", "push", "--quiet", "origin", "main")
    run(folder / "b", "git", "pull", "--quiet")


@pytest.fixture(scope="module")
def repeated_pool(repeated_pair: Repeated, tmp_path_factory: pytest.TempPathFactory) -> Repeated:
    return Repeated(tmp_path_factory.mktemp("pool"), share_pool, repeated_pair)


@pytest.fixture
def clone(repeated_pool: Repeated, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The second lab's, at the commit with `pool`."""
    stand_alone(repeated_pool.folder, monkeypatch)
    _, b = repeated_pool.restore()
    monkeypatch.chdir(b)
    return b


@pytest.fixture
def remote(repeated_pool: Repeated) -> Path:
    return repeated_pool.folder / "remote"


def replace_listing(clone: Path, remote: Path, data: bytes) -> None:
    """In the remote alone: other bytes under the name that the commit has."""
    md5 = yaml.safe_load((clone / "pool.dvc").read_text())["outs"][0]["md5"].removesuffix(".dir")
    put(remote, data, md5, ".dir")


def commit_listing(clone: Path, remote: Path, data: bytes) -> None:
    """In the commit too: the listing is what its name says."""
    pointer = yaml.safe_load((clone / "pool.dvc").read_text())
    pointer["outs"][0] |= {"md5": put(remote, data, ending=".dir"), "nfiles": 1, "size": 1}
    (clone / "pool.dvc").write_text(yaml.safe_dump(pointer))
    commit(clone, "another pool")


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file of a clone, DVC's cache included, and what lies beside the clone."""
    left_out = (".git", "tmp")
    inside = {path for path in folder.rglob("*") if path.is_file() and not set(left_out) & set(path.parts[-6:])}
    beside = {path for path in folder.parent.glob("*") if path.is_file()}
    return {str(path): path.read_bytes() for path in inside | beside}


@pytest.mark.parametrize("name", NAMES_ELSEWHERE)
def test_a_listing_names_files_within_its_folder_or_is_none(name: str) -> None:
    assert "outside its folder" in fault_of_entries([{"md5": "a" * 32, "relpath": name}])


@pytest.mark.parametrize(
    "entries",
    [
        {"relpath": "a"}, "a", [1], [{"md5": "a" * 32}], [{"relpath": 3, "md5": "a" * 32}],
        [{"relpath": "a", "md5": "../" * 11}], [{"relpath": "a", "md5": ""}], [{"relpath": "a", "md5": "A" * 32}],
        [{"relpath": "a", "md5": "a" * 32}] * 2,
    ],
)  # fmt: skip
def test_what_is_no_list_of_names_and_hashes_is_no_listing(entries: Any) -> None:
    assert fault_of_entries(entries)


def test_ordinary_names_of_files_pass() -> None:
    names = [
        "a.jpg",
        "cam 1/0001.jpg",
        "früh/ü.png",
        "图/猫.jpg",
        "..a",
        "a..b/c",
        ".hidden",
        "part-00000-of-00001.parquet",
    ]
    assert fault_of_entries([{"md5": "0" * 32, "relpath": name} for name in names]) == ""
    assert fault_of_output("data/vote/votes", "0" * 32 + ".dir") == "" == fault_of_output("s3://b/x", "")


@pytest.mark.parametrize("spoil", [replace_listing, commit_listing])
@pytest.mark.parametrize("fetch", [labs.pull, lambda: labs.pull(["pool.dvc"]), lambda: run_dvc("fetch", "pool.dvc")])
def test_a_pull_stops_at_such_a_listing_before_anything_is_written(
    clone: Path, remote: Path, spoil: Callable[[Path, Path, bytes], None], fetch: Callable[[], None]
) -> None:
    put(remote, EVIL)
    spoil(clone, remote, listing("1.txt", "../stages/x.py"))
    before = snapshot(clone)
    with pytest.raises(R2IError, match=r"listing of pool \(pool\.dvc\)") as caught:
        fetch()
    assert "nothing was written" in caught.value.remedy
    assert snapshot(clone) == before


def test_a_hash_that_leads_out_of_the_cache_is_not_followed(clone: Path, remote: Path) -> None:
    for md5 in ("..//../../stages/x.py", "../" * 8 + "tmp/x"):
        commit_listing(clone, remote, listing("a", md5=md5))
        before = snapshot(clone)
        with pytest.raises(R2IError, match="has no hash of 'a'"):
            labs.pull()
        assert snapshot(clone) == before


@pytest.mark.parametrize("path", ["sub/../../x.py", "/tmp/r2i-evil", ".git/hooks/x"])
def test_an_output_outside_of_the_repository_is_not_fetched(clone: Path, remote: Path, path: str) -> None:
    pointer = {"outs": [{"path": path, "hash": "md5", "md5": put(remote, EVIL), "size": len(EVIL)}]}
    (clone / "more.dvc").write_text(yaml.safe_dump(pointer))
    before = snapshot(clone)
    with pytest.raises(R2IError, match=r"of more\.dvc lies") as caught:
        labs.pull()
    assert "git log" in caught.value.remedy and snapshot(clone) == before


def test_a_listing_of_the_cache_is_not_followed_either(clone: Path, remote: Path) -> None:
    """As a plain `dvc fetch` may have left it there."""
    labs.pull()
    md5 = yaml.safe_load((clone / "pool.dvc").read_text())["outs"][0]["md5"]
    path = clone / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    path.chmod(0o644)
    path.write_bytes(listing("../stages/x.py"))
    with pytest.raises(R2IError, match="the cache's listing of pool") as caught:
        labs.pull()
    assert f"remove {path}" in caught.value.remedy
    path.unlink()
    labs.pull()
    assert (clone / "pool/1.txt").read_bytes() == b"1"


def test_another_revision_is_not_read_by_such_a_listing(clone: Path, remote: Path) -> None:
    """As `r2i compare`, `r2i track EXPERIMENT` and the archive's fetch read them."""
    put(remote, EVIL)
    commit_listing(clone, remote, listing("../stages/x.py"))
    _, files = open_tree("HEAD")
    with pytest.raises(Exception, match="failed to load directory"):
        files.find("pool")
    with pytest.raises(Exception, match="failed to load directory"):
        files.get("pool", str(clone / "there"), recursive=True)
    assert not (clone / "stages").exists() and not list(clone.rglob("x.py"))


def test_a_merge_does_not_follow_such_a_listing(clone: Path, remote: Path) -> None:
    put(remote, EVIL)
    install_merge_driver()
    run(clone, "git", "checkout", "-q", "-b", "theirs")
    commit_listing(clone, remote, listing("../stages/x.py", "1.txt"))
    run(clone, "git", "checkout", "-q", "main")
    commit_listing(clone, remote, listing("1.txt", "2.txt"))
    subprocess.run(["git", "merge", "--quiet", "--no-edit", "theirs"], capture_output=True, check=False)
    assert "stages/x.py" not in (clone / "pool.dvc").read_text() and not list(clone.rglob("x.py"))
    assert "pool.dvc" in run(clone, "git", "diff", "--name-only", "--diff-filter=U")  # left to a person


def test_a_sound_remote_is_pulled_with_its_run_cache_and_nothing_runs(clone: Path) -> None:
    labs.pull()
    assert (clone / "out/1.txt").read_bytes() == b"1"
    (clone / "dvc.lock").unlink()
    done = run(clone, sys.executable, "-m", "dvc", "repro")
    assert "is cached - skipping run" in done
    assert oct((clone / ".dvc/cache/files/md5").glob("*/*.dir").__next__().stat().st_mode)[-3:] == "444"


def test_an_entry_of_the_run_cache_that_is_not_what_its_name_says_is_left_there(
    clone: Path, remote: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """DVC would check out whatever it names, once the stage is to run: `outs: [{path: stages/x.py}]`."""
    (found,) = [path for path in (remote / "runs").rglob("*") if path.is_file()]
    entry = yaml.safe_load(found.read_text())
    entry["outs"] = [{"path": "stages/x.py", "hash": "md5", "md5": put(remote, EVIL), "size": len(EVIL)}]
    found.chmod(0o644)
    found.write_text(yaml.safe_dump(entry))
    (remote / "runs" / "ab").mkdir()
    (remote / "runs" / "ab" / "stray").write_text("x")
    labs.pull()
    assert "1 entries of the remote's run-cache are not what their names say" in capfd.readouterr().err
    assert not list((clone / ".dvc/cache/runs").rglob(found.name)) and not list((clone / ".dvc/cache").rglob("stray"))
    (clone / "dvc.lock").unlink()
    run(clone, sys.executable, "-m", "dvc", "repro")
    assert not (clone / "stages").exists()


def test_a_file_that_is_not_what_its_name_says_is_not_taken(clone: Path, remote: Path) -> None:
    put(remote, EVIL, digest(b"2"))
    with pytest.raises(R2IError):
        labs.pull()
    assert not any(path.read_bytes() == EVIL for path in clone.rglob("*") if path.is_file())
    put(remote, b"2")
    labs.pull()
    assert (clone / "pool/2.txt").read_bytes() == b"2"


def test_a_remote_that_is_gone_is_an_error_without_a_traceback(clone: Path, remote: Path) -> None:
    remote.rename(remote.with_name("elsewhere"))
    with pytest.raises(R2IError):
        labs.pull()


def test_hashes_are_of_one_form() -> None:
    assert MD5.fullmatch("0" * 32) and not MD5.fullmatch("0" * 32 + "\n")
