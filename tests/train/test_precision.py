"""A small step of AdamW moves a bf16 base, in passes of any size, with activations kept or computed again."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_run import run, same_model, train_rows

from r2i.core.curve import read_curve
from r2i.core.params import Sampling, Sft
from r2i.endpoint.base import Request
from r2i.endpoint.local import LocalModel, load_local
from r2i.mini.checkpoint import save_checkpoint

MINI = Path(__file__).parents[2] / "models/mini"
Weights = dict[str, torch.Tensor]


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def weights(folder: Path) -> Weights:
    return load_file(folder / "model.safetensors")


def uneven_rows() -> list[dict]:
    """Replies of 1 to 4 words: a mean over passes is not one over tokens."""
    rows = train_rows(8)
    return [row | {"answer": " ".join([row["answer"]] * (1 + number % 4))} for number, row in enumerate(rows)]


def test_sft_in_small_passes_learns_what_it_learns_in_one(base: Path, tmp_path: Path) -> None:
    """Each pass counts by its tokens. `lr` is small, so that the second step's gradient is of nearly equal weights."""
    curves: dict[int | None, list[dict[str, float]]] = {}
    for micro in (None, 2):
        folder = tmp_path / str(micro)
        folder.mkdir()
        run(base, folder, "sft", rows=uneven_rows(), micro=micro, lr=1e-6)
        curves[micro] = read_curve(folder / "sft.json")
    for whole, parts in zip(curves[None], curves[2], strict=True):
        assert parts["loss"] == pytest.approx(whole["loss"], abs=2e-6)
        assert parts["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-4)
    whole, parts = weights(tmp_path / "None" / "sft"), weights(tmp_path / "2" / "sft")
    apart = [(whole[name] - parts[name]).abs().mean().item() for name in whole]
    assert max(apart) < 2e-8  # a step is 1e-6


def test_a_batch_is_whole_passes() -> None:
    with pytest.raises(ValueError, match="batch 16 is no multiple of micro 3"):
        Sft(lr=1e-6, steps=1, batch=16, micro=3)


@pytest.mark.parametrize("name", ["dapo", "sft"])
def test_activations_that_are_computed_again_change_nothing(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rollouts use a cache all the same, which layers that recompute keep in eval mode alone."""
    from transformers import modeling_utils

    calls: list[int] = []
    real = modeling_utils.checkpoint
    counted = lambda *args, **kwargs: (calls.append(1), real(*args, **kwargs))[1]  # noqa: E731
    monkeypatch.setattr(modeling_utils, "checkpoint", counted)
    for again in (False, True):
        folder = tmp_path / str(again)
        folder.mkdir()
        summary = run(MINI, folder, name, steps=1, train={"gradient_checkpointing": again})
        assert bool(calls) == again and summary["steps"] == 1
    assert same_model(tmp_path / "False" / name, tmp_path / "True" / name)


@pytest.mark.parametrize("name", ["dapo", "sft"])
def test_steps_at_a_millionth_move_a_bf16_base_which_is_saved_in_bf16(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The products are in bf16, as on a GPU. Words that no row uses have no gradient: embeddings don't count."""
    from r2i.train import trl, trl_dapo, trl_sft

    base = tmp_path / "base"
    save_checkpoint(load_local(MINI).model.to(torch.bfloat16), base)
    before = weights(base)
    assert {weight.dtype for weight in before.values()} == {torch.bfloat16}
    defaults, to = trl.trl_defaults, torch.nn.Module.to
    trained: Weights = {}

    def in_bf16(*args: Any) -> dict[str, Any]:
        return defaults(*args) | {"bf16": True}

    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        if args and args[0] is torch.bfloat16:
            trained.update({key: value.detach().clone() for key, value in self.state_dict().items()})
        return to(self, *args, **kwargs)

    for module in (trl_dapo, trl_sft):
        monkeypatch.setattr(module, "trl_defaults", in_bf16)
    monkeypatch.setattr(torch.nn.Module, "to", noted)
    run(base, tmp_path, name, lr=1e-6)
    moved = torch.cat([(trained[key] != before[key].float()).flatten() for key in before if "embed" not in key])
    assert moved.float().mean() > 0.95, moved.float().mean()
    after = weights(tmp_path / name)
    assert all(torch.equal(after[key], trained[key].to(torch.bfloat16)) for key in before)  # rounded once, at the end
    config = json.loads((tmp_path / name / "config.json").read_text())
    assert {config[part]["dtype"] for part in ("text_config", "vision_config")} | {config["dtype"]} == {"bfloat16"}
    load_local(tmp_path / name)


def test_a_model_of_fp32_answers_in_bf16(base: Path) -> None:
    """As while it trains on a GPU."""
    (row,) = train_rows(1)
    model = LocalModel("policy", loaded=load_local(base, full_precision=True))
    request = Request(row["prompt"], (row["image"],), Sampling(temperature=1.0, max_tokens=4), 0, n=2)
    with torch.autocast("cpu", torch.bfloat16):
        ((one, two),) = model.complete([request])
    assert {one.tokens_out, two.tokens_out} <= {1, 2, 3, 4, 5}
