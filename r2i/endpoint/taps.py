"""Taps: what chosen attention layers of a language model are about to use, seen in a forward pass that stays as it is.

The pass runs with memory-efficient attention (`sdpa`), which makes no tokens x tokens matrix. A tap is called by its
layer before that with the queries and keys, after RoPE and norms.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "r2i_tapped_sdpa"

Tap = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None, float], None]
"""Takes query (B, heads, T, D), key (B, key heads, T, D), mask (B, 1, T, T) or None where it is causal, and the
scaling of their products."""


@contextmanager
def tapped(language: Any, taps: Mapping[int, Tap]) -> Iterator[None]:
    """`language`, the language model of a VLM, with taps in place by layer; as it was afterwards."""
    before = language.config._attn_implementation
    modules = {layer: language.layers[layer].self_attn for layer in taps}
    try:
        language.config._attn_implementation_internal = NAME  # of it alone, past the check of known names
        for layer, module in modules.items():
            module.attention_tap = taps[layer]
        yield
    finally:
        language.config._attn_implementation_internal = before
        for module in modules.values():
            vars(module).pop("attention_tap", None)


def mask_scores(scores: torch.Tensor, mask: torch.Tensor | None, rows: slice) -> torch.Tensor:
    """`scores` (B, heads, rows, T) of the query tokens `rows`, -inf where a token may not look. `mask`: as a tap's."""
    if mask is None:
        places = torch.arange(scores.shape[-1], device=scores.device)
        return scores.masked_fill(places > places[rows, None], float("-inf"))
    if mask.dtype == torch.bool:
        return scores.masked_fill(~mask[:, :, rows], float("-inf"))
    return scores + mask[:, :, rows]


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """What Transformers calls in place of its own `sdpa`: the same, after the layer's tap if it has one."""
    tap: Tap | None = getattr(module, "attention_tap", None)
    if tap is not None:
        tap(query, key, attention_mask, query.shape[-1] ** -0.5 if scaling is None else scaling)
    return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
