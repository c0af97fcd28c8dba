"""What r2i's entry module changes of OpenRLHF's loop: the last batch, and what workers are told."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("openrlhf")

from openrlhf.trainer.ppo_utils.samples_generator import SamplesGenerator
from torchdata.stateful_dataloader import StatefulDataLoader

from r2i.train.openrlhf import trainer
from r2i.train.openrlhf.executor import read_tallies


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
