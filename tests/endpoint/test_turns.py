"""Two engines on one device: never up together, and the tables are those of engines that are."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_rows import by_reason, image_row, question_row, region_row, vote_row

from r2i.answer.ask import AnswerWork
from r2i.core import paths, records
from r2i.core.catalogue import ANSWERS, TRAIN, Listed
from r2i.core.errors import EndpointError
from r2i.core.shards import make_table
from r2i.core.tables import read_table, write_table
from r2i.overlay.ask import OverlayWork

ROOT = Path(__file__).parents[2]
NUMBERS = range(12)
CUT = {f"image-{number}": f"s{number // 4}" for number in NUMBERS}  # three shards
FILE = Path("params.yaml")


def endpoint(name: str) -> dict[str, Any]:
    command = ["flock", "--nonblock", "device", sys.executable, str(Path(__file__).parent / "engine.py"), "serve"]
    return {"kind": "vllm", "model": f"lab/{name}", "command": command, "retries": 0, "enforce_form": False,
            "start_timeout_s": 60}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("R2I_STORE", str(tmp_path / ".r2i" / "store"))
    write_table(paths.IMAGES, [image_row(n) for n in NUMBERS], records.IMAGES, CUT)
    write_table(paths.REGIONS, [region_row(n) for n in NUMBERS], records.REGIONS, CUT)
    write_table(paths.QUESTIONS, [question_row(n, f"which digit is {n}?") for n in NUMBERS], records.QUESTIONS, CUT)
    write_table(paths.VOTES, [vote_row(n) for n in NUMBERS], records.VOTES, CUT)


def write_params(share: bool, skip_below: int | None = None) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    smoke = params["profiles"]["smoke"]
    names = ("first", "second")
    smoke["execution"] = {"share_device": share}
    smoke["endpoints"] |= {name: endpoint(name) for name in names}
    if not share:  # each has a device of its own
        for name in names:
            command = smoke["endpoints"][name]["command"]
            smoke["endpoints"][name]["command"] = [*command[:2], f"device-{name}", *command[3:]]
    smoke["answer"]["teachers"] = [{"endpoint": name, "samples": 4} for name in names]
    smoke["answer"] |= {"prompts": "paper", "skip_below": skip_below}
    smoke["overlay"] |= {"prompts": "paper", "teacher": "first", "student": "second", "drop_at": 8}
    FILE.write_text(yaml.safe_dump({**params, "profile": "smoke"}), encoding="utf-8")


def table(listed: Listed) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in listed.parts()}


def starts(name: str) -> int:
    return (Path(".r2i/logs") / f"vllm-lab-{name}.log").read_text().count("===")


@pytest.mark.parametrize("work", [AnswerWork, OverlayWork])
def test_a_shared_device_changes_no_byte(work: type[AnswerWork | OverlayWork]) -> None:
    """Though some calls fail: they are not made again when the other engine is up."""
    listed = {AnswerWork: ANSWERS, OverlayWork: TRAIN}[work]
    made = {}
    for share in (False, True):
        write_params(share)
        made[share] = make_table(work, FILE), table(listed)
        assert (starts("first"), starts("second")) == (1, 1)
        shutil.rmtree(".r2i")
    assert made[True] == made[False]
    found = by_reason(read_table(listed.folder, listed.schema, listed.stage))
    assert any("server_error" in reason for reason in found) and any(reason.startswith("ok") for reason in found)


def test_the_second_teacher_is_asked_where_it_can_still_matter() -> None:
    made = {}
    for share in (False, True):
        write_params(share, skip_below=6)
        made[share] = make_table(AnswerWork, FILE), table(ANSWERS)
        shutil.rmtree(".r2i")
    assert made[True] == made[False]
    assert made[True][0]["not_asked"]["questions"] > 0


def test_engines_that_are_not_told_to_share_meet_on_the_device() -> None:
    """So that the other tests show something: here the second one finds the device taken."""
    write_params(share=True)
    text = FILE.read_text(encoding="utf-8")
    FILE.write_text(text.replace("share_device: true", "share_device: false"), encoding="utf-8")
    with pytest.raises(EndpointError, match="ended with exit code 1"):
        make_table(AnswerWork, FILE)
