"""`make push` and `make pull` in small repositories: nothing that was shared or paid for gets lost."""

import configparser
import subprocess
from pathlib import Path

import pytest
import yaml
from endpoint.made_replies import made_key, put
from labs.lab import ROOT, commit, run

from r2i.core.errors import R2IError
from r2i.endpoint.archive import Archive
from r2i.endpoint.store import Store
from r2i.repo.commands import check_fresh, require_remote
from r2i.repo.git import uncommitted_files
from r2i.tools import labs
from r2i.tools.replies.pack import pack
from r2i.tools.replies.share import pack_replies

KEYS = {"url", "password", "access_key_id", "secret_access_key", "keyfile", "user", "token"}


def pay(number: int) -> None:
    """A reply in the live store of this folder."""
    put(Store(Path(".r2i/store"), Path("replies")), number, {0: "four"})


def share() -> None:
    pack_replies()
    labs.push()


def known() -> set[int]:
    """The replies that this folder's archive holds."""
    archive = Archive(Path("replies"))
    return {number for number in range(9) if archive.find(made_key(number))}


def test_two_first_archives_merge_and_a_third_party_loses_nothing(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both labs add `replies.dvc`: git sees "both added", with no common ancestor. The driver takes the union."""
    a, b = pair
    for number, folder in enumerate(pair):
        monkeypatch.chdir(folder)
        pay(number)
        share()
        commit(folder, f"reply {number}")
    run(a, "git", "push", "--quiet", "origin", "main")
    run(b, "git", "pull", "--quiet", "--no-rebase", "--no-edit")  # fetches a's listing by itself
    assert yaml.safe_load((b / "replies.dvc").read_text())["outs"][0]["nfiles"] == 2
    # b pays for another before it has pulled a's segment: its push brings that first
    pay(2)
    share()
    assert known() == {0, 1, 2}
    commit(b, "three")
    run(b, "git", "push", "--quiet", "origin", "main")
    monkeypatch.chdir(a)
    run(a, "git", "pull", "--quiet", "--no-rebase", "--no-edit")
    labs.pull()
    assert known() == {0, 1, 2}


def test_push_and_pull_again_change_nothing(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pair[0])
    pay(0)
    share()
    assert uncommitted_files() == ["replies.dvc"]
    commit(pair[0], "reply")
    before = sorted((pair[0].parent / "remote").rglob("*"))
    share()
    labs.pull()
    labs.pull()
    assert sorted((pair[0].parent / "remote").rglob("*")) == before
    assert uncommitted_files() == [] and known() == {0}


def test_a_pull_does_not_remove_segments_that_nobody_else_has(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pair[0])
    pay(0)
    pack(Store(), Archive(Path("replies")))
    with pytest.raises(R2IError, match="does not name"):
        labs.pull()
    assert known() == {0}
    share()
    labs.pull()


def test_a_pull_says_what_the_remote_lacks(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab has committed, and forgot to push."""
    a, b = pair
    (a / "pool").mkdir()
    (a / "pool" / "1.jpg").write_bytes(b"1")
    run(a, "dvc", "add", "--quiet", "pool")
    commit(a, "a pool")
    run(a, "git", "push", "--quiet", "origin", "main")
    run(b, "git", "pull", "--quiet")
    monkeypatch.chdir(b)
    with pytest.raises(R2IError) as caught:
        labs.pull()
    assert "make push" in caught.value.remedy


def test_a_lock_that_is_not_of_this_commit_is_named_and_so_is_what_was_not_pushed(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As CI sees it: a clone without any data."""
    a, b = pair
    steps = {
        name: {"cmd": f"cp {old} {name}", "deps": [old], "outs": [name]}
        for old, name in (("in", "mid"), ("mid", "out"))
    }
    (a / "dvc.yaml").write_text(yaml.safe_dump({"stages": steps}))
    (a / "in").write_text("1")
    run(a, "dvc", "repro")
    commit(a, "a pipeline")
    run(a, "git", "push", "--quiet", "origin", "main")
    run(b, "git", "pull", "--quiet")
    monkeypatch.chdir(b)
    assert sorted(check_fresh()) == ["mid", "out"]
    run(a, "dvc", "push")
    assert check_fresh() == [] and not Path("mid").exists()
    Path("in").write_text("2")
    with pytest.raises(R2IError, match="would run mid"):
        check_fresh()


def test_a_remote_that_is_missing_or_has_no_address_is_an_error_that_says_how_to_set_it(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pair[0])
    (pair[0] / ".dvc" / "config.local").unlink()
    with pytest.raises(R2IError, match="no remote") as caught:
        require_remote()
    assert "dvc remote add --local --default" in caught.value.remedy
    run(pair[0], "dvc", "config", "--local", "core.remote", "shared")
    with pytest.raises(R2IError, match="'shared' has no address"):
        require_remote()
    done = subprocess.run(["make", "-C", ROOT, "--dry-run", "push"], capture_output=True, text=True, check=True)
    assert "r2i.cli.main push" in done.stdout


def test_no_address_and_no_credential_is_committed() -> None:
    config = configparser.ConfigParser()
    config.read_string((ROOT / ".dvc" / "config").read_text().replace("    ", ""))
    assert not {key for section in config.values() for key in section} & KEYS
    assert "remote" not in config["core"]  # without an address it would break `dvc exp run` of a new clone
    ignored = run(ROOT, "git", "check-ignore", "--no-index", ".dvc/config.local", ".dvc/cache")
    assert ignored.split() == [".dvc/config.local", ".dvc/cache"]


def test_pools_whose_names_are_not_ascii_are_pushed_and_pulled(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = pair
    names = ("früh", "图 片")
    for name in names:
        (a / "pools" / name).mkdir(parents=True)
        (a / "pools" / name / "ü.jpg").write_text(name)
        run(a, "dvc", "add", "--quiet", f"pools/{name}")
    monkeypatch.chdir(a)
    labs.push()
    commit(a, "pools")
    run(a, "git", "push", "--quiet", "origin", "main")
    run(b, "git", "pull", "--quiet")
    monkeypatch.chdir(b)
    labs.pull()
    assert [(b / "pools" / name / "ü.jpg").read_text() for name in names] == list(names)
