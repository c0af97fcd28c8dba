from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mini checkpoint with random weights: its replies mean nothing but are well defined."""
    from r2i.mini.checkpoint import build_model, save_checkpoint

    folder = tmp_path_factory.mktemp("models") / "random"
    save_checkpoint(build_model(0), folder)
    return folder
