"""What r2i's entry module changes of OpenRLHF's loop: the last batch, and what workers are told."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("openrlhf")

from openrlhf.trainer.ppo_utils.samples_generator import SamplesGenerator

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


def test_a_job_s_own_variables_are_not_set_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in trainer.FOR_WORKERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv(trainer.JOB, raising=False)
    assert trainer.for_workers() == trainer.FOR_WORKERS
    monkeypatch.setenv("NCCL_DEBUG", "INFO")  # of the head's own environment
    assert trainer.for_workers()["NCCL_DEBUG"] == "INFO"
    monkeypatch.setenv(trainer.JOB, json.dumps({"runtime_env": {"env_vars": {"NCCL_DEBUG": "INFO"}}}))
    assert set(trainer.for_workers()) == set(trainer.FOR_WORKERS) - {"NCCL_DEBUG"}
