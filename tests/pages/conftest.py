from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def made_explored(make_once: Callable[..., Path]) -> Path:
    """The tables that the explorer's tests look at (tests/pages/made_explored.py); not to be changed."""
    from pages.made_explored import make_explored

    return make_once("explored", make_explored)
