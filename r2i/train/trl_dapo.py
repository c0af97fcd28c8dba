"""DAPO on the CPU (or one GPU) through TRL's GRPOTrainer.

TRL has the clip-higher, the token-level loss, no KL and the group advantage; it lacks dynamic
sampling and dual clip. Dynamic sampling is done here by leaving groups without reward spread out
of the batch *and* of the loss's denominator; they are not replaced by fresh prompts, so a batch
shrinks instead (recorded as `kept_groups`). Dual clip only acts where a ratio exceeds 3 on a
negative advantage; with the few optimizer steps per rollout used here none does, and it is left
out (recorded in metrics as `dual_clip: none`).
"""

import os
from pathlib import Path
from typing import Any

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"  # rollout_func is marked experimental; TRL is pinned

import torch
from transformers import PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from r2i.ids import seed_of
from r2i.params import Dapo
from r2i.tables import Row
from r2i.train.log import JsonLog, Say, trl_defaults
from r2i.train.reward import accuracy_reward, format_reward, overlong_penalty
from r2i.train.rollout import Rollouts
from r2i.train.rows import in_training_order, rl_dataset
from r2i.vision import encode_repeats_once


def trl_config(dapo: Dapo, seed: int, folder: Path) -> GRPOConfig:
    """The `dapo` params as TRL's config. Batch sizes in params are prompts, in TRL samples."""
    return GRPOConfig(
        output_dir=str(folder),
        learning_rate=dapo.lr,
        weight_decay=dapo.weight_decay,
        num_train_epochs=dapo.epochs,
        max_steps=dapo.max_steps,
        per_device_train_batch_size=dapo.train_prompts * dapo.group_size,
        gradient_accumulation_steps=1,
        steps_per_generation=dapo.rollout_prompts // dapo.train_prompts,
        num_generations=dapo.group_size,
        temperature=dapo.temperature,
        max_completion_length=dapo.max_response,
        loss_type="dapo",
        epsilon=dapo.clip_low,
        epsilon_high=dapo.clip_high,
        beta=dapo.kl,
        scale_rewards="group",
        shuffle_dataset=False,  # rows come in an order of our own, a function of ids and the seed
        **trl_defaults(seed),
        remove_unused_columns=False,
    )


class DapoTrainer(GRPOTrainer):
    """GRPOTrainer with groups that carry no signal left out of the batch."""

    args: GRPOConfig
    dynamic_sampling = True

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        batch = super()._generate_and_score_completions(inputs)
        if not self.model.training:  # type: ignore[union-attr]
            return batch
        group_size = self.args.num_generations or 1
        informative = batch["advantages"].view(-1, group_size).abs().amax(dim=1) > 0
        self._metrics["train"]["kept_groups"].append(informative.float().mean().item())
        if not self.dynamic_sampling or bool(informative.all()) or not bool(informative.any()):
            return batch
        return keep_rows(batch, _whole_steps(informative, self.args.steps_per_generation or 1, group_size))


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


KEYS = {
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
}


def _reward_functions(dapo: Dapo) -> list[Any]:
    def reward_accuracy(completions: list[Any], label: list[str], options: list[list[str]], **_: Any) -> list[float]:
        texts = [completion[0]["content"] for completion in completions]
        return [accuracy_reward(t, lab, o) for t, lab, o in zip(texts, label, options, strict=True)]

    def reward_overlong(completion_ids: list[list[int]], **_: Any) -> list[float]:
        return [overlong_penalty(len(ids), dapo.max_response, dapo.overlong_buffer) for ids in completion_ids]

    def reward_format(completions: list[Any], label: list[str], options: list[list[str]], **_: Any) -> list[float]:
        texts = [completion[0]["content"] for completion in completions]
        return [format_reward(t, lab, o) for t, lab, o in zip(texts, label, options, strict=True)]

    return [reward_accuracy, reward_overlong, reward_format]


def train_dapo(
    model: Any,
    processor: Any,
    rows: list[Row],
    dapo: Dapo,
    seed: int,
    log: Path,
    scratch: Path,
    say: Say,
) -> dict[str, Any]:
    """Train `model` in place on `rows` (records.TRAIN, ok only). Returns a summary for metrics."""
    config = trl_config(dapo, seed_of(seed, "dapo"), scratch)
    config.reward_weights = [1.0, 1.0, 0.0]  # format is logged, not trained on
    json_log = JsonLog(log, KEYS, say)
    encode_repeats_once(model)
    if dapo.freeze_vision:
        model.model.visual.requires_grad_(False)
    trainer = DapoTrainer(
        model=model,
        reward_funcs=_reward_functions(dapo),
        args=config,
        train_dataset=rl_dataset(in_training_order(rows, seed)),
        processing_class=processor,
        callbacks=[json_log],
        rollout_func=Rollouts(model, processor, dapo, seed),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.dynamic_sampling = dapo.dynamic_sampling
    trainer.train()
    json_log.write()
    last = json_log.lines[-10:]
    return {
        "steps": trainer.state.global_step,
        "rows": len(rows),
        "dual_clip": "none",
        "dynamic_sampling": "groups dropped" if dapo.dynamic_sampling else "off",
        "last_10_steps": {
            key: sum(line[key] for line in last if key in line) / max(1, sum(key in line for line in last))
            for key in ("accuracy", "format", "response_length", "kept_groups")
        },
    }
