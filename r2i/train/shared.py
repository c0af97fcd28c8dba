"""A group's rollouts in one sequence: prompt and picture are computed once, not once a rollout.

A rollout sees the prompt and itself, never another one, and its positions are as if it stood alone: the
log-probabilities are those of separate sequences, up to float sums.
"""

from collections.abc import Sequence
from typing import Any

import torch

from r2i.train.divergence import entropy

MAX_TOKENS = 1024  # of a prompt with all its rollouts; above, the mask over all pairs is large


def members_of(groups: torch.Tensor) -> list[list[int]]:
    """The rows of each group, in order. `groups`: the group of each row (B,)."""
    found: dict[int, list[int]] = {}
    for row, group in enumerate(groups.tolist()):
        found.setdefault(group, []).append(row)
    return list(found.values())


def packed_length(members: Sequence[Sequence[int]], prompt: int, reply: int) -> int:
    return prompt + max(map(len, members)) * reply


def reply_logs(
    model: Any,
    members: Sequence[Sequence[int]],
    ids: torch.Tensor,
    mask: torch.Tensor,
    reply: int,
    pictures: dict[str, torch.Tensor],
    temperature: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability and entropy of each reply token: (B, reply) both, in the order of the rows.

    `members`: rows that share a prompt and its one picture. `ids`, `mask` (B, prompt + reply): prompts padded on the
    left, replies on the right. `pictures`: `pixel_values` and `image_grid_thw` of each row's picture.
    """
    prompt, first = ids.shape[1] - reply, [rows[0] for rows in members]
    grids = pictures["image_grid_thw"]
    patches = pictures["pixel_values"].split(grids.prod(dim=-1).tolist())
    inputs = _pack(model, members, ids, mask, prompt, grids[first])
    hidden = model.model(
        **inputs,
        pixel_values=torch.cat([patches[row] for row in first]),
        image_grid_thw=grids[first],
        use_cache=False,
    ).last_hidden_state
    before = hidden.new_zeros(len(ids), reply, hidden.shape[-1])
    for place, rows in enumerate(members):
        for number, row in enumerate(rows):
            start = prompt + number * reply
            own = hidden[place, start : start + reply - 1]
            before[row] = torch.cat([hidden[place, prompt - 1 : prompt], own])
    logs = torch.log_softmax(model.lm_head(before).float() / temperature, dim=-1)
    said = logs.gather(-1, ids[:, prompt:, None]).squeeze(-1)
    with torch.no_grad():
        entropies = entropy(logs)
    return said, entropies


def _pack(
    model: Any,
    members: Sequence[Sequence[int]],
    ids: torch.Tensor,
    mask: torch.Tensor,
    prompt: int,
    grids: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """What the model takes, a row for each group: the prompt, then its rollouts one after the other."""
    reply, most = ids.shape[1] - prompt, max(map(len, members))
    first = [rows[0] for rows in members]
    asked, there = ids[first, :prompt], mask[first, :prompt]
    visual = (asked == model.config.image_token_id).long()
    positions, deltas = model.model.get_rope_index(
        asked, mm_token_type_ids=visual, image_grid_thw=grids, attention_mask=there
    )
    after = there.sum(-1, keepdim=True) + deltas + torch.arange(reply, device=ids.device)  # (groups, reply)
    packed = torch.cat([asked, asked.new_zeros(len(members), most * reply)], dim=1)
    filled = torch.cat([there, there.new_zeros(len(members), most * reply)], dim=1)
    for place, rows in enumerate(members):
        end = prompt + len(rows) * reply
        packed[place, prompt:end] = ids[list(rows), prompt:].flatten()
        filled[place, prompt:end] = mask[list(rows), prompt:].flatten()
    segments = torch.arange(most, device=ids.device).repeat_interleave(reply)
    segments = torch.cat([segments.new_full((prompt,), -1), segments])
    length = len(segments)
    seen = (segments[:, None] == segments) | (segments == -1)
    seen = seen & torch.ones(length, length, dtype=torch.bool, device=ids.device).tril() & filled.bool()[:, None]
    dtype = model.get_input_embeddings().weight.dtype
    hidden = torch.zeros(seen.shape, dtype=dtype, device=ids.device).masked_fill(~seen, torch.finfo(dtype).min)
    return {
        "input_ids": packed,
        "attention_mask": hidden[:, None],
        "position_ids": torch.cat([positions, after.repeat(1, most).expand(3, -1, -1)], dim=-1),
        "mm_token_type_ids": (packed == model.config.image_token_id).long(),
    }
