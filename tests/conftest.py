"""What all tests share."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("R2I_LIVE", "0")  # no MLflow run for each little training
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which `dvc repro` ended: one for all tests, which leave it as it is."""
    from smoke_run import clone, run

    folder = clone(tmp_path_factory.mktemp("clone"))
    done = run(folder, "dvc", "repro")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


@pytest.fixture(scope="session")
def made_lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny repository with a row in every table and a lock of DVC's (tests/made_chain.py); not to be changed."""
    from made_chain import make_chain

    return _made(tmp_path_factory.mktemp("chain"), make_chain)


@pytest.fixture(scope="session")
def made_explored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables that the explorer's tests look at (tests/explore_run.py); not to be changed."""
    from explore_run import make_run

    return _made(tmp_path_factory.mktemp("explored"), make_run)


def _made(root: Path, make: Callable[[Path], None]) -> Path:
    """`root`, after `make` has run in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        make(root)
    return root


@pytest.fixture
def chain(made_lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to spoil, as the current directory."""
    root = tmp_path / "lab"
    shutil.copytree(made_lab, root, symlinks=True)
    monkeypatch.chdir(root)
    for name in ("R2I_STORE", "R2I_REPLIES", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    return root
