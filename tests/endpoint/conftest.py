from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from endpoint.fake_server import Server, serve

torch.set_num_threads(1)


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as state:
        yield state


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mini checkpoint with random weights: its replies mean nothing but are well defined."""
    from r2i.mini.checkpoint import build_model, save_checkpoint

    folder = tmp_path_factory.mktemp("models") / "random"
    save_checkpoint(build_model(0), folder)
    return folder
