"""A git worktree is no second lab: what was paid for in the repository that it belongs to is there, and so is the
remote."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from endpoint.made_replies import made_key, put
from made_lab import GIT, run

from r2i.core import paths
from r2i.core.errors import R2IError
from r2i.endpoint.store import Store
from r2i.repo.commands import require_remote, take_settings
from r2i.tools import labs


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory: a worktree of `main` beside it, which has a remote by a relative path."""
    for name in [name for name in os.environ if name.startswith(("R2I_", "DVC_"))]:
        monkeypatch.delenv(name)
    main = tmp_path / "main"
    main.mkdir()
    run(main, "git", "init", "--quiet")
    run(main, "dvc", "init", "--quiet")
    (main / ".gitignore").write_text("/.r2i/\n/replies\n")
    (main / "pool").mkdir()
    (main / "pool" / "1.jpg").write_bytes(b"1")
    run(main, "dvc", "add", "--quiet", "pool")
    run(main, "git", "add", "-A")
    run(main, "git", *GIT, "commit", "--quiet", "-m", "a run")
    run(main, "dvc", "remote", "add", "--local", "--default", "--quiet", "shared", "../remote")
    run(main, "dvc", "push", "--quiet")
    run(main, "git", "worktree", "add", "--quiet", str(tmp_path / "deep" / "tree"))
    monkeypatch.chdir(tmp_path / "deep" / "tree")
    yield tmp_path / "deep" / "tree"


def test_a_worktree_reads_and_writes_the_store_of_its_repository(tree: Path, tmp_path: Path) -> None:
    put(Store(tmp_path / "main/.r2i/store", tmp_path / "main/replies"), 0, {0: "four"})
    assert paths.reply_store().resolve() == tmp_path / "main/.r2i/store"
    assert Store(paths.reply_store(), paths.reply_archive()).read(made_key(0))
    (tmp_path / "main/replies").mkdir()
    assert paths.reply_archive().resolve() == tmp_path / "main/replies"  # until it has pulled its own
    assert paths.here_or_main(Path("unversioned")) == Path("unversioned")


def test_a_worktree_takes_the_remote_of_its_repository(tree: Path, tmp_path: Path) -> None:
    assert require_remote() == "shared"
    labs.pull()
    assert Path("pool/1.jpg").read_bytes() == b"1"
    mode = (tmp_path / "main/.dvc/config.local").stat().st_mode
    assert Path(".dvc/config.local").stat().st_mode == mode
    assert "config.local" not in run(tree, "git", "status", "--porcelain")


def test_settings_of_its_own_stay(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path(".dvc/config.local").write_text("[core]\n    remote = mine\n['remote \"mine\"']\n    url = /elsewhere\n")
    assert take_settings() is None and require_remote() == "mine" and capsys.readouterr().err == ""


def test_what_dvc_runs_elsewhere_keeps_to_the_repository_that_it_names(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "third"))
    assert paths.state_folder() == tmp_path / "third/.r2i" and paths.reply_archive() == tmp_path / "third/replies"


def test_a_submodule_and_a_plain_folder_are_no_worktrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert paths.main_worktree() is None
    (tmp_path / "modules").mkdir()
    for text in ("gitdir: modules\n", "gitdir: nowhere", "", "\0"):
        (tmp_path / ".git").write_text(text)
        assert paths.main_worktree() is None
    with pytest.raises(R2IError):
        require_remote()
