"""Params become OpenRLHF's arguments, and what it would refuse later is said first. Without OpenRLHF."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from r2i.core.errors import R2IError
from r2i.core.params import Cluster, Train, load_params
from r2i.train.openrlhf.attention import choose_attention, flash_attn_installed, shim_path
from r2i.train.openrlhf.checks import violations
from r2i.train.openrlhf.flags import engines, notes, openrlhf_flags
from r2i.train.openrlhf.model import KNOWN, ModelFacts, read_model_facts
from r2i.train.openrlhf.workspace import Files

ROOT = Path(__file__).parents[2]
PARAMS = load_params(ROOT / "params.yaml")
FILES = Files.under(Path("/workspace/run"))
QWEN_8B = KNOWN["Qwen3-VL-8B"]


def train_of(profile: str = "one-gpu", dapo: dict[str, Any] | None = None, **cluster: Any) -> Train:
    data = PARAMS.profiles[profile].train.model_dump(exclude_none=True)  # objectives that it has not
    data["dapo"].update(dapo or {})
    data["cluster"].update(cluster)
    return Train.model_validate(data)


def flags_of(train: Train, files: Files = FILES) -> list[str]:
    return openrlhf_flags(train, 7, files, "sdpa")


def value(flags: list[str], name: str, count: int = 1) -> list[str]:
    place = flags.index(name)
    return flags[place + 1 : place + 1 + count]


def test_files_are_absolute_and_apart() -> None:
    files = Files.under(Path("somewhere"))
    paths = [path for name, path in vars(files).items() if name != "root"]
    assert all(path.is_absolute() and path.parent == files.root for path in paths)
    assert len(set(paths)) == len(paths)


def test_prompts_become_prompts_and_samples() -> None:
    """OpenRLHF counts rollout batches in prompts and train batches in samples: 64 and 16 x 8."""
    flags = flags_of(train_of())
    assert value(flags, "--rollout.batch_size") == ["64"] and value(flags, "--train.batch_size") == ["128"]
    assert value(flags, "--data.max_len") == [str(4608 + 1024)]
    assert value(flags, "--train.seed") == ["7"]


def test_no_flag_is_given_twice() -> None:
    for profile in ("paper", "one-gpu"):
        names = [flag for flag in flags_of(train_of(profile)) if flag.startswith("--")]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("dapo", "present", "absent"),
    [
        ({"dual_clip": None}, [], ["--actor.dual_clip"]),
        ({"dual_clip": 3.0}, ["--actor.dual_clip"], []),
        ({"dynamic_sampling": False}, [], ["--algo.dynamic_filtering_enable", "--algo.dynamic_filtering_range"]),
        ({"overlong_buffer": 0}, [], ["--reward.overlong_buffer_len", "--reward.overlong_penalty_factor"]),
        ({"freeze_vision": True}, ["--actor.freeze_visual_encoder"], []),
        ({"kl": 0.0}, ["--algo.kl.init_coef"], ["--algo.kl.use_loss", "--ref.num_nodes"]),
        ({"kl": 0.1}, ["--algo.kl.use_loss", "--ref.num_nodes"], []),
    ],
)
def test_what_is_off_is_not_passed(dapo: dict[str, Any], present: list[str], absent: list[str]) -> None:
    flags = flags_of(train_of(dapo=dapo))
    assert all(flag in flags for flag in present) and not any(flag in flags for flag in absent)


def test_sleep_is_for_shared_gpus_alone() -> None:
    assert {"--vllm.enable_sleep", "--ds.enable_sleep", "--train.colocate_all"} <= set(flags_of(train_of()))
    apart = flags_of(train_of(colocate=False, engines=1))
    assert not {"--vllm.enable_sleep", "--ds.enable_sleep", "--train.colocate_all"} & set(apart)


def test_a_normalised_reward_of_a_large_group_is_not_clipped() -> None:
    """The largest (r - mean) / std of n values is (n - 1) / sqrt(n): 11.2 for 127, above OpenRLHF's bound of 10."""
    group = 127
    low, high = value(flags_of(train_of(dapo={"group_size": group})), "--reward.clip_range", 2)
    assert float(high) == -float(low) > (group - 1) / group**0.5 > 10


def test_gradients_are_added_up_in_fp32_where_deepspeed_can() -> None:
    assert value(flags_of(train_of(zero_stage=3)), "--ds.grad_accum_dtype") == ["fp32"]
    assert "--ds.grad_accum_dtype" not in flags_of(train_of(zero_stage=2))
    assert any("bf16" in note for note in notes(train_of(zero_stage=2)))
    assert not any("bf16" in note for note in notes(train_of(zero_stage=3)))


def test_what_has_no_flag_is_recorded() -> None:
    told = " ".join(notes(train_of("paper", {"max_steps": 5})))
    assert all(word in told for word in ("max_steps", "max_pixels", "judge", "epoch"))


@pytest.mark.parametrize(
    "flag",
    [
        "--actor.adam.lr",
        "--actor.adam.l",  # argparse takes shortened names
        "--algo.dynamic_filtering_enable",
        "--rollout.temperature=0.7",
        "--ds.packing_samples",
        "--train.dynamic_batch_enable",
        "--train.async_enable",
        "--ckpt.save_hf",
    ],
)
def test_foreign_flags_that_collide_or_break_are_refused_by_name(flag: str) -> None:
    with pytest.raises(R2IError, match=flag.split("=")[0]):
        flags_of(train_of(flags=[flag, "1"], dapo={"dynamic_sampling": False}))


def test_other_foreign_flags_come_last() -> None:
    assert flags_of(train_of(flags=["--ds.overlap_comm"]))[-1] == "--ds.overlap_comm"


@pytest.mark.parametrize("folder", ["/data/a,b", "/data/me@host"])
def test_a_path_that_openrlhf_would_split_is_refused(folder: str) -> None:
    with pytest.raises(R2IError, match="comma or an @"):
        flags_of(train_of(), Files.under(Path(folder)))


def test_the_profiles_can_start() -> None:
    for profile in ("paper", "one-gpu"):
        train = train_of(profile)
        assert violations(train, read_model_facts(train.base), 37_000) == []


@pytest.mark.parametrize(
    ("update", "said"),
    [
        ({"engines": 3}, "3 engines of 1 GPUs are 3 GPUs, and 1 train"),
        ({"engines": 1, "tensor_parallel": 2}, "are 2 GPUs, and 1 train"),
        ({"colocate": False}, "engines have GPUs of their own"),
        ({"gpus_per_node": 1024}, "fewer than the 1024 GPUs"),
        ({"micro_rollout": 3}, "make it a multiple of 3"),
        ({"micro_train": 3}, "no multiple of micro_train x GPUs (3 x 1)"),
        ({"gpus_per_node": 7}, "no multiple of micro_train x GPUs (1 x 7)"),
        ({"zero_stage": 0, "adam_offload": False}, "sleep"),
        ({"zero_stage": 0, "sleep": False}, "adam_offload needs zero_stage"),
        ({"dapo": {"max_response": 300_000}}, "takes 262144"),
        ({"dapo": {"min_pixels": 4194304, "max_prompt": 4000}}, "no row would be left"),
        ({"dapo": {"overlong_buffer": 300, "dynamic_sampling": False}}, "no exact binary numbers"),
        ({"gpus_per_node": 3, "tensor_parallel": 3, "micro_train": 1}, "does not divide the 32 attention heads"),
    ],
)
def test_every_rule_has_its_message(update: dict[str, Any], said: str) -> None:
    found = violations(train_of(**update), QWEN_8B, 4000)
    assert any(said in fault for fault in found), found
    assert all(fault.startswith(("train.cluster: ", "train.dapo: ")) for fault in found)


def test_too_few_rows_are_named() -> None:
    (fault,) = violations(train_of(), QWEN_8B, 63)
    assert "63 rows" in fault
    assert violations(train_of(dapo={"epochs": 2}), QWEN_8B, 63) == []


def test_engines_fill_the_gpus_unless_told() -> None:
    assert engines(Cluster(nodes=2, gpus_per_node=6, tensor_parallel=2)) == 6
    assert engines(Cluster(nodes=2, gpus_per_node=6, engines=3)) == 3


def test_shapes_come_from_the_config_or_from_the_known_families(tmp_path: Path) -> None:
    mini = read_model_facts(str(ROOT / "models/mini"))
    assert mini is not None and (mini.heads, mini.positions, mini.image_token_side) == (4, 512, 32)
    assert read_model_facts("Qwen/Qwen3-VL-8B-Instruct") == QWEN_8B
    assert read_model_facts("nobody/unknown-model") is None
    (tmp_path / "config.json").write_text('{"hidden_size": 8}')
    with pytest.raises(R2IError, match="vision-language"):
        read_model_facts(str(tmp_path))


def test_counted_parameters_are_those_of_the_weights() -> None:
    """The formula leaves out norms, biases and positions: about 1 % of a model as small as mini."""
    from safetensors import safe_open

    with safe_open(ROOT / "models/mini/model.safetensors", "pt") as weights:
        held = sum(weights.get_tensor(name).numel() for name in weights.keys())  # noqa: SIM118 - no mapping
    mini = read_model_facts(str(ROOT / "models/mini"))
    assert isinstance(mini, ModelFacts) and held * 0.98 < mini.parameters <= held


def test_published_sizes_are_met() -> None:
    assert KNOWN["Qwen3-VL-4B"].parameters == pytest.approx(4.44e9, rel=0.01)
    assert QWEN_8B.parameters == pytest.approx(8.77e9, rel=0.01)


def test_attention_is_flash_where_it_is_installed_and_refused_where_it_is_asked_for_in_vain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert choose_attention(Cluster(), installed=True) == "flash_attention_2"
    assert choose_attention(Cluster(), installed=False) == "sdpa"
    assert choose_attention(Cluster(attention="sdpa"), installed=True) == "sdpa"
    with pytest.raises(R2IError, match="not installed"):
        choose_attention(Cluster(attention="flash_attention_2"), installed=False)
    monkeypatch.setenv("R2I_SERVER_RAY_CLUSTER", "http://head:8265")
    assert choose_attention(Cluster(attention="flash_attention_2"), installed=False) == "flash_attention_2"


def test_the_shim_is_not_taken_for_flash_attn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = flash_attn_installed()
    copy = tmp_path / "shim"
    shutil.copytree(shim_path(), copy)
    monkeypatch.syspath_prepend(str(copy))
    assert flash_attn_installed() == before
