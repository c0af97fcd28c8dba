"""What tests of two labs share."""

import os
import shutil
from pathlib import Path

import pytest
from labs.lab import ROOT, commit, environment, run

from bench.remote_servers import Remote, configure


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two clones of a repository with nothing in it but DVC, and one remote, a folder."""
    for name in [name for name in os.environ if name.startswith(("R2I_", "DVC_", "GIT_"))]:
        monkeypatch.delenv(name)
    for name, value in environment(tmp_path / "any").items():
        monkeypatch.setenv(name, value)
    bare, seed = tmp_path / "shared.git", tmp_path / "seed"
    seed.mkdir()
    run(tmp_path, "git", "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    run(seed, "git", "init", "--quiet", "--initial-branch=main")
    run(seed, "dvc", "init", "--quiet")
    shutil.copy(ROOT / ".gitattributes", seed)
    (seed / ".gitignore").write_text("/.r2i/\n/replies\n")
    commit(seed, "seed")
    run(seed, "git", "push", "--quiet", str(bare), "main")
    for name in ("a", "b"):
        run(tmp_path, "git", "clone", "--quiet", str(bare), name)
        configure(tmp_path / name, Remote(str(tmp_path / "remote")))
    return tmp_path / "a", tmp_path / "b"
