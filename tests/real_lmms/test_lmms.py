"""The real lmms-eval runs our exported tasks on the mini checkpoint: `make test-lmms`. About a minute.

It asks a server that holds the same checkpoint, so that prompts and pixels take its whole way, and what it finds is
compared with our own evaluation, item by item. $R2I_LMMS_PYTHON is a Python that has lmms-eval.
"""

import base64
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Features, Image, Value

from r2i.benchmark.build import query_of
from r2i.benchmark.rendered import render_items
from r2i.core.params import Cut, Drawing, Evaluate, Sampling
from r2i.endpoint.base import Picture, Request
from r2i.endpoint.local import LocalModel
from r2i.evaluate.predict import predict
from r2i.tools.exports.lmms import write_tasks
from r2i.tools.exports.lmms_results import write_results
from r2i.tools.exports.zoombench import write_zoombench

PYTHON = os.environ.get("R2I_LMMS_PYTHON", "")
MINI = Path(__file__).parents[2] / "models" / "mini"
CFG = Evaluate(prompts="mini", views=["full", "crop"], samples=0, max_tokens=8)
LIMIT = 8
DATE = "20260101_000000"

pytestmark = pytest.mark.skipif(not PYTHON, reason="R2I_LMMS_PYTHON names no Python with lmms-eval: `make test-lmms`")


@pytest.fixture(scope="module")
def mini() -> LocalModel:
    return LocalModel(MINI, 32)


@pytest.fixture(scope="module")
def url(mini: LocalModel) -> Iterator[str]:
    """A chat-completions server that asks the checkpoint what it is asked."""
    turn = threading.Lock()

    def say(told: dict[str, Any]) -> str:
        (message,) = told["messages"]
        texts = [part["text"] for part in message["content"] if part["type"] == "text"]
        links = [part["image_url"]["url"] for part in message["content"] if part["type"] == "image_url"]
        pictures = tuple(Picture.of(base64.b64decode(link.partition(",")[2])) for link in links)
        sampling = Sampling(temperature=told["temperature"], max_tokens=told["max_tokens"])
        with turn:
            return mini.complete([Request("".join(texts), pictures, sampling, seed=0)])[0][0].text

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            message = {"role": "assistant", "content": say(told)}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            choices = [{"index": 0, "finish_reason": "stop", "message": message}]
            made = {"id": "1", "object": "chat.completion", "created": 0, "model": told["model"]}
            body = json.dumps(made | {"choices": choices, "usage": usage}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}/v1"
    http.shutdown()
    http.server_close()


def run_lmms(
    folder: Path, url: str, *more: str, tasks: str = "r2i_full,r2i_crop"
) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """What lmms-eval wrote: its results, and its samples by task."""
    out = folder / "out"
    command = [
        PYTHON, "-m", "lmms_eval", "--model", "openai", "--model_args", f"model_version=mini,base_url={url}",
        "--tasks", tasks, "--include_path", str(folder / "tasks"), "--limit", str(LIMIT),
        "--log_samples", "--output_path", str(out), *more,
    ]  # fmt: skip
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HF_"))}
    offline = {"HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    env = ours | offline | {"OPENAI_API_KEY": "none", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=540)
    assert done.returncode == 0, done.stderr[-3000:]
    (results,) = out.rglob("*_results.json")
    samples = {path.stem.split("_samples_")[1]: path.read_text().splitlines() for path in out.rglob("*.jsonl")}
    found = {task: [json.loads(line) for line in lines] for task, lines in samples.items()}
    return json.loads(results.read_text()), found


def test_lmms_eval_finds_what_we_find(tmp_path: Path, mini: LocalModel, url: str) -> None:
    items = render_items(24, Drawing(cut=Cut(square=True)), seed=5)
    rows = predict(mini, items, CFG, Cut(), 0, scratch=tmp_path / "scratch")
    order = write_tasks(tmp_path / "tasks", items, CFG)["full"]
    files = write_results(tmp_path / "results", "base", rows, order, CFG, DATE)
    baseline = next(path for path in files if path.name.endswith("r2i_full.jsonl"))

    results, samples = run_lmms(tmp_path, url, "--baseline", str(baseline))

    for task, view in (("r2i_full", "full"), ("r2i_crop", "crop")):
        ours = {row["item_id"]: row for row in rows if row["view"] == view}
        theirs = samples[task]
        ids = [line["acc"]["item_id"] for line in theirs]
        assert ids == order[:LIMIT]
        # lmms-eval strips replies
        assert [line["filtered_resps"].strip() for line in theirs] == [ours[i]["reply"].strip() for i in ids]
        assert [line["acc"]["score"] for line in theirs] == [float(ours[i]["correct"] is True) for i in ids]
        write_results(tmp_path / task, "base", [ours[i] for i in ids], order, CFG, DATE)
        (path,) = (tmp_path / task).rglob("*_results.json")
        expected = json.loads(path.read_text())["results"][task]
        for key in ("acc,none", "acc_stderr_clt,none", "acc_stderr_clustered,none"):
            assert results["results"][task][key] == pytest.approx(expected[key], abs=1e-9), (task, key)
    # our samples are a baseline that it pairs by doc_id: nothing differs
    full = results["results"]["r2i_full"]
    assert full["paired_baseline_score"] == pytest.approx(100 * full["acc,none"])
    assert (full["paired_ci_lower"], full["paired_ci_upper"]) == pytest.approx((0, 0), abs=1e-9)


def test_the_zoombench_task_runs_on_a_copy_in_the_published_columns(tmp_path: Path, url: str) -> None:
    write_zoombench(tmp_path / "tasks")
    rows = [
        {"image": {"bytes": item["image"], "path": None}, "crop_image": {"bytes": item["crop"], "path": None},
         "query": query_of(item), "response": item["label"]}
        for item in render_items(LIMIT, Drawing(cut=Cut(square=True)), seed=5)
    ]  # fmt: skip
    text = Value("string")
    features = Features({"image": Image(), "crop_image": Image(), "query": text, "response": text})
    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, schema=features.arrow_schema), tmp_path / "data" / "test.parquet")
    for view in ("full", "crop"):  # as downloaded; mini knows one way of asking
        path = tmp_path / "tasks" / f"zoombench_{view}.yaml"
        told = path.read_text().replace("inclusionAI/ZoomBench", str(tmp_path / "data"))
        path.write_text(re.sub(r"choice_prompt: .*", r'choice_prompt: "\\nchoose"', told.replace("2048", "8")))
    results, samples = run_lmms(tmp_path, url, tasks="zoombench")
    for view in ("full", "crop"):
        assert [line["target"] for line in samples[f"zoombench_{view}"]] == [row["response"] for row in rows]
    assert results["results"]["zoombench_crop"]["acc,none"] >= 0.75  # mini reads crops
    assert "acc_stderr_clustered,none" in results["results"]["zoombench_full"]
