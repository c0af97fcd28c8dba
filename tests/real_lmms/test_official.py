"""What the installed lmms-eval sends for one item of each benchmark, and what we send under its imported protocol.

`make test-lmms`. Each task runs as it is installed; its data set alone is replaced, by one made item of its form.
"""

import base64
import io
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from endpoint.fake_server import choices, serve
from evaluate.test_protocol import read
from PIL import Image

from r2i.benchmark.sources import open_items
from r2i.core.params import Benchmark, BenchmarkSource, Cut, Drawing, Endpoint, Evaluate
from r2i.endpoint import connect
from r2i.evaluate.foreign import TASKS, import_lmms
from r2i.evaluate.predict import predict

PYTHON = os.environ.get("R2I_LMMS_PYTHON", "")
pytestmark = pytest.mark.skipif(not PYTHON, reason="R2I_LMMS_PYTHON names no Python with lmms-eval: `make test-lmms`")
WHERE = "import importlib.util as u; print(next(iter(u.find_spec('lmms_eval').submodule_search_locations)))"
PICTURE = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)
OVERRIDE = """
include: {base}
task: r2i_check_{kind}
dataset_path: {folder}
dataset_name: null
dataset_kwargs:
  data_files: {{"test": "item.parquet"}}
test_split: test
process_results: !function probe.nothing
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""


def records() -> Mapping[str, dict[str, Any]]:
    """One item of each benchmark, as its release has it."""
    out = io.BytesIO()
    Image.fromarray(PICTURE).save(out, "PNG")
    png = out.getvalue()
    text, picture = base64.b64encode(png).decode(), {"bytes": png, "path": None}
    choose = "What is it?\n(A) red car\n(B) a blue van\n(C) none\nAnswer with the letter."
    return {
        "vstar": {"image": picture, "text": choose, "category": "direct_attributes", "label": "B", "question_id": 1},
        "hrbench": {
            "index": 1, "question": "What is it?", "answer": "B", "category": "single", "A": "red", "B": "blue car",
            "C": "green", "D": "none", "cycle_category": "0", "image": text,
        },
        "mme_realworld": {
            "index": 1, "bytes": text, "question": "What is it?", "answer": "B", "category": "Perception/OCR",
            "multi-choice options": ["(A) red", "(B) blue", "(C) green", "(D) two", "(E) none"], "l2-category": "x",
        },
        "mme_realworld_cn": {
            "index": 1, "bytes": text, "question": "图中是什么？", "answer": "B", "category": "Perception/OCR",
            "multi-choice options": ["(A) 红", "(B) 蓝", "(C) 绿", "(D) 二", "(E) 无"], "l2-category": "x",
        },
        "cvbench": {
            "idx": 1, "type": "2D", "task": "Count", "image": picture, "question": "How many?",
            "choices": ["1", "2", "3"], "answer": "(B)", "source": "COCO",
            "prompt": "How many? Choose.\n(A) 1\n(B) 2\n(C) 3",
        },
        "mmstar": {
            "index": 1, "question": "What is it?\nOptions: A: red, B: blue, C: green, D: none", "image": picture,
            "answer": "B", "category": "math", "l2_category": "geometry", "meta_info": "",
        },
    }  # fmt: skip


def write_item(path: Path, record: dict[str, Any]) -> None:
    from datasets import Dataset, Features, Image, List, Value

    kinds = {str: Value("string"), int: Value("int64"), dict: Image(), list: List(Value("string"))}
    features = Features({name: kinds[type(value)] for name, value in record.items()})
    Dataset.from_list([record], features=features).to_parquet(path)


def parts(body: dict[str, Any]) -> dict[str, Any]:
    """What reaches the model; a setting that is the API's default may be said or not."""
    (message,) = body["messages"]
    found: list[Any] = []
    for part in message["content"]:
        if part["type"] == "text":
            found.append(part["text"])
        else:
            data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
            found.append(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    settings = {"top_p": 1, "temperature": 1} | {
        name: value for name, value in body.items() if name not in ("messages", "seed", "model")
    }
    return {"role": message["role"], "parts": found, "settings": settings}


def test_the_official_protocol_sends_what_lmms_eval_sends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R2I_STORE", str(tmp_path / "store"))
    place = Path(subprocess.run([PYTHON, "-c", WHERE], capture_output=True, text=True, check=True).stdout.strip())
    for kind, record in records().items():
        task = TASKS[kind]
        folder = tmp_path / "tasks" / kind
        shutil.copytree(place / "tasks" / task.folder, folder)
        write_item(folder / "item.parquet", record)
        (folder / "probe.py").write_text("def nothing(doc, results):\n    return {'acc': 0.0}\n")
        text = OVERRIDE.format(base=task.files[0], kind=kind, folder=folder)
        (folder / "r2i_check.yaml").write_text(text)
        for other in folder.rglob("*.yaml"):  # the installed task keeps its name
            if other.name not in ("r2i_check.yaml", task.files[0], "hrbench.yaml"):
                other.unlink()
    protocol = import_lmms(place / "tasks", "official")
    with serve() as server:
        server.answer = lambda body: choices("B", usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2})
        run_lmms(tmp_path, server.url, [f"r2i_check_{kind}" for kind in records()])
        theirs = [parts(body) for body in server.calls]
    for kind, record in records().items():
        write_item(tmp_path / f"{kind}.parquet", record)
        source = BenchmarkSource(kind=kind.removesuffix("_cn"), path=str(tmp_path / f"{kind}.parquet"))
        benchmark = Benchmark(sources=[source])
        with open_items(benchmark, Drawing(), seed=0) as items, serve() as server:
            server.answer = lambda body: choices("B")
            with connect(Endpoint(kind="openai", model="m", base_url=server.url)) as model:
                cfg = Evaluate(views=["full"], samples=0)
                predict(model, read(items), cfg, Cut(), 0, kind="openai", scratch=tmp_path, protocol=protocol)
            (body,) = server.calls
        ours = parts(body)
        texts = [[part for part in one["parts"] if isinstance(part, str)] for one in (ours, *theirs)]
        assert texts[0] in texts[1:], (kind, texts)
        other = theirs[texts[1:].index(texts[0])]
        assert (ours["role"], ours["settings"]) == (other["role"], other["settings"]), kind
        assert [isinstance(part, str) for part in ours["parts"]] == [isinstance(part, str) for part in other["parts"]]
        (mine,), (pixels,) = ([part for part in one["parts"] if not isinstance(part, str)] for one in (ours, other))
        assert mine.shape == pixels.shape
        assert np.abs(mine.astype(int) - pixels).mean() < JPEG, kind


JPEG = 12.0  # mean difference of noise, the worst of pictures, through the JPEG in which we keep a PNG


def run_lmms(folder: Path, url: str, tasks: list[str]) -> None:
    command = [
        PYTHON, "-m", "lmms_eval", "--model", "openai", "--model_args", f"model_version=mini,base_url={url}",
        "--tasks", ",".join(tasks), "--include_path", str(folder / "tasks"), "--output_path", str(folder / "out"),
    ]  # fmt: skip
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HF_"))}
    offline = {"HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    env = ours | offline | {"OPENAI_API_KEY": "none", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=540)
    assert done.returncode == 0 and "Traceback" not in done.stderr, (done.stdout + done.stderr)[-6000:]
