"""The exported ZoomBench class of VLMEvalKit: with what it needs of VLMEvalKit written here, and, with
$R2I_VLMEVALKIT_PYTHON, in a Python that has VLMEvalKit itself (`make test-lmms`)."""

import json
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from benchmark.made_files import photo, put_parquet, struct
from PIL import Image
from typer.testing import CliRunner

from r2i.cli.main import app
from r2i.core.errors import R2IError
from r2i.tools.exports.zoombench import write_vlmevalkit

PYTHON = os.environ.get("R2I_VLMEVALKIT_PYTHON", "")
SCRIPT = Path(__file__).parent / "ask_zoombench.py"
OPTIONS = "\n(A) red\n(B) None\n(C) blue"
ROWS: list[dict[str, Any]] = [
    {"query": f"<image>What color is the lid?{OPTIONS}", "response": "(B)", "question_type": "color"},
    {"query": f"<image>What color is the cup?{OPTIONS}", "response": "B", "question_type": "color"},
    {"query": "<image>How many cups? (A clue: few.)", "response": "5", "question_type": "counting"},
    {"query": f"What color is the door?{OPTIONS}", "response": "A", "question_type": "color"},
]
STAND_IN = """
import base64, os, os.path as osp
import pandas as pd

INFER_FAIL_MSG = "Failed to obtain answer"

def LMUDataRoot():
    return os.environ["LMUData"]

def load(file):
    return pd.read_csv(file, sep="\\t")

def dump(table, file):
    table.to_csv(file, sep="\\t", index=False)

def d2df(values):
    return pd.DataFrame([values])

def get_intermediate_file_path(file, suffix):
    return file.replace(".tsv", suffix + ".tsv")

class ImageBaseDataset:
    INFER_FAIL_MARKERS = (INFER_FAIL_MSG,)

    def __init__(self, dataset):
        self.data, self.root = self.load_data(dataset), osp.join(LMUDataRoot(), "images", dataset)
        images = dict(zip(self.data["index"], self.data["image"]))
        self.data["image"] = [images[image] if len(image) <= 64 else image for image in self.data["image"]]

    def __len__(self):
        return len(self.data)

    def dump_image(self, line):
        os.makedirs(self.root, exist_ok=True)
        path = osp.join(self.root, f"{line['index']}.png")
        with open(path, "wb") as file:
            file.write(base64.b64decode(line["image"]))
        return [path]
"""
"""What the class needs of VLMEvalKit, by its conventions: an image of at most 64 characters is another row's index."""


def small(number: int) -> bytes:
    data = BytesIO()
    Image.open(BytesIO(photo(number))).resize((20, 10)).save(data, "JPEG")
    return data.getvalue()


def ask(python: str, folder: Path, path: Path | None = None) -> dict[str, Any]:
    """What the class says of ROWS, of which two show one picture."""
    write_vlmevalkit(folder / "export")
    shown = [struct(photo(number)) for number in (1, 1, 2, 3)]
    crops = [struct(small(number)) for number in (4, 5, 6, 7)]
    pictures = zip(ROWS, shown, crops, strict=True)
    rows = [row | {"image": image, "crop_image": crop} for row, image, crop in pictures]
    file = put_parquet(folder / "rows" / "test.parquet", rows)
    (folder / "lmu").mkdir()
    env = os.environ | {
        "LMUData": str(folder / "lmu"),
        "PYTHONPATH": str(path or ""),
        "PRED_FORMAT": "tsv" if path else "xlsx",
    }
    command = [python, str(SCRIPT), str(folder / "export"), str(file)]
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads((folder / "lmu" / "found.json").read_text())
    return found


@pytest.mark.parametrize("real", [False, True])
def test_the_class_asks_the_published_questions_and_counts_no_failed_call(tmp_path: Path, real: bool) -> None:
    if real and not PYTHON:
        pytest.skip("R2I_VLMEVALKIT_PYTHON names no Python with VLMEvalKit: `make test-lmms`")
    stand_in = tmp_path / "stand_in" / "vlmeval"
    if not real:
        (stand_in / "dataset").mkdir(parents=True)
        for file in ("__init__.py", "dataset/__init__.py", "smp.py", "dataset/image_base.py"):
            (stand_in / file).write_text(STAND_IN if file == "smp.py" else "")
        (stand_in / "dataset" / "image_base.py").write_text("from vlmeval.smp import *\n")
    found = ask(PYTHON if real else sys.executable, tmp_path, None if real else stand_in.parent)
    assert list(found) == ["ZoomBench", "ZoomBench_Crop"]
    for name, view in found.items():
        assert {"index", "image", "question", "A", "B", "C", "answer", "category"} <= set(view["columns"])
        assert view["types"] == [["image", "text"]] * 4
        assert all("<image>" not in text for text in view["texts"]) and "letter" not in view["texts"][2]
        assert view["texts"][0].startswith(f"What color is the lid?{OPTIONS}\n") and "letter" in view["texts"][0]
        sizes = {Image.open(path).size for path in view["pictures"]}
        assert (sizes == {(20, 10)}) == (name == "ZoomBench_Crop")
        # right, right by its text, which is the word None, wrong, and a call that failed
        said = view["result"]
        assert said["Overall"] == pytest.approx(200 / 3) and (said["answered"], said["failed"]) == (3, 1)
        assert said["color"] == 100 and said["counting"] == 0 and view["primary"] == {"Overall": said["Overall"]}
        # by pictures, of which two rows show the first: sums of residuals 2/3 and -2/3 (and of the failed one none)
        assert said["SE"] == pytest.approx(100 * (2 / 1 * 2 * 4 / 9) ** 0.5 / 3)


def test_the_export_replaces_an_export_and_nothing_else(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["evaluate", "export", str(tmp_path / "kit"), "--format", "vlmevalkit"])
    assert done.exit_code == 0 and "IMAGE_DATASET" in done.output
    assert write_vlmevalkit(tmp_path / "kit") == ["zoombench.py"]
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(R2IError, match="something else"):
        write_vlmevalkit(tmp_path)
