"""Which model answers, and under which name its replies are filed."""

import json
import sys
from pathlib import Path

import pytest
from made_rows import item_row

from r2i.core.errors import EndpointError
from r2i.core.params import Cut, Endpoint, Evaluate, RegisteredModel, load_params
from r2i.endpoint import connect
from r2i.endpoint.vllm import digest_folder, stored_name
from r2i.evaluate.engines import choose_endpoint, endpoint_in_process, find_model
from r2i.evaluate.predict import predict

CFG = Evaluate(prompts="mini", views=["full"], samples=0, max_tokens=8, batch=32)
MODELS = load_params(Path(__file__).parents[2] / "params.yaml").models
STAND_IN = """
import argparse, json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
parser = argparse.ArgumentParser()
parser.add_argument("model")
for name in ("--host", "--port", "--served-model-name"):
    parser.add_argument(name)
args = parser.parse_args()
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.answer(200, b"{}")
    def do_POST(self):
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if told["model"] != args.served_model_name:
            return self.answer(404, b'{"error": {"message": "no such model"}}')
        text = "<answer>C</answer>"
        choice = {"index": 0, "finish_reason": "stop", "message": {"content": text}}
        usage = {"prompt_tokens": 70, "completion_tokens": 5}
        self.answer(200, json.dumps({"id": "1", "model": told["model"], "choices": [choice], "usage": usage}).encode())
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
ThreadingHTTPServer((args.host, int(args.port)), Handler).serve_forever()
"""


def make_folder(path: Path, weights: bytes) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(weights)
    return path


def test_a_model_without_an_endpoint_is_asked_in_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_folder(Path("models/distilled"), b"1")
    base, distilled = (choose_endpoint(name, MODELS[name], CFG, "some/hub-id") for name in ("base", "distilled"))
    assert (base.kind, base.model, base.batch) == ("local", "some/hub-id", 32)
    assert (distilled.kind, distilled.model) == ("local", "models/distilled")


def test_a_trained_model_that_is_missing_names_its_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_model(MODELS["base"], "some/hub-id") == "some/hub-id"
    served = CFG.model_copy(update={"endpoints": {"distilled": Endpoint(kind="vllm", model="models/distilled")}})
    for cfg in (CFG, served):
        with pytest.raises(EndpointError) as missing:
            choose_endpoint("distilled", MODELS["distilled"], cfg, "models/mini")
        assert missing.value.remedy == "run `dvc repro train@dapo`"


def test_an_endpoint_in_params_is_taken_as_it_is() -> None:
    served = Endpoint(kind="openai", model="zwz-8b", base_url="http://h/v1")
    assert choose_endpoint("sft", MODELS["sft"], CFG.model_copy(update={"endpoints": {"sft": served}}), "b") is served


@pytest.mark.parametrize("source", ["inclusionAI/ZwZ-8B", "/models/zwz"])
def test_a_registered_hub_id_or_folder_is_the_model(source: str) -> None:
    other = RegisteredModel.model_validate({"from": source, "needs": "data/benchmark/items"})
    assert choose_endpoint("zwz-8b", other, CFG, "models/mini").model == source


def test_a_folder_trained_anew_has_another_name_and_a_hub_id_its_own(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "distilled", b"first")
    endpoint = Endpoint(kind="vllm", model=str(folder))
    first = stored_name(endpoint)
    assert first == f"{folder}@{digest_folder(folder)[:12]}"
    make_folder(folder, b"other")
    assert stored_name(endpoint) != first
    make_folder(folder, b"first")
    assert stored_name(endpoint) == first
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert stored_name(endpoint) != first
    assert stored_name(Endpoint(kind="vllm", model="Qwen/Qwen3-VL-8B-Instruct")) == "Qwen/Qwen3-VL-8B-Instruct"


def test_what_a_download_notes_beside_the_weights_is_no_part_of_their_name(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    before = digest_folder(tmp_path)
    for name in (".cache/huggingface/download/model.metadata", ".DS_Store", "__pycache__/code.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1763724843.2")
    assert digest_folder(tmp_path) == before
    (tmp_path / "code.py").write_text("")
    assert digest_folder(tmp_path) != before


def test_vllm_serves_a_folder_under_its_digest_and_new_weights_replay_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in refuses every model name but the one that it was told to serve last."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "server_script").write_text(STAND_IN)
    folder = make_folder(tmp_path / "distilled", b"first")
    command = [sys.executable, str(tmp_path / "server_script")]
    endpoint = Endpoint(kind="vllm", model=str(folder), command=command, start_timeout_s=30, retries=0)

    def evaluate() -> tuple[str, str, int]:
        with connect(endpoint) as model:
            (row,) = predict(model, [item_row()], CFG, Cut(), 0, kind="vllm", scratch=tmp_path / "scratch")
            started = int(model.server._launch is not None)  # type: ignore[attr-defined]
        assert (row["correct"], row["endpoint"], row["tokens_in"]) == (True, "vllm", 70)
        return row["model"], row["reply_key"], started

    first = evaluate()
    assert first[0] == stored_name(endpoint) and first[2] == 1
    assert evaluate() == (*first[:2], 0)  # all of it from the store: no server
    make_folder(folder, b"other")
    again = evaluate()
    assert again[1] != first[1] and again[2] == 1
    stored = sorted((tmp_path / "store").rglob("*.json"))
    names = {json.loads(path.read_text())["request"]["model"] for path in stored}
    assert names == {first[0], again[0]}


def test_the_engine_is_what_asks_models_without_an_endpoint_and_attention_stays_in_process() -> None:
    served = CFG.model_copy(update={"engine": "vllm"})
    model = RegisteredModel(**{"from": "org/model", "needs": "data/benchmark/items"})
    endpoint = choose_endpoint("x", model, served, "")
    assert (endpoint.kind, endpoint.model) == ("vllm", "org/model")
    inside = endpoint_in_process(endpoint, served)
    assert inside and (inside.kind, inside.model, inside.batch) == ("local", "org/model", 32)
    assert endpoint_in_process(Endpoint(kind="openai", model="m", base_url="http://host"), served) is None
    assert endpoint_in_process(Endpoint(kind="ocr", model="tesseract"), served) is None  # no weights of a model
