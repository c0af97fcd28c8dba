"""The estimate of memory and GPU-hours: its arithmetic by hand, and that `one-gpu` fits."""

from pathlib import Path
from typing import Any

import pytest

from r2i.core.params import Train, load_params
from r2i.train.estimate import estimate_training
from r2i.train.openrlhf.cost import KEPT_SHARE, estimate_hours, text_flops, vision_flops
from r2i.train.openrlhf.memory import GIB, MOMENTS, Part, estimate_memory, kv_room, longest_prompt
from r2i.train.openrlhf.model import KNOWN

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
FOUR, EIGHT = KNOWN["Qwen3-VL-4B"], KNOWN["Qwen3-VL-8B"]


def train_of(profile: str = "one-gpu", dapo: dict[str, Any] | None = None, **cluster: Any) -> Train:
    data = PARAMS.profiles[profile].train.model_dump(exclude_none=True)  # objectives that it has not
    data["dapo"].update(dapo or {})
    data["cluster"].update(cluster)
    return Train.model_validate(data)


def named(parts: list[Part]) -> dict[str, float]:
    return {part.name: part.bytes for part in parts}


@pytest.mark.parametrize("attention", ["sdpa", "flash_attention_2"])
def test_one_gpu_fits_one_80_gib_card(attention: str) -> None:
    memory = estimate_memory(train_of(), FOUR, attention)
    assert memory.fits and memory.limit == 80 * GIB
    assert kv_room(train_of(), FOUR) > 8  # a group at once, at the least


def test_adam_of_4b_does_not_fit_beside_its_weights() -> None:
    """4.4e9 parameters: 2 bytes of weights, 2 of gradients, 12 of master weights and Adam, 4 at the step: 88 GB."""
    memory = estimate_memory(train_of(adam_offload=False), FOUR, "sdpa")
    assert not memory.fits
    held = named(MOMENTS["step"](train_of(adam_offload=False), FOUR, "sdpa"))
    states = held["gradients"] + held["master weights and Adam"] + held["gradients in fp32 for the update"]
    assert held["weights"] + states == pytest.approx(20 * FOUR.parameters)


def test_zero_divides_what_it_says() -> None:
    """12 GPUs: stage 1 divides Adam, 2 gradients too, 3 weights too (and keeps 1e9 gathered, 2 bytes each)."""
    found = {
        stage: named(estimate_memory(train_of("paper", zero_stage=stage), EIGHT, "sdpa").parts) for stage in (1, 2, 3)
    }
    size = EIGHT.parameters
    assert found[1]["master weights and Adam"] == pytest.approx(12 * size / 12)
    assert found[1]["gradients"] == pytest.approx(2 * size)
    assert found[2]["gradients"] == pytest.approx(2 * size / 12)
    assert found[3]["gradients"] == pytest.approx(4 * size / 12)  # fp32
    assert found[2]["weights"] == 2 * size and found[3]["weights"] == pytest.approx(2 * size / 12 + 2e9)


def test_logits_are_four_copies_without_flash_attn() -> None:
    train = train_of("paper")
    tokens = 16384 + 512 + 2048  # an image of 16777216 pixels, its text, its reply
    held = named(estimate_memory(train, EIGHT, "sdpa").parts)
    assert longest_prompt(train.dapo, EIGHT) == 16384 + 512
    assert held["logits and their gradient"] == tokens * 151936 * 4 * 4.0


def test_max_prompt_bounds_where_max_pixels_does_not() -> None:
    assert longest_prompt(train_of(dapo={"max_pixels": None}).dapo, FOUR) == 4608
    assert longest_prompt(train_of(dapo={"max_pixels": 10**9}).dapo, FOUR) == 4608


def test_everything_is_on_the_gpu_at_once_without_sleep() -> None:
    asleep, awake = (estimate_memory(train_of(sleep=sleep), FOUR, "sdpa") for sleep in (True, False))
    assert awake.total > asleep.total
    parts = named(awake.parts)
    assert parts["vLLM: weights, keys and values"] == pytest.approx(0.6 * 80 * GIB) and parts["activations"] > 0


def test_offload_moves_adam_to_the_host() -> None:
    on, off = (estimate_memory(train_of(adam_offload=offload), FOUR, "sdpa") for offload in (False, True))
    assert named(off.host)["master weights, Adam and gradients"] == pytest.approx(18 * FOUR.parameters)
    assert "master weights and Adam" not in named(off.parts) and on.total > off.total


def test_too_small_a_share_is_seen() -> None:
    assert kv_room(train_of(memory_share=0.1), FOUR) < 0


def test_flops_of_a_token_are_twice_the_weights_and_attention_grows_with_the_square() -> None:
    one = text_flops(EIGHT, 1)
    assert one == pytest.approx(2 * EIGHT.text_parameters, rel=1e-3)
    matrices = 2 * EIGHT.vision_parameters * 65536
    assert vision_flops(EIGHT, 65536) - matrices == 4 * 27 * 1152 * 65536**2
    assert vision_flops(EIGHT, 65536) > 5 * matrices  # of a 16-megapixel image the tower's attention is most


def test_the_references_steps_come_out() -> None:
    """37 K rows, 3 epochs, 96 prompts a step: 1156 steps and 888 000 rollouts."""
    hours = estimate_hours(train_of("paper"), EIGHT, 37_000)
    assert hours.counts["optimizer steps"] == pytest.approx(1156, abs=1)
    assert hours.counts["rollouts"] == 888_000
    assert hours.total == pytest.approx(sum((hours.prefill, hours.decode, hours.logprobs, hours.train, hours.idle)))


def test_hours_grow_with_rows_and_stop_at_max_steps() -> None:
    once, twice = (estimate_hours(train_of(), FOUR, rows).total for rows in (4000, 8000))
    assert twice == pytest.approx(2 * once)
    cut = estimate_hours(train_of(dapo={"max_steps": 10}), FOUR, 8000)
    assert cut.counts["optimizer steps"] == pytest.approx(10)
    assert cut.counts["prompts"] == 10 * 16 / KEPT_SHARE


def test_a_frozen_tower_costs_less() -> None:
    free, frozen = (estimate_hours(train_of(dapo={"freeze_vision": f}), FOUR, 4000).total for f in (False, True))
    assert frozen < free


def test_the_estimate_says_hours_memory_and_faults() -> None:
    lines = "\n".join(estimate_training(train_of(), 10_000))
    assert "GPU-hours" in lines and "59 of 80 GiB, fits" in lines and "host RAM" in lines and "a guess" in lines
    broken = "\n".join(estimate_training(train_of(engines=2), 10_000, rows=5000))
    assert "2 engines" in broken and "rows as told" in broken
    control = "\n".join(estimate_training(train_of(), 10_000, runs=["sft"]))
    assert "71 of 80 GiB for weights, gradients and Adam in float32, and 5 for activations; fits" in control
    small = "\n".join(estimate_training(train_of(gpu_memory_gib=24), 10_000, runs=["sft"]))
    assert "71 of 24 GiB" in small and "does NOT fit: take `sft` out of `runs`" in small
    assert estimate_training(PARAMS.profiles["mini"].train, 700) == []


def test_an_unknown_model_is_said() -> None:
    data = train_of().model_dump(exclude_none=True) | {"base": "nobody/unknown"}
    (line,) = estimate_training(Train.model_validate(data), 10)
    assert "nobody/unknown" in line
