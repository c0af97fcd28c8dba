"""A rehearsal runs a profile as it is: what it changes is small, and named."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.rehearsal import MAY_CHANGE, OVERLAY, leaves, overlaid
from r2i.core.params import Params

ROOT = Path(__file__).parents[2]
PROFILES = yaml.safe_load(OVERLAY.read_text(encoding="utf-8"))
WRITTEN: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("profile", PROFILES)
def test_a_rehearsal_changes_counts_and_paths_of_models_alone(profile: str) -> None:
    rehearsed = overlaid(WRITTEN, profile)
    before, after = (dict(leaves(each["profiles"][profile])) for each in (WRITTEN, rehearsed))
    differ = {key for key in before.keys() | after.keys() if before.get(key, "") != after.get(key, "")}
    assert "rehearsal" in differ and differ <= MAY_CHANGE
    others = [
        {name: each["profiles"][name] for name in each["profiles"] if name != profile} for each in (WRITTEN, rehearsed)
    ]
    assert others[0] == others[1]
    assert {**rehearsed, "profile": "", "profiles": {}} == {**WRITTEN, "profile": "", "profiles": {}}
    assert Params.model_validate(rehearsed).chosen.rehearsal


def test_every_profile_of_real_models_is_rehearsed() -> None:
    real = {
        name
        for name, section in WRITTEN["profiles"].items()
        if (section.get("train") or {}).get("engine") == "openrlhf"
    }
    assert set(PROFILES) == real


def test_params_of_no_profile_say_rehearsal() -> None:
    assert not any("rehearsal" in section for section in WRITTEN["profiles"].values())
