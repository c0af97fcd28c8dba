"""A rehearsal runs a profile as it is: what it changes is small, and named."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.rehearsal import MAY_CHANGE, OVERLAY, environment_of, leaves, overlaid, record
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


def test_made_replies_go_into_no_store_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(overlaid(WRITTEN, "one-gpu")), encoding="utf-8")
    monkeypatch.setenv("R2I_STORE", "/shared/replies")
    monkeypatch.setenv("R2I_REPLIES", "s3://lab/replies")
    env = environment_of(tmp_path, "one-gpu", "http://127.0.0.1:1/v1")
    assert not env.keys() & {"R2I_STORE", "R2I_REPLIES"} and env["R2I_SERVER_STUDENT"]


def test_a_failed_rehearsal_replaces_no_whole_one_and_seconds_are_of_one_code(tmp_path: Path) -> None:
    result, codes = tmp_path / "result.json", [{"revision": "", "dirty": False, "code": {"a": at}} for at in "xy"]

    def seconds(folder: str, reached: bool, code: dict[str, Any], **of: float) -> Any:
        (tmp_path / folder).mkdir(exist_ok=True)
        record(result, tmp_path / folder, "paper", {"reached_report": reached, "stages_s": of}, code)
        return json.loads(result.read_text())["profiles"]["paper"]["stages_s"]

    assert seconds("one", False, codes[0], crop=1.0) == {"crop": 1.0}
    assert seconds("one", True, codes[0], vote=2.0) == {"crop": 1.0, "vote": 2.0}
    assert seconds("one", True, codes[1], vote=3.0) == {"crop": 1.0, "vote": 2.0}  # crop was the other code's
    assert seconds("two", False, codes[1], crop=4.0) == {"crop": 1.0, "vote": 2.0}
    assert seconds("two", True, codes[1], vote=5.0) == {"crop": 4.0, "vote": 5.0}


def test_a_training_that_takes_too_long_does_not_go_on_unwatched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import on_cpu  # where bench.rehearsal looks

    (tmp_path / "train_here.py").write_text("import time\ntime.sleep(60)\n", encoding="utf-8")
    monkeypatch.setattr(on_cpu, "HERE", tmp_path)
    run = on_cpu.Run(tmp_path / "run", {"gpus": 1})
    with pytest.raises(subprocess.TimeoutExpired):
        run.wait(0.1)
    assert run.process.poll() is not None
    run = on_cpu.Run(tmp_path / "run", {"gpus": 1})
    with pytest.raises(AssertionError, match="no step 3"):
        run.kill_after(3, 0.1)
    assert run.process.poll() is not None
