"""The second loss of DAPO and attention: how much of a reply's look goes to the box."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import run, train_rows

from r2i.core.curve import read_curve
from r2i.core.errors import ParamsError
from r2i.core.params import Train
from r2i.mini.checkpoint import build_model, build_processor
from r2i.train.look import coverage, layers_to_watch, shares_in_box, watching
from r2i.train.privileged import Shown
from r2i.train.replies import reply_inputs
from r2i.train.trl_attention import NOWHERE, region_of


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def test_shares_of_tokens_in_a_box() -> None:
    """2 x 2 tokens; the box covers the right half of the upper left one and all of the upper right one."""
    assert shares_in_box((0.25, 0.0, 1.0, 0.5), 2, 2).tolist() == pytest.approx([0.5, 1.0, 0.0, 0.0])


def test_coverage_is_the_share_of_the_look_at_the_image_that_goes_to_the_box() -> None:
    """Two heads, one query, a word and two image tokens: (0.2 + 0.1) in the box of (0.2 + 0.4 + 0.1 + 0.1)."""
    seen = torch.tensor([[[[0.4, 0.2, 0.4]], [[0.8, 0.1, 0.1]]]])
    visual, inside = torch.tensor([[0.0, 1.0, 1.0]]), torch.tensor([[0.0, 1.0, 0.0]])
    assert coverage([seen], visual, inside).item() == pytest.approx(0.3 / 0.8)


def test_what_is_watched_is_the_attention_that_the_model_uses() -> None:
    model, processor = build_model(0).eval(), build_processor()
    image = train_rows(1)[0]["image"]
    asked = [Shown("what color ?", (image,)), Shown("what is the red square made of ?", (image,))]
    inputs = reply_inputs(model, processor, asked, [[9, 10], [11, 12]])  # padded: the mask counts
    with torch.no_grad():
        with watching(model, [1, 2], slice(-3, -1)) as watch:
            model.model(**inputs, use_cache=False)
        model.set_attn_implementation("eager")
        wanted = model.model(**inputs, use_cache=False, output_attentions=True).attentions
    for seen, layer in zip(watch.seen, (1, 2), strict=True):
        assert torch.allclose(seen, wanted[layer][:, :, -3:-1], atol=1e-5)


def test_layers_that_the_model_lacks_are_an_error() -> None:
    assert layers_to_watch(build_model(0), None) == [2]
    with pytest.raises(ParamsError, match="of a model of 4 layers"):
        layers_to_watch(build_model(0), [4])


def test_activations_that_are_computed_again_are_refused_and_no_gpu_chooses_them(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from r2i.train import trl_dapo

    with pytest.raises(ParamsError, match="dapo_attention keeps the attention"):
        run(base, tmp_path, "dapo_attention", train={"gradient_checkpointing": True})
    chosen: list[object] = []
    real = trl_dapo.trl_config

    def config(train: Train, *given: Any) -> object:
        chosen.append(train.gradient_checkpointing)
        return real(train, *given)

    monkeypatch.setattr(trl_dapo, "trl_config", config)
    run(base, tmp_path, "dapo_attention", steps=1)
    assert chosen == [False]


def test_a_row_that_shows_the_crop_has_no_region() -> None:
    (row,) = train_rows(1)
    assert region_of(row) == (0.25, 0.25, 0.5, 0.5)
    assert region_of(row | {"view": "crop"}) == region_of(row | {"box": None}) == NOWHERE


def test_right_rollouts_are_taught_to_look_at_the_box(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A weight that drowns DAPO's own loss: the look at the box grows in a few steps."""
    from r2i.train.reward import RewardFunctions

    def one_of_two(self: RewardFunctions, completions: list, **_: object) -> list[float | None]:
        self.accuracies = [float(i % 2) for i in range(len(completions))]
        return self.accuracies

    monkeypatch.setattr(RewardFunctions, "reward_accuracy", one_of_two)
    run(base, tmp_path, "dapo_attention", steps=4, group_size=2, lr=1e-3, attention_weight=10.0)
    looked = [line["attention"] for line in read_curve(tmp_path / "dapo_attention.json")]
    assert looked[-1] > looked[0] > 0
    assert (tmp_path / "dapo_attention" / "model.safetensors").is_file()
