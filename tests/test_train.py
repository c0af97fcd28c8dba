"""Rewards, the mapping to TRL, dynamic sampling, and rollouts of the real trainer on a tiny model."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from r2i.errors import R2IError
from r2i.images import jpeg_bytes
from r2i.mini.checkpoint import build_model, build_processor
from r2i.params import load_params
from r2i.train.reward import accuracy_reward, format_reward, overlong_penalty
from r2i.train.trl_dapo import _whole_steps, keep_rows, trl_config
from r2i.vision import attend_in_one_call, encode_repeats_once

SMOKE = load_params(Path(__file__).parent.parent / "params.yaml").profiles["smoke"]
OPTIONS = ["red", "blue", "green", "pink"]


def train_rows(count: int) -> list[dict]:
    colors = ["red", "blue", "green", "pink"]
    return [
        {
            "row_id": f"row{i:03}",
            "image": jpeg_bytes(Image.new("RGB", (128, 128), colors[i % 4])),
            "prompt": "what color is the dot on the red square?\nA. red\nB. blue\nC. green\nD. pink\nchoose",
            "options": OPTIONS,
            "answer": colors[i % 4],
            "label": "ABCD"[i % 4],
        }
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("tokens", "penalty"),
    [(5, 0.0), (6, 0.0), (7, -0.5), (8, -1.0), (9, -1.0)],  # limit 8, buffer 2: the slope runs from 6 to 8
)
def test_the_overlong_penalty_falls_linearly_over_the_buffer(tokens: int, penalty: float) -> None:
    assert overlong_penalty(tokens, limit=8, buffer=2) == penalty


def test_without_a_buffer_nothing_is_too_long() -> None:
    assert overlong_penalty(10_000, limit=8, buffer=0) == 0.0


def test_an_unclosed_span_earns_nothing() -> None:
    """Format reward hacking: a right letter in an unclosed span must not pay."""
    assert accuracy_reward("red<answer> A", "A", OPTIONS) == 0.0
    assert format_reward("red<answer> A", "A", OPTIONS) == 0.0
    assert accuracy_reward("red<answer> A</answer>", "A", OPTIONS) == 1.0


def test_batch_sizes_in_prompts_become_samples_for_trl() -> None:
    """8 prompts x 8 rollouts = 64 samples a step."""
    config = trl_config(SMOKE.train.dapo, 0, Path("unused"))
    assert config.per_device_train_batch_size == 64
    assert config.generation_batch_size == 64
    assert (config.epsilon, config.epsilon_high, config.beta, config.loss_type) == (0.2, 0.3, 0.0, "dapo")


def test_groups_without_spread_leave_the_batch_and_the_denominator() -> None:
    """4 groups of 2; the second and fourth are silent. 4 rows stay, of 3 + 1 + 2 + 2 = 8 tokens."""
    mask = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 1], [1, 1, 1], [1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0]])
    batch = {
        "advantages": torch.tensor([1.0, -1.0, 0.0, 0.0, 0.5, -0.5, 0.0, 0.0]),
        "completion_mask": mask,
        "num_items_in_batch": mask.sum(),
        "pixel_values": torch.arange(16.0).repeat_interleave(2).view(32, 1)[:32],
        "image_grid_thw": torch.tensor([[1, 2, 2]] * 8),
        "num_images": [1] * 8,
    }
    informative = batch["advantages"].view(-1, 2).abs().amax(1) > 0
    rows = _whole_steps(informative, steps=1, group_size=2)
    kept = keep_rows(batch, rows)
    assert rows.tolist() == [0, 1, 4, 5]
    assert kept["advantages"].tolist() == [1.0, -1.0, 0.5, -0.5]
    assert int(kept["num_items_in_batch"]) == 8
    assert kept["pixel_values"].shape == (16, 1) and kept["num_images"] == [1] * 4
    assert torch.equal(kept["pixel_values"][8:12], batch["pixel_values"][16:20])  # the third kept row is row 4


def test_kept_groups_fill_whole_optimizer_steps() -> None:
    """5 informative groups and 2 optimizer steps: 4 are used, 2 a step."""
    informative = torch.tensor([True, True, False, True, True, True])
    assert len(_whole_steps(informative, steps=2, group_size=3)) == 12
    one = torch.tensor([False, True, False])
    assert _whole_steps(one, steps=2, group_size=1).tolist() == [1, 0]  # one silent group fills the second step


def test_images_that_repeat_are_encoded_once_and_give_the_same_features() -> None:
    model = attend_in_one_call(build_model(0)).eval()
    processor = build_processor()
    pictures = [Image.new("RGB", (128, 128), color) for color in ("red", "blue", "red", "red")]
    inputs = processor.image_processor(images=pictures, return_tensors="pt")
    seen: list[int] = []
    model.model.visual.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(len(kwargs["grid_thw"])), with_kwargs=True
    )
    with torch.no_grad():
        plain = model.model.get_image_features(inputs["pixel_values"], inputs["image_grid_thw"], return_dict=True)
        once = encode_repeats_once(model).model.get_image_features(
            inputs["pixel_values"], inputs["image_grid_thw"], return_dict=True
        )
    assert seen == [4, 2]
    for a, b in zip(plain.pooler_output, once.pooler_output, strict=True):
        assert torch.allclose(a, b, atol=1e-5)
    for a, b in zip(plain.deepstack_features, once.deepstack_features, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from r2i.mini.checkpoint import save_checkpoint

    folder = tmp_path_factory.mktemp("base")
    save_checkpoint(build_model(0), folder)
    return folder


def run(base: Path, folder: Path, name: str, rows: int = 8) -> dict:
    from r2i.train.run import train_run

    train = SMOKE.train.model_copy(update={"base": str(base), "threads": 1})
    return train_run(name, train, "mini", train_rows(rows), 0, folder / f"{name}.jsonl", folder / name)


def test_dapo_twice_gives_the_same_bytes_and_a_folder_that_loads(base: Path, tmp_path: Path) -> None:
    from r2i.endpoint.local import load_local

    (tmp_path / "b").mkdir()
    summary = run(base, tmp_path, "dapo")
    run(base, tmp_path / "b", "dapo")
    assert summary["steps"] == 2 and summary["rows"] == 8
    noted = json.loads((tmp_path / "dapo" / "tokenizer_config.json").read_text())
    assert not {"is_local", "local_files_only"} & noted.keys()  # they differ with HF_HUB_OFFLINE
    for name in ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "dapo" / name).read_bytes() == (tmp_path / "b" / "dapo" / name).read_bytes(), name
    lines = [json.loads(line) for line in (tmp_path / "dapo.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2] and all("kept_groups" in line for line in lines)
    load_local(tmp_path / "dapo")


def test_sft_changes_the_model_and_lowers_its_loss(base: Path, tmp_path: Path) -> None:
    run(base, tmp_path, "sft")
    losses = [json.loads(line)["loss"] for line in (tmp_path / "sft.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0]
    assert (tmp_path / "sft" / "model.safetensors").read_bytes() != (base / "model.safetensors").read_bytes()


def test_too_few_rows_are_an_error_with_a_remedy_and_leave_nothing(base: Path, tmp_path: Path) -> None:
    with pytest.raises(R2IError, match="3 train rows are fewer than one rollout batch of 8"):
        run(base, tmp_path, "dapo", rows=3)
    assert not (tmp_path / "dapo").exists()
