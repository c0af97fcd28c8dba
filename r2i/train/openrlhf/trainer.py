"""OpenRLHF 0.11.2's training loop with what it gets wrong put right: `python -m r2i.train.openrlhf.trainer FLAGS`.

- The last batch of a run with dynamic sampling is short. OpenRLHF trains on it as it is: a GPU whose share has a
  micro-batch less than another's ends first, and the others wait for it for ever; or its gradients fill no optimizer
  step, and it counts as one. Here it is cut to whole optimizer steps; where that leaves nothing, the run is over.
- A run that had used up its prompts and goes on from its last checkpoint would draw them all again: a finished data
  loader starts over. Here such a run ends at once, and its result is saved.
- vLLM keeps what it saw in a picture and knows it again in later prompts. After new weights OpenRLHF has it forget its
  key-value cache, not that: where the engine never sleeps, rollouts came of new weights and old image features.
- OpenRLHF tells its workers three variables. Ray takes no driver that sets a name which the environment of its job
  sets too, not even to the same value.

The command line is OpenRLHF's own. Nothing else imports this, since it needs OpenRLHF installed.
"""

import json
import math
import os
import runpy
import sys
from typing import Any

import ray
from openrlhf.trainer import ppo_trainer
from openrlhf.trainer.ppo_utils.samples_generator import SamplesGenerator
from openrlhf.trainer.ray import vllm_engine

from r2i.train.openrlhf.executor import Tally
from r2i.train.openrlhf.workspace import read_settings

OPENRLHF = "openrlhf.cli.train_ppo_ray"
JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # in the environment of a job's driver: what the job was submitted with
FOR_WORKERS = {"TOKENIZERS_PARALLELISM": "true", "NCCL_DEBUG": "WARN", "RAY_ENABLE_ZERO_COPY_TORCH_TENSORS": "1"}
"""OpenRLHF's own three, each unless the environment says otherwise."""


def whole_steps(samples: int, step: int, round_of_micros: int) -> int:
    """The samples of a batch that can be trained on.

    `step`: samples of an optimizer step; `round_of_micros`: of one micro-batch on every GPU. 44 samples, steps of 16
    and rounds of 32: 32.
    """
    return samples - samples % math.lcm(step, round_of_micros)


class WholeSteps(SamplesGenerator):
    """Generates batches of whole optimizer steps."""

    def generate_samples(self, **given: Any) -> tuple[list[Any], float | None, int, bool]:
        """(samples, pass rate of the filter, prompts used up, whether there are no more prompts)"""
        samples, passed, prompts, over = super().generate_samples(**given)
        args = self.args
        gpus = args.actor.num_nodes * args.actor.num_gpus_per_node
        kept = whole_steps(len(samples), args.train.batch_size, args.rollout.micro_batch_size * gpus)
        if kept < len(samples):
            print(f"the last batch of {len(samples)} samples is cut to {kept}: whole optimizer steps", flush=True)
            tally = Tally(read_settings().counts)
            tally.counts["left_over"] = len(samples) - kept
            tally.write()
        return samples[:kept], passed, prompts, over


class Trainer(ppo_trainer.PPOTrainer.__ray_metadata__.modified_class.__ray_actor_class__):  # type: ignore[misc]
    """PPOTrainer whose batches are whole, and whose episodes end once."""

    samples_generator: SamplesGenerator

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        made = self.samples_generator
        self.samples_generator = WholeSteps(
            self.strategy, made.prompts_dataloader, made.eval_dataloader, made.tokenizer, made.vllm_engines
        )

    def init_checkpoint_states(self) -> dict[str, Any]:
        """What the run goes on from: the next episode, where the data loader had come to the end of one."""
        states: dict[str, Any] = super().init_checkpoint_states()
        over = states["data_loader_state_dict"].get("_iterator_finished", False)
        return {**states, "episode": states["episode"] + over}


class Engine(vllm_engine.RolloutRayActor.__ray_metadata__.modified_class.__ray_actor_class__):  # type: ignore[misc]
    """An engine that looks at every picture anew once it has new weights."""

    async def update_weight(self, *args: Any, empty_cache: bool = False, **given: Any) -> Any:
        done = await super().update_weight(*args, empty_cache=empty_cache, **given)
        await self._forget(empty_cache)
        return done

    async def update_weight_cuda_ipc(self, *args: Any, empty_cache: bool = False, **given: Any) -> Any:
        done = await super().update_weight_cuda_ipc(*args, empty_cache=empty_cache, **given)
        await self._forget(empty_cache)
        return done

    async def _forget(self, is_last: bool) -> None:
        """`is_last`: of the weights of one update."""
        if is_last:
            await self.llm.reset_encoder_cache()


def for_workers() -> dict[str, str]:
    """What this driver sets for its workers: none of what its job sets already."""
    job = json.loads(os.environ.get(JOB) or "{}")
    taken = (job.get("runtime_env") or {}).get("env_vars") or {}
    return {name: os.environ.get(name, value) for name, value in FOR_WORKERS.items() if name not in taken}


def main() -> None:
    ray.init(runtime_env={"env_vars": for_workers()})
    ppo_trainer.PPOTrainer = ray.remote(Trainer)
    vllm_engine.RolloutRayActor = ray.remote(Engine)
    runpy.run_module(OPENRLHF, run_name="__main__", alter_sys=True)
    ray.shutdown()
    sys.stdout.flush()
    os._exit(0)  # all is written; to tear down torch and vLLM takes minutes where processors are scarce


if __name__ == "__main__":
    from r2i.train.openrlhf.trainer import main as main_by_name  # Ray's workers import classes by their module's name

    main_by_name()
