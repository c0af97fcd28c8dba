"""DAPO on a CPU or one GPU through TRL's GRPOTrainer.

TRL has clip-higher, dual clip (`delta`), the token-level loss, no KL and the group advantage, not dynamic sampling.
Here groups whose mean accuracy is not within `dynamic_range` are left out of the batch *and* of the loss's denominator.
They are not replaced by fresh prompts, so the batch shrinks (logged as `kept_groups`). A group with a masked rollout is
left out in any case.
"""

import os
from pathlib import Path
from typing import Any

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"  # rollout_func is marked experimental; TRL is pinned

import torch
from trl import GRPOConfig, GRPOTrainer

from r2i.core.curve import last_mean
from r2i.core.ids import seed_of
from r2i.core.params import Dapo, Train
from r2i.core.tables import Row
from r2i.endpoint.vision import encode_repeats_once
from r2i.train.held_out import KEY
from r2i.train.resume import MarkComplete, last_checkpoint
from r2i.train.reward import RewardFunctions, is_informative
from r2i.train.rollout import GroupSampler
from r2i.train.rows import in_training_order, rl_dataset
from r2i.train.shared import MAX_TOKENS, members_of, packed_length, reply_logs
from r2i.train.trl import CurveLog, TrlRun, on_one_gpu, start, trl_defaults
from r2i.train.validate import Validation, choose_model


def trl_options(dapo: Dapo) -> dict[str, Any]:
    """The `dapo` params as options of TRL's GRPOConfig (docs/training.md has the table).

    Batch sizes in params are prompts, in TRL samples. Rows come in an order of our own, so TRL does not shuffle.
    `delta` bounds the ratio from above before the minimum of the clipped and the plain objective is taken: for a
    negative advantage that is dual clip, for a positive one the upper clip is lower and it never acts.
    Dynamic sampling, the overlong penalty and the pixel limits have no option: DapoTrainer, RewardFunctions and the
    processor apply them.
    """
    return {
        "learning_rate": dapo.lr,
        "weight_decay": dapo.weight_decay,
        "num_train_epochs": dapo.epochs,
        "max_steps": dapo.max_steps,
        "per_device_train_batch_size": dapo.train_prompts * dapo.group_size,
        "gradient_accumulation_steps": 1,
        "steps_per_generation": dapo.rollout_prompts // dapo.train_prompts,
        "num_generations": dapo.group_size,
        "temperature": dapo.temperature,
        "max_completion_length": dapo.max_response,
        "loss_type": "dapo",
        "epsilon": dapo.clip_low,
        "epsilon_high": dapo.clip_high,
        "delta": dapo.dual_clip,
        "beta": dapo.kl,
        "scale_rewards": "group",
        "shuffle_dataset": False,
    }


def list_deviations(dapo: Dapo) -> dict[str, str]:
    """Where TRL deviates from DAPO, for the metrics."""
    return {
        "dual_clip": "none" if dapo.dual_clip is None else "delta",
        "dynamic_sampling": "groups dropped, batch not refilled" if dapo.dynamic_sampling else "off",
    }


def trl_config(train: Train, seed: int, folder: Path) -> GRPOConfig:
    """TRL's config. Checkpoints come at the end of a rollout batch: TRL can't resume within one."""
    options = trl_options(train.dapo)
    return GRPOConfig(
        output_dir=str(folder),
        **options,
        **trl_defaults(train, seed, train.save_every * options["steps_per_generation"]),
        remove_unused_columns=False,
        reward_weights=[1.0, 1.0, 0.0],  # format is logged, not trained on
    )


class DapoTrainer(GRPOTrainer):
    """GRPOTrainer that trains on the groups which carry a signal."""

    args: GRPOConfig
    rewards: RewardFunctions
    dapo: Dapo
    shares_prompts = True
    _groups: torch.Tensor | None = None  # of the rows whose loss is computed

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        batch = super()._generate_and_score_completions(inputs)
        if not self.model.training:  # type: ignore[union-attr]
            return batch
        batch["group"] = (
            torch.arange(len(batch["advantages"]), device=batch["advantages"].device) // self.dapo.group_size
        )
        self.annotate(batch, inputs)
        informative = self._informative(batch["advantages"])
        for name, value in [("kept_groups", informative.float().mean().item()), *self.rewards.shares().items()]:
            self._metrics["train"][name].append(value)
        batch["advantages"].view(-1, self.dapo.group_size)[~informative] = 0.0
        if bool(informative.all()) or not bool(informative.any()):
            return batch
        return keep_rows(batch, _whole_steps(informative, self.args.steps_per_generation or 1, self.dapo.group_size))

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        self._groups = inputs.get("group")
        try:
            loss: torch.Tensor = super()._compute_loss(model, inputs)
        finally:
            self._groups = None
        return loss

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, logits_to_keep: int, **given: Any
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Of a group's rollouts in one sequence, where it is short; TRL's own way repeats the prompt for each."""
        if self.shares_prompts and self._groups is not None:
            members = members_of(self._groups)
            prompt = input_ids.shape[1] - logits_to_keep
            if packed_length(members, prompt, logits_to_keep) <= MAX_TOKENS:
                pictures = {name: given[name] for name in ("pixel_values", "image_grid_thw")}
                with self.accelerator.autocast():
                    logs, entropies = reply_logs(
                        self.model, members, input_ids, attention_mask, logits_to_keep, pictures, self.temperature
                    )
                return logs, entropies, None
        found: tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]
        found = super()._get_per_token_logps_and_entropies(model, input_ids, attention_mask, logits_to_keep, **given)
        return found

    def annotate(self, batch: dict[str, Any], inputs: list[dict[str, Any]]) -> None:
        """Add what a further loss needs to know of each rollout, before groups are left out. DAPO needs nothing."""

    def _informative(self, advantages: torch.Tensor) -> torch.Tensor:
        """(groups,) of booleans."""
        size, accuracies = self.dapo.group_size, self.rewards.accuracies
        low, high = self.dapo.dynamic_range if self.dapo.dynamic_sampling else (-1.0, 2.0)
        groups = [accuracies[i : i + size] for i in range(0, len(accuracies), size)]
        return torch.tensor([is_informative(group, low, high) for group in groups])


def _whole_steps(informative: torch.Tensor, steps: int, group_size: int) -> torch.Tensor:
    """Indices of the rows of informative groups, cut to a multiple of `steps` groups where there are enough."""
    groups = informative.nonzero().flatten()
    if len(groups) >= steps:
        groups = groups[: len(groups) // steps * steps]
    else:  # fewer than one group a step: fill with silent ones, TRL splits a batch into `steps`
        silent = (~informative).nonzero().flatten()[: steps - len(groups)]
        groups = torch.cat([groups, silent])
    return (groups[:, None] * group_size + torch.arange(group_size)).flatten()


def keep_rows(batch: dict[str, Any], rows: torch.Tensor) -> dict[str, Any]:
    """The `rows` of a scored batch. Pixel rows follow their images; token counts are taken again."""
    samples = len(batch["advantages"])
    kept: dict[str, Any] = {}
    for key, value in batch.items():
        if key == "pixel_values":
            kept[key] = torch.cat([_pixels_of(batch, int(i)) for i in rows])
        elif isinstance(value, torch.Tensor) and value.dim() > 0 and len(value) == samples:
            kept[key] = value[rows]
        elif isinstance(value, list) and len(value) == samples:
            kept[key] = [value[int(i)] for i in rows]
        else:
            kept[key] = value
    kept["num_items_in_batch"] = kept["completion_mask"].sum()
    return kept


def _pixels_of(batch: dict[str, Any], row: int) -> torch.Tensor:
    """The patches of one row's image; rows hold one image each. (patches, values)"""
    sizes = batch["image_grid_thw"].prod(dim=1)
    start = int(sizes[:row].sum())
    return batch["pixel_values"][start : start + int(sizes[row])]


CURVE_KEYS = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "rewards/reward_accuracy/mean": "accuracy",
    "rewards/reward_format/mean": "format",
    "reward": "reward",
    "reward_std": "reward_std",
    "completions/mean_length": "response_length",
    "completions/clipped_ratio": "truncated",
    "clip_ratio/region_mean": "clip_ratio",
    "entropy": "entropy",
    "kept_groups": "kept_groups",
    "judged": "judged",
    "masked": "masked",
    "attention": "attention",
    KEY: KEY,
}
"""TRL's names and ours (r2i.core.curve.KEYS)."""


def train(model: Any, processor: Any, rows: list[Row], run: TrlRun) -> dict[str, Any]:
    """The Trainer of `dapo`. Raises EndpointError where the judge can't be called at all."""
    return train_policy(model, processor, rows, run, run.train.dapo)


def train_policy(
    model: Any,
    processor: Any,
    rows: list[Row],
    run: TrlRun,
    dapo: Dapo,
    trainer_class: type[DapoTrainer] = DapoTrainer,
    **known: Any,
) -> dict[str, Any]:
    """As `train`, by the section `dapo` of params. `known`: attributes of the trainer."""
    train = run.train.model_copy(update={"dapo": dapo})
    curve = CurveLog(run.log, CURVE_KEYS, run.sink)
    encode_repeats_once(model)
    if dapo.freeze_vision:
        model.model.visual.requires_grad_(False)
    with RewardFunctions(dapo, run.seed) as rewards:
        trainer = trainer_class(
            model=model,
            reward_funcs=rewards.functions(),
            args=on_one_gpu(trl_config(train, seed_of(run.seed, "dapo"), run.checkpoints)),
            train_dataset=rl_dataset(in_training_order(rows, run.seed)),
            processing_class=processor,
            callbacks=[Validation(run.held, processor, dapo.max_response, dapo.train_prompts), curve, MarkComplete()],
            rollout_func=GroupSampler(model, processor, dapo, run.seed),
        )
        for name, value in {"rewards": rewards, "dapo": dapo, **known}.items():
            setattr(trainer, name, value)
        start(trainer, last_checkpoint(run.checkpoints))
    curve.write()
    return {
        "steps": trainer.state.global_step,
        "rows": len(rows),
        **choose_model(trainer, run.held, train.choose),
        **list_deviations(dapo),
        **rewards.summary(),
        "last_10_steps": last_mean(curve.lines, ("accuracy", "format", "response_length", "kept_groups", "attention")),
    }
