"""What all tests share."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("R2I_LIVE", "0")  # no MLflow run for each little training
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported: libgomp reads them when it is loaded
os.environ.setdefault("GOMP_SPINCOUNT", "30000")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # clones' stages too: the other cores have workers of their own


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules that run the pipeline come first, so that no worker is left alone with one at the end; of those the ones
    that need the finished run last but for one, so that one worker makes it and none waits for it."""
    slow = [item for item in items if item.get_closest_marker("slow")]
    modules = list(dict.fromkeys(item.path for item in slow if "finished" in getattr(item, "fixturenames", ())))

    def turn(item: pytest.Item) -> int:
        if item.get_closest_marker("slow") is None:
            return 3
        return 1 if item.path not in modules else 0 if item.path == modules[0] else 2

    items.sort(key=turn)


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """`make_once(name, make)`: a folder that `make(folder)` filled, once for all workers of a run."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def get(name: str, make: Callable[[Path], object]) -> Path:
        folder, complete = shared / name, shared / f"{name}.complete"
        with FileLock(shared / f"{name}.lock"):
            if not complete.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                with pytest.MonkeyPatch.context() as patch:
                    patch.chdir(folder)
                    make(folder)
                complete.touch()
        return folder

    return get


@pytest.fixture(scope="session")
def finished(make_once: Callable[..., Path]) -> Path:
    """A clone in which `dvc repro` ended: one for all tests, which leave it as it is."""
    from clone import clone, run

    def repro(folder: Path) -> None:
        done = run(clone(folder), "dvc", "repro")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    return make_once("finished", repro)


@pytest.fixture(scope="session")
def made_lab(make_once: Callable[..., Path]) -> Path:
    """A tiny repository with a row in every table and a lock of DVC's (tests/made_lab.py); not to be changed."""
    from made_lab import make_lab

    return make_once("lab", make_lab)


@pytest.fixture
def chain(made_lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to spoil, as the current directory."""
    root = tmp_path / "lab"
    shutil.copytree(made_lab, root, symlinks=True)
    monkeypatch.chdir(root)
    for name in ("R2I_STORE", "R2I_REPLIES", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    return root
