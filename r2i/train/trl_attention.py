"""DAPO with a second loss: where a rollout was right, its tokens look at the box (after arXiv 2605.30912).

Of each right rollout on a full image, the loss of a token is - log of the share of its attention to the image that goes
to the box. DAPO's groups, rewards and its own loss are as without it; right rollouts of groups that carry no signal are
left out with their groups.
"""

from dataclasses import replace
from typing import Any

import torch

from r2i.core.errors import ParamsError
from r2i.core.images import read_size
from r2i.core.params import DapoAttention
from r2i.core.tables import Row
from r2i.train.look import SMALLEST, coverage, layers_to_watch, shares_in_box, watching
from r2i.train.trl import TrlRun
from r2i.train.trl_dapo import DapoTrainer, train_policy

NOWHERE = (0.0, 0.0, 0.0, 0.0)  # of a row that shows the crop, or whose box is not known


class LookingTrainer(DapoTrainer):
    """`regions`: by row_id, the box as shares of the image, xyxy."""

    regions: dict[str, tuple[float, ...]]
    dapo: DapoAttention
    shares_prompts = False  # what is watched is where a reply stands alone

    def annotate(self, batch: dict[str, Any], inputs: list[dict[str, Any]]) -> None:
        regions = torch.tensor([self.regions[row["row_id"]] for row in inputs])
        right = torch.tensor([accuracy == 1.0 for accuracy in self.rewards.accuracies])
        batch["regions"] = (regions * right[:, None]).to(batch["advantages"].device)

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        start, length = inputs["prompt_ids"].shape[1], inputs["completion_ids"].shape[1]
        layers = layers_to_watch(self.model, self.dapo.attention_layers)
        with watching(self.model, layers, slice(start - 1, start - 1 + length)) as watch:
            loss: torch.Tensor = super()._compute_loss(model, inputs)
        looked = self._coverage(watch.seen[-len(layers) :], inputs)
        counted = inputs["completion_mask"] * (inputs["regions"].sum(-1, keepdim=True) > 0)
        tokens = counted.sum().clamp(min=1)
        self._metrics["train"]["attention"].append(float((looked.detach() * counted).sum() / tokens))
        missed = -(looked.clamp(min=SMALLEST).log() * counted).sum() / tokens
        return loss + self.dapo.attention_weight * missed

    def _coverage(self, seen: list[torch.Tensor], inputs: dict[str, Any]) -> torch.Tensor:
        ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
        visual = (ids == self.model.config.image_token_id).float()  # type: ignore[union-attr]
        merge = self.processing_class.image_processor.merge_size  # type: ignore[union-attr]
        inside = torch.zeros_like(visual)
        for row, (_, high, wide) in enumerate(inputs["image_grid_thw"].tolist()):
            shares = shares_in_box(inputs["regions"][row].tolist(), high // merge, wide // merge)
            inside[row, visual[row] > 0] = shares.to(inside)
        return coverage(seen, visual, inside)


def region_of(row: Row) -> tuple[float, ...]:
    """The box as shares of the row's image."""
    if row["view"] == "crop" or not row["box"]:
        return NOWHERE
    width, height = read_size(row["image"])
    left, top, right, bottom = row["box"]
    return left / width, top / height, right / width, bottom / height


def train(model: Any, processor: Any, rows: list[Row], run: TrlRun) -> dict[str, Any]:
    """The Trainer of `dapo_attention`. Raises ParamsError where activations were to be computed again: what is watched
    would not be."""
    if run.train.gradient_checkpointing:
        raise ParamsError(
            "train.gradient_checkpointing: dapo_attention keeps the attention that it trains on",
            "set it to null or false for this run",
        )
    run = replace(run, train=run.train.model_copy(update={"gradient_checkpointing": False}))
    regions = {row["row_id"]: region_of(row) for row in rows}
    layers_to_watch(model, run.train.dapo_attention.attention_layers)
    return train_policy(model, processor, rows, run, run.train.dapo_attention, LookingTrainer, regions=regions)
