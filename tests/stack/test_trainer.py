"""What r2i's entry module changes of OpenRLHF's loop: the last batch, and what workers are told."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("openrlhf")

import torch
from openrlhf.trainer.ppo_utils.samples_generator import SamplesGenerator
from torchdata.stateful_dataloader import StatefulDataLoader

from r2i.core.errors import R2IError
from r2i.train.openrlhf import trainer
from r2i.train.openrlhf.executor import read_tallies
from r2i.train.openrlhf.validated import read_measured


@pytest.mark.parametrize(("made", "kept"), [(64, 64), (44, 32), (32, 32), (31, 0), (0, 0)])
def test_a_short_batch_is_cut_to_whole_steps_and_what_is_cut_is_counted(
    made: int, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "read_settings", lambda: SimpleNamespace(counts=tmp_path))
    monkeypatch.setattr(SamplesGenerator, "generate_samples", lambda self: (list(range(made)), 50.0, 9, True))
    generator: Any = trainer.WholeSteps.__new__(trainer.WholeSteps)
    generator.args = SimpleNamespace(
        actor=SimpleNamespace(num_nodes=1, num_gpus_per_node=2),
        train=SimpleNamespace(batch_size=16),
        rollout=SimpleNamespace(micro_batch_size=16),  # two GPUs: 32 samples a round
    )
    assert generator.generate_samples() == (list(range(kept)), 50.0, 9, True)
    assert read_tallies(tmp_path)["left_over"] == made - kept


@pytest.mark.parametrize(("drawn", "left"), [(9, 1), (10, 0), (11, 0)])
def test_a_run_that_used_up_its_prompts_ends_at_once(
    drawn: int, left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loader() -> StatefulDataLoader[int]:
        return StatefulDataLoader(list(range(10)), batch_size=1, shuffle=True)

    before, here = loader(), loader()
    prompts = iter(before)
    for _ in range(drawn):
        next(prompts, None)  # the 11th: dynamic sampling asks for one more, and the loader is finished
    states = {
        "episode": 0,
        "global_step": 2,
        "total_consumed_prompts": drawn,
        "data_loader_state_dict": before.state_dict(),
    }
    made: list[Any] = []
    run: Any = trainer.Trainer.__new__(trainer.Trainer)
    run.args = SimpleNamespace(
        train=SimpleNamespace(num_episodes=1), ckpt=SimpleNamespace(path=tmp_path, load_enable=True)
    )
    (tmp_path / "_actor").mkdir()
    run.actor_model_group = SimpleNamespace(async_run_method=lambda method_name: [states])
    monkeypatch.setattr(trainer.ray, "get", lambda told: told)
    run.broadcast_to_vllm = lambda: None
    run.prompts_dataloader, run.generate_kwargs = here, {}
    run.samples_generator = SimpleNamespace(generate_samples=lambda: (made.extend(here) or [], None, 0, True))
    run.wandb_logger = run.tensorboard_logger = None
    run.fit()
    assert len(made) == left


class Group:
    """OpenRLHF's actors: a model's weights are the number of its step."""

    def __init__(self, run: Any) -> None:
        self.run = run

    def async_run_method(self, method_name: str, **given: Any) -> list[Any]:
        args = self.run.args.ckpt
        if method_name == "get_checkpoint_states":
            return [self.run.states]
        if method_name == "save_checkpoint":
            if self.run.dies_at == given["client_states"]["global_step"]:
                raise KeyboardInterrupt
            Path(args.path, "_actor", given["tag"]).mkdir()
            self.run.states = given["client_states"]
        if method_name == "save_model":
            Path(args.output_dir).mkdir()
            Path(args.output_dir, "model.safetensors").write_text(str(self.run.trained))
        return []


def test_held_out_rows_are_asked_before_each_checkpoint_and_at_both_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five steps, a checkpoint every two, killed at that of step 4 and gone on with: the best model is that of step 2,
    also where step 4 was the best before the kill. A row without an answer is no wrong one."""
    validated, result = tmp_path / "validated", tmp_path / "result"
    settings = SimpleNamespace(validated=validated, choose="best")
    monkeypatch.setattr(trainer, "read_settings", lambda: settings)
    monkeypatch.setattr(trainer.ray, "get", lambda told: told)
    asked: list[dict[str, Any]] = []
    answers = {0: [0, 0, 1], 2: [1, 1, 0], 4: [1, 1, 1], 5: [1, 0, 0]}  # right or wrong, by step
    fresh = {"episode": 0, "global_step": 0, "total_consumed_prompts": 0, "data_loader_state_dict": {}}

    def begin(states: dict[str, Any]) -> Any:
        run: Any = trainer.Trainer.__new__(trainer.Trainer)
        ckpt = SimpleNamespace(path=str(tmp_path / "checkpoints"), load_enable=True, save_steps=2,
                               output_dir=str(result))  # fmt: skip
        run.args = SimpleNamespace(
            train=SimpleNamespace(num_episodes=1), ckpt=ckpt, eval=SimpleNamespace(steps=float("inf")),
            logger=SimpleNamespace(logging_steps=1), algo=SimpleNamespace(dynamic_filtering_enable=False),
        )  # fmt: skip
        run.states, run.trained, run.dies_at = states, states["global_step"], None
        run.actor_model_group, run.critic_model_group = Group(run), None
        run.broadcast_to_vllm = lambda: None
        run.best_eval_metric_key, run.best_eval_metric_value, run._latest_eval_metric_value = "none", 0, None
        told: dict[int, Any] = {}
        run.wandb_logger = None
        run.tensorboard_logger = SimpleNamespace(log_train=lambda step, logs: told.update({step: logs}), close=bool)
        run.told, run.generate_kwargs = told, {"temperature": 1.0, "max_new_tokens": 8}
        run.prompts_dataloader = StatefulDataLoader(list(range(5)), batch_size=1)
        run.eval_dataloader = [1, 2, 3]

        def train_step(samples: Any, step: int) -> tuple[dict[str, Any], int]:
            run.trained = step + 1
            return {"reward": 0.0}, step + 1

        def generate_eval_samples(**given: Any) -> list[Any]:
            asked.append(given)
            masked = {"accuracy": torch.tensor([0.0]), "masked": torch.tensor([1.0])}
            right = [{"accuracy": torch.tensor([float(one)]), "masked": torch.tensor([0.0])}
                     for one in answers[run.trained]]  # fmt: skip
            return [SimpleNamespace(info=info) for info in (masked, *right)]

        run.train_step = train_step
        run.samples_generator = SimpleNamespace(
            generate_eval_samples=generate_eval_samples,
            generate_samples=lambda **given: ([1], None, 1, run.trained >= 4),
        )
        return run

    (tmp_path / "checkpoints" / "_actor").mkdir(parents=True)
    killed = begin(fresh)
    killed.dies_at = 4
    with pytest.raises(KeyboardInterrupt):
        killed.fit()
    assert read_measured(validated, 4)[4] == 1.0 and not (tmp_path / "checkpoints" / "_actor" / "global_step4").exists()
    answers[4] = [1, 0, 0]
    run = begin(killed.states)
    run.fit()
    measured = read_measured(validated, 5)
    assert measured == pytest.approx({0: 1 / 3, 2: 2 / 3, 4: 1 / 3, 5: 1 / 3})
    assert (validated / "step-5" / "best" / "model.safetensors").read_text() == "2"
    assert not result.exists()  # that of the last step is saved by OpenRLHF
    assert killed.told[2]["val_accuracy"] == pytest.approx(2 / 3) and "val_accuracy" not in run.told[3]
    assert {(given["temperature"], given["n_samples_per_prompt"], given["max_new_tokens"]) for given in asked} == {
        (0.0, 1, 8)
    }
    answers[5] = []
    with pytest.raises(R2IError, match="none of 1 held-out rows"):
        run._validate()


@pytest.mark.parametrize("way", ["update_weight", "update_weight_cuda_ipc"])
def test_an_engine_with_new_weights_looks_at_pictures_anew(way: str) -> None:
    """vLLM keeps features of pictures that it saw: those of earlier weights are forgotten after the last new one."""
    told: list[str] = []

    class Vllm:
        async def collective_rpc(self, name: str, args: tuple[Any, ...]) -> str:
            told.append(f"{name} {args[0]}")
            return "done"

        async def reset_encoder_cache(self) -> None:
            told.append("forget")

    engine: Any = trainer.Engine.__new__(trainer.Engine)
    engine.llm = Vllm()
    handles = {"ipc_handles": {}} if way.endswith("ipc") else {}

    async def update() -> None:
        for name, is_last in (("first", False), ("last", True)):
            assert await getattr(engine, way)(name, dtype=None, shape=(), **handles, empty_cache=is_last) == "done"

    asyncio.run(update())
    assert told == [f"{way} first", f"{way} last", "forget"]


def test_a_job_s_own_variables_are_not_set_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in trainer.FOR_WORKERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv(trainer.JOB, raising=False)
    assert trainer.for_workers() == trainer.FOR_WORKERS
    monkeypatch.setenv("NCCL_DEBUG", "INFO")  # of the head's own environment
    assert trainer.for_workers()["NCCL_DEBUG"] == "INFO"
    monkeypatch.setenv(trainer.JOB, json.dumps({"runtime_env": {"env_vars": {"NCCL_DEBUG": "INFO"}}}))
    assert set(trainer.for_workers()) == set(trainer.FOR_WORKERS) - {"NCCL_DEBUG"}
