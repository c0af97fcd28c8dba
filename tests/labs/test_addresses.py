"""Two labs whose teacher is at another address: one dvc.lock, and nothing to run for the second one's clone."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from clone import clone, run
from endpoint.fake_server import Answer, choices, serve

pytestmark = pytest.mark.slow
THINGS = [{"bbox_2d": [100 + 250 * i, 100, 250 + 250 * i, 260], "label": f"thing {i}"} for i in range(3)]


def list_things(body: dict[str, Any]) -> Answer:
    return choices(json.dumps({"objects": THINGS}))


def lab(folder: Path) -> Path:
    """A clone whose profile lists the objects of four scenes by a teacher without an address."""
    folder.mkdir()
    clone(folder)
    path = folder / "params.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    smoke = values["profiles"]["smoke"]
    profile = {
        "endpoints": {"teacher": {"kind": "openai", "model": "big"}},
        "sample": smoke["sample"] | {"images": 4, "pools": [{"kind": "rendered", "name": "scenes", "scenes": 4}]},
        "crop": {"method": "teacher", "teacher": "teacher", "min_side": 8, "per_image": 3},
    }
    path.write_text(yaml.safe_dump(values | {"profile": "own", "profiles": {"own": profile}}), encoding="utf-8")
    return folder


def repro(folder: Path, address: str) -> str:
    done = run(folder, "dvc", "repro", "crop", R2I_SERVER_TEACHER=address, R2I_STORE=str(folder / ".r2i" / "store"))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_two_labs_with_other_addresses_write_the_same_lock(tmp_path: Path) -> None:
    locks, asked = [], []
    for name in "ab":
        with serve() as server:
            server.answer = list_things
            repro(lab(tmp_path / name), server.url)
            locks.append((tmp_path / name / "dvc.lock").read_bytes())
            asked.append(len(server.calls))
    assert asked[0] == asked[1] > 0
    assert locks[0] == locks[1] and b"teacher" in locks[0] and b"127.0.0.1" not in locks[0]
    counts = json.loads((tmp_path / "b" / "metrics" / "crop.json").read_text())
    assert counts["status"]["ok"] > 0
    again = repro(tmp_path / "a", "http://127.0.0.1:9/v1")
    assert not re.search(r"Running stage '(sample|crop)'", again)
