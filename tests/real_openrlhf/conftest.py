"""The real OpenRLHF without a GPU: `make test-openrlhf`, minutes. Elsewhere each module of this folder is skipped."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "real_vllm")]

HERE = os.environ.get("R2I_OPENRLHF") == "1"


@pytest.fixture(scope="session")
def figures() -> Iterator[dict[str, dict[str, float]]]:
    """What each run took, by its name; written to the file that $R2I_OPENRLHF_FIGURES names."""
    found: dict[str, dict[str, float]] = {}
    yield found
    if path := os.environ.get("R2I_OPENRLHF_FIGURES"):
        Path(path).write_text(json.dumps(found), encoding="utf-8")
