"""OpenRLHF 0.11.2's training loop with what it gets wrong put right: `python -m r2i.train.openrlhf.trainer FLAGS`.

- The last batch of a run with dynamic sampling is short. OpenRLHF trains on it as it is: a GPU whose share has a
  micro-batch less than another's ends first, and the others wait for it for ever; or its gradients fill no optimizer
  step, and it counts as one. Here it is cut to whole optimizer steps; where that leaves nothing, the run is over.
- A run that had used up its prompts and goes on from its last checkpoint would draw them all again: a finished data
  loader starts over. Here such a run ends at once, and its result is saved.
- vLLM keeps what it saw in a picture and knows it again in later prompts. After new weights OpenRLHF has it forget its
  key-value cache, not that: where the engine never sleeps, rollouts came of new weights and old image features.
- OpenRLHF asks held-out rows after the checkpoint of a step, so that a kill between the two loses an answer, keeps the
  best model as a whole checkpoint, which nothing loads, and measures neither the base nor the last model. Here they
  are asked before the checkpoint, at the start and at the end, by its own loader and engines, and the best model's
  weights are kept as a model's folder (r2i.train.openrlhf.validated).
- OpenRLHF tells its workers three variables. Ray takes no driver that sets a name which the environment of its job
  sets too, not even to the same value.

The command line is OpenRLHF's own. Nothing else imports this, since it needs OpenRLHF installed.
"""

import json
import math
import os
import runpy
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import ray
from openrlhf.trainer import ppo_trainer
from openrlhf.trainer.ppo_utils.samples_generator import SamplesGenerator
from openrlhf.trainer.ray import vllm_engine

from r2i.core.errors import R2IError
from r2i.train.held_out import KEY
from r2i.train.openrlhf.executor import Tally
from r2i.train.openrlhf.validated import is_best, keep_steps, read_measured, write_measured
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
    """PPOTrainer whose batches are whole, whose episodes end once, and whose held-out rows are asked in time.

    `step`: of the model; `validated`: the newest step whose held-out rows were asked.
    """

    samples_generator: SamplesGenerator
    eval_dataloader: Any = None
    step = validated = 0

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
        self.step = self.validated = states["global_step"]
        if self.eval_dataloader:
            self._begin_validation()
        return {**states, "episode": states["episode"] + over}

    def save_logs_and_checkpoints(self, global_step: int, logs_dict: Any = None, client_states: Any = None) -> None:
        self.step = global_step
        is_checkpoint = self.eval_dataloader and global_step % self.args.ckpt.save_steps == 0
        if is_checkpoint:
            logs_dict = {**(logs_dict or {}), KEY: self._validate()}
        super().save_logs_and_checkpoints(global_step, logs_dict, client_states)
        if is_checkpoint:
            folders = Path(self.args.ckpt.path, "_actor").glob("global_step*")
            keep_steps(read_settings().validated, [int(path.name.removeprefix("global_step")) for path in folders])

    def fit(self, global_step: int = 0) -> None:
        super().fit(global_step)
        if self.eval_dataloader and self.validated < self.step:
            self._validate(is_last=True)

    def _begin_validation(self) -> None:
        """Forget what was measured after the checkpoint that the run goes on from; measure the base."""
        root = read_settings().validated
        keep_steps(root, range(self.step + 1))
        if not self.step:
            write_measured(root, 0, 0, {0: self._accuracy()}, None)

    def _validate(self, is_last: bool = False) -> float:
        """Measure the model of this step, and keep its weights where they are the best so far and asked for; those of
        the `is_last` are saved anyway."""
        settings = read_settings()
        measured = read_measured(settings.validated, self.validated) | {self.step: self._accuracy()}
        weights = None
        if settings.choose == "best" and is_best(measured, self.step) and not is_last:
            ray.get(self.actor_model_group.async_run_method(method_name="save_model"))
            weights = Path(self.args.ckpt.output_dir)
        write_measured(settings.validated, self.validated, self.step, measured, weights)
        self.validated = self.step
        return measured[self.step]

    def _accuracy(self) -> float:
        """Share of right greedy answers. Raises R2IError where no row has one."""
        given = {**self.generate_kwargs, "temperature": 0.0, "n_samples_per_prompt": 1}
        found = [sample.info for sample in self.samples_generator.generate_eval_samples(**given)]
        right = [float(info["accuracy"]) for info in found if not info["masked"]]
        if not right:
            raise R2IError(f"none of {len(found)} held-out rows has an answer", "the log says why of each")
        return fmean(right)


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
