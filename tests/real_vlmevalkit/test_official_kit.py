"""What the installed VLMEvalKit asks about one item of each benchmark and release, and what we ask under its imported
protocol: `make test-lmms`."""

import base64
import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from r2i.evaluate.foreign import DATASETS, import_vlmevalkit

PYTHON = os.environ.get("R2I_VLMEVALKIT_PYTHON", "")
SCRIPT = Path(__file__).parent / "ask_official.py"
WHERE = "import importlib.util as u; print(next(iter(u.find_spec('vlmeval').submodule_search_locations)))"
OPTIONS = ["red car", "a blue van", "绿色", "two", "none"]

pytestmark = pytest.mark.skipif(
    not PYTHON, reason="R2I_VLMEVALKIT_PYTHON names no Python with VLMEvalKit: `make test-lmms`"
)


def record_of(kind: str) -> dict[str, Any]:
    """As its release, or VLMEvalKit's table of it, has it."""
    out = io.BytesIO()
    Image.new("RGB", (60, 40), "red").save(out, "PNG")
    asked = {"index": 0, "question": question_of(kind), "answer": "B", "category": "Perception/OCR", "l2-category": "x"}
    more: dict[str, Any] = dict(zip("ABCDE", OPTIONS, strict=True))
    if kind.startswith("mme_realworld"):
        more = {"multi-choice options": [f"({letter}) {text}" for letter, text in more.items()]}
    if kind == "cvbench":
        more["prompt"] = "How many? Choose.\n(A) red car"
    return asked | more | {"image": base64.b64encode(out.getvalue()).decode()}


def question_of(kind: str) -> str:
    return "哪一个？" if kind.endswith("_cn") else "Which one?"


def test_the_imported_protocol_asks_what_vlmevalkit_asks(tmp_path: Path) -> None:
    told = {name: (dataset.owner, record_of(kind)) for kind, dataset in DATASETS.items() for name in dataset.names}
    (tmp_path / "records.json").write_text(json.dumps(told))
    (tmp_path / "lmu").mkdir()
    env = os.environ | {"LMUData": str(tmp_path / "lmu"), "PYTHONPATH": ""}
    command = [PYTHON, str(SCRIPT), str(tmp_path / "records.json")]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    asked = json.loads((tmp_path / "lmu" / "asked.json").read_text())
    place = Path(subprocess.run([PYTHON, "-c", WHERE], capture_output=True, text=True, check=True).stdout.strip())
    protocol = import_vlmevalkit(place, "kit")
    assert len(asked) == 9
    for kind, dataset in DATASETS.items():
        item = {"source": kind.removesuffix("_cn"), "question": question_of(kind), "options": OPTIONS}
        text = protocol.text_of(item | {"prompt": record_of(kind).get("prompt")})
        assert {asked[name] for name in dataset.names} == {text}, kind
