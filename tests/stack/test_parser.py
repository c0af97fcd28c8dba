"""OpenRLHF's own parser and asserts, and DeepSpeed's own config: what they take and what they refuse."""

import ast
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("openrlhf")

from openrlhf.cli import train_ppo_ray as cli

from r2i.core.params import Cluster, Train, load_params
from r2i.train.openrlhf.checks import violations, world
from r2i.train.openrlhf.flags import engines, openrlhf_flags
from r2i.train.openrlhf.workspace import Files

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
FILES = Files.under(Path("/workspace/run"))
Parse = Callable[[list[str]], Any]
TRAINED = [name for name, profile in PARAMS.profiles.items() if profile.has("train") and profile.train.has("dapo")]


def trains() -> dict[str, Train]:
    """`train` of every profile that has DAPO; mini's and smoke's as if on OpenRLHF."""
    one = Cluster(gpus_per_node=1)
    found = {}
    for name in TRAINED:
        train = PARAMS.profiles[name].train
        found[name] = train if train.engine == "openrlhf" else changed(train, engine="openrlhf", cluster=one)
    return found


def changed(train: Train, **update: Any) -> Train:
    """With other values, of `dapo` and `cluster` too where a dict is given."""
    data = train.model_dump(exclude_none=True)
    for name, value in update.items():
        data[name] = {**data[name], **value} if isinstance(value, dict) else value
        if isinstance(value, Cluster):
            data[name] = value.model_dump()
    return Train.model_validate(data)


class Reached(Exception):
    """OpenRLHF got as far as the engines."""


@pytest.fixture(scope="module")
def parse() -> Parse:
    """The body of `if __name__ == "__main__"`, as it is, with what `train` gets."""
    tree = ast.parse(Path(cli.__file__).read_text(encoding="utf-8"))
    (main,) = (node for node in tree.body if isinstance(node, ast.If))
    code = compile(ast.Module(main.body, []), cli.__file__, "exec")

    def run(flags: list[str]) -> Any:
        got: list[Any] = []
        before, sys.argv = sys.argv, ["train_ppo_ray", *flags]
        try:
            exec(code, {**vars(cli), "train": got.append})
        finally:
            sys.argv = before
        return got[0]

    return run


def flags_of(train: Train) -> list[str]:
    return openrlhf_flags(train, 0, FILES, "sdpa")


def start(monkeypatch: pytest.MonkeyPatch, args: Any) -> None:
    """OpenRLHF's `train` up to its engines: Ray and placement are not asked."""

    def reach(*_: Any, **__: Any) -> None:
        raise Reached

    ray = SimpleNamespace(is_initialized=lambda: True, get=lambda ref: ref)
    monkeypatch.setattr(cli, "ray", ray)
    monkeypatch.setattr(cli, "placement_group", lambda *_, **__: SimpleNamespace(ready=lambda: None))
    monkeypatch.setattr(cli, "create_vllm_engines", reach)
    cli.train(args)


@pytest.mark.parametrize("name", TRAINED)
def test_every_profile_is_accepted(name: str, parse: Parse, monkeypatch: pytest.MonkeyPatch) -> None:
    train = trains()[name]
    assert violations(train, None, None) == []
    args = parse(flags_of(train))
    with pytest.raises(Reached):
        start(monkeypatch, args)
    dapo = train.dapo
    assert args.rollout.batch_size == dapo.rollout_prompts  # prompts
    assert args.train.batch_size == dapo.train_prompts * dapo.group_size  # samples
    assert tuple(args.actor.eps_clip_low_high) == (dapo.clip_low, dapo.clip_high)
    assert args.actor.dual_clip == dapo.dual_clip
    assert args.actor.adam.lr == dapo.lr and args.actor.adam.weight_decay == dapo.weight_decay
    assert tuple(args.actor.adam.betas) == (0.9, 0.999) and args.actor.lr_scheduler == "constant"
    assert args.actor.entropy_coef == 0 and args.actor.loss_agg_mode == "token-mean"
    assert args.algo.kl.init_coef == dapo.kl and args.algo.advantage.estimator == "group_norm"
    assert args.algo.dynamic_filtering_enable == dapo.dynamic_sampling
    assert args.reward.overlong_buffer_len == (dapo.overlong_buffer or None)
    assert args.reward.remote_url == ["agent"] and args.train.agent_func_path.endswith("agent.py")
    assert args.data.max_len == dapo.max_prompt + dapo.max_response
    assert args.rollout.max_new_tokens == dapo.max_response
    assert args.ds.attn_implementation == "sdpa" and not args.ds.packing_samples
    assert args.ckpt.max_num == train.keep and args.ckpt.load_enable
    assert args.vllm.num_engines == engines(train.cluster)


def test_the_kl_term_and_what_else_is_optional_are_accepted(parse: Parse, monkeypatch: pytest.MonkeyPatch) -> None:
    dapo = {"kl": 0.01, "dual_clip": None, "freeze_vision": True, "overlong_buffer": 128, "dynamic_sampling": False}
    cluster = {"zero_stage": 3, "enforce_eager": True, "attention": "sdpa", "flags": ["--ds.overlap_comm"]}
    args = parse(flags_of(changed(trains()["paper"], dapo=dapo, cluster=cluster, validation=0.1, choose="best")))
    assert args.eval.dataset == str(FILES.held) and args.eval.steps == -1  # r2i's trainer says when
    assert args.algo.kl.use_loss and args.ref.num_gpus_per_node == args.actor.num_gpus_per_node
    assert args.actor.dual_clip is None and args.actor.freeze_visual_encoder
    assert args.ds.grad_accum_dtype == "fp32" and args.ds.overlap_comm
    with pytest.raises(Reached):
        start(monkeypatch, args)


def test_gpus_of_their_own_for_engines_are_accepted(parse: Parse, monkeypatch: pytest.MonkeyPatch) -> None:
    train = changed(trains()["paper"], cluster={"colocate": False, "engines": 4}, dapo={"kl": 0.01})
    assert violations(train, None, None) == []
    args = parse(flags_of(train))
    assert not args.vllm.enable_sleep and args.train.colocate_actor_ref
    with pytest.raises(Reached):
        start(monkeypatch, args)


def test_both_refuse_engines_that_do_not_fill_the_gpus(parse: Parse, monkeypatch: pytest.MonkeyPatch) -> None:
    train = changed(trains()["paper"], cluster={"engines": 5})
    (fault,) = violations(train, None, None)
    assert "engines" in fault
    with pytest.raises(AssertionError, match="vllm_num_engines"):
        start(monkeypatch, parse(flags_of(train)))


def test_both_refuse_a_rollout_batch_smaller_than_the_gpus(parse: Parse) -> None:
    train = changed(trains()["mini"], dapo={"rollout_prompts": 1, "train_prompts": 1}, cluster={"gpus_per_node": 16})
    assert any("fewer than the 16 GPUs" in fault for fault in violations(train, None, None))
    with pytest.raises(AssertionError, match="number of sample batches"):
        parse(flags_of(train))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("--rollout.n_samples_per_prompt", "1", "n_samples_per_prompt"),
        ("--algo.dynamic_filtering_range", "0.5 0.5", "must be less"),
        ("--algo.advantage.estimator", "gae", "critic"),
    ],
)
def test_openrlhf_refuses_what_params_can_not_hold(name: str, value: str, said: str, parse: Parse) -> None:
    """r2i.core.params has no such value; the assert that makes it so is still there."""
    with pytest.raises(AssertionError, match=said):
        parse([*flags_of(trains()["one-gpu"]), name, *value.split()])


@pytest.mark.parametrize(
    ("flags", "said"),
    [(["--ds.packing_samples"], "packing"), (["--train.async_enable"], "sleep")],
)
def test_openrlhf_refuses_flags_that_we_refuse(flags: list[str], said: str, parse: Parse) -> None:
    with pytest.raises(AssertionError, match=said):
        parse([*flags_of(trains()["one-gpu"]), *flags])


def test_openrlhf_would_pack_images_without_a_word(parse: Parse) -> None:
    """Why r2i refuses dynamic batches: they turn packing on after the assert."""
    args = parse([*flags_of(trains()["one-gpu"]), "--train.dynamic_batch_enable"])
    assert args.ds.packing_samples and args.data.max_images_per_prompt == 1


def config_of(args: Any, gpus: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    """DeepSpeed's own reading of the config that OpenRLHF's strategy makes, for so many processes."""
    from deepspeed.runtime import config
    from openrlhf.utils import get_strategy

    monkeypatch.setattr(config.dist, "get_rank", lambda: 0)
    monkeypatch.setattr(config.dist, "get_world_size", lambda *_: gpus)
    adam = {"lr": args.actor.adam.lr, "betas": list(args.actor.adam.betas)}
    made = get_strategy(args).get_ds_train_config({"type": "AdamW", "params": adam}, max_norm=args.actor.max_norm)
    return config.DeepSpeedConfig(made)


@pytest.mark.parametrize("name", TRAINED)
def test_deepspeed_takes_the_config_of_every_profile(name: str, parse: Parse, monkeypatch: pytest.MonkeyPatch) -> None:
    train = trains()[name]
    gpus = world(train)
    found = config_of(parse(flags_of(train)), gpus, monkeypatch)
    samples = train.dapo.train_prompts * train.dapo.group_size
    assert found.train_batch_size == samples
    assert found.gradient_accumulation_steps == samples // gpus // train.cluster.micro_train
    assert found.zero_optimization_stage == train.cluster.zero_stage and found.gradient_clipping == 1.0
    assert found.bfloat16_config.enabled


def test_both_refuse_a_batch_that_does_not_divide(parse: Parse, monkeypatch: pytest.MonkeyPatch) -> None:
    """96 prompts x 8 on 7 GPUs: 768 is no multiple of 7."""
    train = changed(trains()["paper"], cluster={"nodes": 1, "gpus_per_node": 7})
    assert any("no multiple of" in fault for fault in violations(train, None, None))
    with pytest.raises(AssertionError, match="train_batch_size is not equal"):
        config_of(parse(flags_of(train)), 7, monkeypatch)


def test_deepspeed_has_no_offload_of_states_without_zero() -> None:
    """Why sleep with zero_stage 0 is refused: of the optimizers only ZeRO's have it."""
    from deepspeed.runtime.bf16_optimizer import BF16_Optimizer
    from deepspeed.runtime.fp16.fused_optimizer import FP16_Optimizer
    from deepspeed.runtime.zero.stage3 import DeepSpeedZeroOptimizer_Stage3
    from deepspeed.runtime.zero.stage_1_and_2 import DeepSpeedZeroOptimizer

    assert not hasattr(BF16_Optimizer, "offload_states") and not hasattr(FP16_Optimizer, "offload_states")
    assert hasattr(DeepSpeedZeroOptimizer, "offload_states") and hasattr(
        DeepSpeedZeroOptimizer_Stage3, "offload_states"
    )
