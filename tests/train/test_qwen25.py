"""Qwen2.5-VL in process (ZwZ-7B is one): it answers as Transformers' own `generate` does, and it is trained."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from evaluate.tiny_vlms import make_vlm
from PIL import Image
from safetensors.torch import load_file
from tiny_run import SMOKE, run

from r2i.core.images import jpeg_bytes
from r2i.core.params import Sampling
from r2i.endpoint.base import Request
from r2i.endpoint.local import LocalModel, load_local
from r2i.train.trl import save_model


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qwen") / "student"
    save_model(*make_vlm("qwen2_5_vl"), folder)
    return folder


def noise(seed: int, size: tuple[int, int]) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return jpeg_bytes(Image.fromarray(coarse).resize(size))


def generated(model: LocalModel, request: Request) -> str:
    content = [{"type": "image"} for _ in request.images] + [{"type": "text", "text": request.prompt}]
    text = model.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    images = [Image.open(BytesIO(picture.load())) for picture in request.images]
    inputs: Any = model.processor(text=[text], images=images, return_tensors="pt")
    never = torch.where(torch.isinf(model.tokens.bias))[0].tolist()
    out = model.model.generate(**inputs, do_sample=False, max_new_tokens=6, suppress_tokens=never)
    return model.processor.tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def test_greedy_replies_equal_generate_token_for_token(student: Path) -> None:
    """Pictures of several sizes, one and two of them, in padded batches of 4."""
    model = LocalModel(student, batch=4)
    prompts = ["what color is the dot ?", "how many dots are on the red square ?"]
    pictures = {(seed, i): noise(seed + i, (48 + 16 * seed, 64)) for seed in range(4) for i in range(2)}
    requests = [
        Request(prompts[seed % 2], tuple(pictures[seed, i] for i in range(count)), Sampling(max_tokens=6), 0)
        for seed in range(4)
        for count in (1, 2)
    ]
    ours = [reply.text for (reply,) in model.complete(requests)]
    assert ours == [generated(model, request) for request in requests]
    assert len(set(ours)) > 3


@pytest.mark.parametrize("name", ["dapo", "sft"])
def test_it_is_trained_and_the_result_answers(student: Path, tmp_path: Path, name: str) -> None:
    dapo = SMOKE.train.dapo.model_copy(update={"max_prompt": 256, "max_steps": 1, "dynamic_sampling": False})
    changes: dict[str, Any] = {"max_prompt": 256, "dynamic_sampling": False} if name == "dapo" else {"micro": 4}
    others = {"dapo": dapo} if name == "sft" else {}
    summary = run(student, tmp_path, name, rows=12, steps=1, train=others | {"validation": 0.2}, **changes)
    assert summary["steps"] == 1 and summary["validation"]["rows"] > 0
    before, after = (load_file(folder / "model.safetensors") for folder in (student, tmp_path / name))
    assert before.keys() == after.keys()
    if name == "sft":  # random rollouts are all wrong: their advantages are 0
        assert sum(not torch.equal(before[key], after[key]) for key in before) > 0.9 * len(before)
    load_local(tmp_path / name)
