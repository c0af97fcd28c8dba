"""A tiny student."""

from pathlib import Path

import pytest

from r2i.mini.checkpoint import build_model, save_checkpoint


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    save_checkpoint(build_model(0), folder)
    return folder
