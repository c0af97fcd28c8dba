"""Autoregressive decoding: each draw depends on (seed, sample, step) alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from r2i.core.params import Sampling


@dataclass(frozen=True)
class PromptBatch:
    """A batch of prompts as the language model takes it, left padded."""

    embeds: torch.Tensor  # (B, L, D)
    mask: torch.Tensor  # (B, L), 1 where a token is
    positions: torch.Tensor  # (3, B, L), multimodal rotary positions
    deltas: torch.Tensor  # (B, 1), first position after the prompt minus its length
    visual: torch.Tensor  # (B, L), True where an image token is
    deepstack: list[torch.Tensor]  # a layer each, (image tokens, D)
    ids: torch.Tensor  # (B, L), the tokens: a penalty on repetition counts the prompt's


@dataclass(frozen=True)
class TokenRules:
    """The ids that end a reply, and a bias of -inf on those that are never generated."""

    ends: frozenset[int]
    bias: torch.Tensor  # (V,), float32


class Generation(NamedTuple):
    """One generated reply: its token ids without the end, and whether it ended before the length limit."""

    ids: list[int]
    ended: bool


def draw_uniforms(seeds: Sequence[int], draws: int, steps: int) -> np.ndarray:
    """Uniform numbers in [0, 1), (len(seeds) * draws, steps): row r holds sample r % draws of seed r // draws.

    Philox is keyed by (seed, sample) and counts steps, so no number depends on what shares the call.
    """
    keys = ((seed, sample) for seed in seeds for sample in range(draws))
    rows = [np.random.Generator(np.random.Philox(key=np.array(key, dtype=np.uint64))).random(steps) for key in keys]
    return np.stack(rows)


def sample_tokens(logits: torch.Tensor, sampling: Sampling, uniforms: torch.Tensor) -> torch.Tensor:
    """The next token of each row: logits (R, V), uniforms (R,) float64 -> ids (R,).

    Temperature, then min_p, top_k, top_p (the fewest most likely tokens that hold `top_p` of the mass), then the
    inverse of the cumulative distribution in the order of ids: one number decides a step.
    """
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    probabilities = torch.softmax(logits.double() / sampling.temperature, dim=-1)
    if sampling.min_p is not None:
        least = sampling.min_p * probabilities.max(dim=-1, keepdim=True).values
        probabilities = probabilities.masked_fill(probabilities < least, 0)
    if sampling.top_k is not None and sampling.top_k < probabilities.shape[-1]:
        order = probabilities.argsort(dim=-1, descending=True, stable=True)
        probabilities = probabilities.scatter(-1, order[:, sampling.top_k :], 0)
    if sampling.min_p is not None or sampling.top_k is not None:
        probabilities = probabilities / probabilities.sum(dim=-1, keepdim=True)
    if sampling.top_p < 1:
        ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
        spare = ordered.cumsum(dim=-1) - ordered >= sampling.top_p  # the mass before it is enough already
        probabilities = probabilities.masked_fill(torch.zeros_like(spare).scatter(-1, order, spare), 0)
    mass = probabilities.cumsum(dim=-1)
    total = mass[:, -1:]
    point = torch.minimum(uniforms[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(mass, point, right=True)[:, 0]


class Penalties:
    """What a reply's own tokens, and its prompt's, take from the logits of the next; as vLLM has it."""

    def __init__(self, sampling: Sampling, prompts: PromptBatch, draws: int, vocabulary: int) -> None:
        """`draws`: replies to each prompt; its rows are those of `decode`."""
        self.presence, self.repetition = sampling.presence_penalty or 0.0, sampling.repetition_penalty or 1.0
        self.used = bool(self.presence) or self.repetition != 1
        if self.used:
            counts = torch.zeros((len(prompts.ids), vocabulary), device=prompts.ids.device)
            counts.scatter_add_(1, prompts.ids, prompts.mask.to(counts.dtype))  # padding is no token of a prompt
            self.asked = (counts > 0).repeat_interleave(draws, dim=0)  # (R, V)
            self.said = torch.zeros_like(self.asked)

    def apply(self, logits: torch.Tensor, rows: list[int]) -> torch.Tensor:
        """The logits (len(rows), V) of the replies `rows`."""
        if not self.used:
            return logits
        said, seen = self.said[rows], self.said[rows] | self.asked[rows]
        scaled = torch.where(logits > 0, logits / self.repetition, logits * self.repetition)
        return torch.where(seen, scaled, logits) - self.presence * said

    def note(self, rows: list[int], picked: torch.Tensor) -> None:
        """That each of the replies `rows` goes on with its token."""
        if self.used:
            self.said[rows, picked] = True


@torch.inference_mode()
def decode(
    model: Any, prompts: PromptBatch, tokens: TokenRules, sampling: Sampling, seeds: Sequence[int], draws: int
) -> list[Generation]:
    """`draws` replies to each prompt, prompt by prompt.

    Prompts are prefilled once; their cache is repeated for the samples. Rows that have ended leave the batch
    when half of it has.
    """
    device = prompts.embeds.device
    uniforms = torch.from_numpy(draw_uniforms(seeds, draws, sampling.max_tokens)).to(device)
    logits, cache = _prefill(model, prompts)
    cache.batch_repeat_interleave(draws)
    logits = logits.repeat_interleave(draws, dim=0)  # (R, V)
    mask = prompts.mask.repeat_interleave(draws, dim=0)  # (R, L), grows by one each step
    position = (prompts.mask.sum(-1, keepdim=True) + prompts.deltas).repeat_interleave(draws, dim=0)  # (R, 1)
    ids: list[list[int]] = [[] for _ in range(len(logits))]
    ended = [False] * len(ids)
    rows = list(range(len(ids)))  # replies that are still in the batch
    penalties = Penalties(sampling, prompts, draws, logits.shape[-1])
    for step in range(sampling.max_tokens):
        scores = penalties.apply(logits.float(), rows) + tokens.bias
        picked = sample_tokens(scores, sampling, uniforms[rows, step])
        penalties.note(rows, picked)
        for row, token in zip(rows, picked.tolist(), strict=True):
            if not ended[row]:
                ended[row] = token in tokens.ends
                ids[row] += [] if ended[row] else [token]
        going = [i for i, row in enumerate(rows) if not ended[row]]
        if not going or step + 1 == sampling.max_tokens:
            break
        if 2 * len(going) <= len(rows):
            keep = torch.tensor(going, device=device)
            cache.batch_select_indices(keep)
            mask, position, picked = mask[keep], position[keep], picked[keep]
            rows = [rows[i] for i in going]
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        logits = _step(model, picked, mask, position, cache)
        position = position + 1
    return list(map(Generation, ids, ended))


def _prefill(model: Any, prompts: PromptBatch) -> tuple[torch.Tensor, Any]:
    """Logits (B, V) of the first token, and the cache of the prompts."""
    deepstack = {"visual_pos_masks": prompts.visual, "deepstack_visual_embeds": prompts.deepstack}
    out = model.model.language_model(
        inputs_embeds=prompts.embeds,
        attention_mask=prompts.mask,
        position_ids=prompts.positions,
        use_cache=True,
        **(deepstack if prompts.deepstack else {}),
    )
    return model.lm_head(out.last_hidden_state[:, -1]), out.past_key_values


def _step(model: Any, picked: torch.Tensor, mask: torch.Tensor, position: torch.Tensor, cache: Any) -> torch.Tensor:
    """Logits (R, V) after the tokens `picked` (R,)."""
    out = model.model.language_model(
        inputs_embeds=model.get_input_embeddings()(picked[:, None]),
        attention_mask=mask,
        position_ids=position.expand(3, -1, -1),
        past_key_values=cache,
        use_cache=True,
    )
    return model.lm_head(out.last_hidden_state[:, -1])
