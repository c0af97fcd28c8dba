"""What tests of two labs share."""

import pytest
from labs.lab import Pair, Repeated, make_pair, stand_alone


@pytest.fixture(scope="module")
def repeated_pair(tmp_path_factory: pytest.TempPathFactory) -> Repeated:
    return Repeated(tmp_path_factory.mktemp("pair"), make_pair)


@pytest.fixture
def pair(repeated_pair: Repeated, monkeypatch: pytest.MonkeyPatch) -> Pair:
    """Two clones of a repository with nothing in it but DVC, and one remote, a folder."""
    stand_alone(repeated_pair.folder, monkeypatch)
    return repeated_pair.restore()
