"""DAPO on the CPU (or one GPU) through TRL's GRPOTrainer.

TRL has the clip-higher, dual clip (`delta`), the token-level loss, no KL and the group advantage; it lacks dynamic
sampling. That is done here by leaving groups whose mean accuracy is outside of `dynamic_range` out of the batch
*and* of the loss's denominator; they are not replaced by fresh prompts, so a batch shrinks instead (recorded as
`kept_groups`). A group in which a rollout could not be graded is left out in any case.
"""

import os
from pathlib import Path
from typing import Any

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"  # rollout_func is marked experimental; TRL is pinned

import torch
from transformers import PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from r2i.core.curve import Say, last_mean
from r2i.core.ids import seed_of
from r2i.core.params import Dapo, Train
from r2i.core.tables import Row
from r2i.endpoint.vision import encode_repeats_once
from r2i.train.grader import Grader
from r2i.train.log import CurveLog, trl_defaults
from r2i.train.resume import MarkComplete, last_checkpoint
from r2i.train.reward import is_informative
from r2i.train.rollout import Rollouts
from r2i.train.rows import in_training_order, rl_dataset
from r2i.train.trl_options import recorded, trl_options


def trl_config(dapo: Dapo, seed: int, folder: Path, save_every: int = 25, keep: int = 2) -> GRPOConfig:
    """TRL's config. Checkpoints come at the end of a rollout batch: TRL can't go on from the midst of one."""
    options = trl_options(dapo)
    return GRPOConfig(
        output_dir=str(folder),
        **options,
        **trl_defaults(seed, save_every * options["steps_per_generation"], keep),
        remove_unused_columns=False,
        reward_weights=[1.0, 1.0, 0.0],  # format is logged, not trained on
    )


class DapoTrainer(GRPOTrainer):
    """GRPOTrainer that trains on the groups which carry a signal."""

    args: GRPOConfig
    grader: Grader
    dapo: Dapo

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        batch = super()._generate_and_score_completions(inputs)
        if not self.model.training:  # type: ignore[union-attr]
            return batch
        informative = self._informative(batch["advantages"])
        for name, value in [("kept_groups", informative.float().mean().item()), *self.grader.shares().items()]:
            self._metrics["train"][name].append(value)
        batch["advantages"].view(-1, self.dapo.group_size)[~informative] = 0.0
        if bool(informative.all()) or not bool(informative.any()):
            return batch
        return keep_rows(batch, _whole_steps(informative, self.args.steps_per_generation or 1, self.dapo.group_size))

    def _informative(self, advantages: torch.Tensor) -> torch.Tensor:
        """(groups,) of booleans."""
        size, graded = self.dapo.group_size, self.grader.accuracies
        low, high = self.dapo.dynamic_range if self.dapo.dynamic_sampling else (-1.0, 2.0)
        groups = [graded[i : i + size] for i in range(0, len(graded), size)]
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
    "judged": "judged",
    "masked": "masked",
}


def train_dapo(
    model: Any, processor: Any, rows: list[Row], train: Train, seed: int, log: Path, folder: Path, say: Say
) -> dict[str, Any]:
    """Train `model` in place on `rows` (records.TRAIN, ok only). Returns a summary for metrics.

    Goes on from the newest checkpoint in `folder`, where there is one. Raises EndpointError where the judge can't
    be called at all.
    """
    dapo = train.dapo
    curve = CurveLog(log, KEYS, say)
    encode_repeats_once(model)
    if dapo.freeze_vision:
        model.model.visual.requires_grad_(False)
    with Grader(dapo, seed) as grader:
        trainer = DapoTrainer(
            model=model,
            reward_funcs=grader.functions(),
            args=trl_config(dapo, seed_of(seed, "dapo"), folder, train.save_every, train.keep),
            train_dataset=rl_dataset(in_training_order(rows, seed)),
            processing_class=processor,
            callbacks=[curve, MarkComplete()],
            rollout_func=Rollouts(model, processor, dapo, seed),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.grader, trainer.dapo = grader, dapo
        trainer.train(resume_from_checkpoint=last_checkpoint(folder))
    curve.write()
    return {
        "steps": trainer.state.global_step,
        "rows": len(rows),
        **recorded(dapo),
        **grader.summary(),
        "last_10_steps": last_mean(curve.lines, ("accuracy", "format", "response_length", "kept_groups")),
    }
