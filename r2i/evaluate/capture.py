"""Attention of a few query tokens to a few keys, in chosen layers, without any tokens x tokens matrix.

The forward pass runs with memory-efficient attention (`sdpa`). In the chosen layers a tap gets the queries and keys
that the layer is about to use (after RoPE and norms) and computes the softmax of the asked rows alone, so memory
grows with the number of tokens, not with its square.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from r2i.core.errors import EndpointError, ParamsError
from r2i.endpoint.taps import Tap, mask_scores, tapped

FAMILIES = ("qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "llava")
ROWS_AT_ONCE = 16  # bounds the scores of long replies to (heads, 16, tokens)


def count_layers(model: Any) -> int:
    """Of the language model. Raises EndpointError where the model's family is not known."""
    return len(_language_model(model).layers)


def choose_layers(model: Any, layers: Sequence[int] | None) -> list[int]:
    """Ascending indices of decoder layers, from 0, as in Transformers' tuple `attentions`.

    None: the one that is two thirds of the way down, counted from 1: the 24th of 36, index 23, as the reference has
    it. Raises ParamsError where there is no such layer.
    """
    depth = count_layers(model)
    if layers is None:
        return [max(0, 2 * depth // 3 - 1)]
    wrong = [layer for layer in layers if not 0 <= layer < depth]
    if wrong or not layers:
        raise ParamsError(
            f"evaluate.attention.layers: {wrong or 'none'} of a model of {depth} layers",
            f"layers count from 0 to {depth - 1}",
        )
    return sorted(set(layers))


@torch.inference_mode()
def capture_attention(
    model: Any, inputs: Mapping[str, torch.Tensor], layers: Sequence[int], rows: range, columns: slice
) -> dict[int, torch.Tensor]:
    """By layer: attention (batch, heads, columns) of the query tokens `rows` to the key tokens `columns`.

    Each row is a softmax over all keys that its token may see, in float32; the mean over `rows` is returned, so that
    the sum over all columns would be 1. `inputs`: what the processor gives for prompts of one length. The model runs
    up to the last chosen layer only. Raises EndpointError where the model's family is not known.
    """
    taps = {layer: _Tap(rows, columns) for layer in layers}
    inputs = {key: value.to(model.device) for key, value in inputs.items()}
    if "pixel_values" in inputs:
        inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
    with _tapped(model, taps):
        model.model(**inputs, use_cache=False)  # without the head: logits of all tokens would be larger than all else
    return {layer: tap.total / len(rows) for layer, tap in taps.items()}


@dataclass
class _Tap:
    rows: range
    columns: slice
    total: torch.Tensor = field(default_factory=lambda: torch.zeros(()))

    def __call__(self, query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, scaling: float) -> None:
        starts = range(self.rows.start, self.rows.stop, ROWS_AT_ONCE)
        blocks = [range(at, min(at + ROWS_AT_ONCE, self.rows.stop)) for at in starts]
        key = key.float()
        self.total = torch.stack([self._block(query, key, mask, scaling, rows) for rows in blocks]).sum(0)

    def _block(
        self, query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, scaling: float, rows: range
    ) -> torch.Tensor:
        """The sum over `rows`: (B, heads, columns)."""
        batch, heads, _, width = query.shape
        groups, tokens = key.shape[1], key.shape[2]
        asked = query[:, :, rows.start : rows.stop].float() * scaling
        # Query heads that share a key head lie side by side: no repeated keys.
        asked = asked.reshape(batch, groups, -1, width)  # (B, key heads, query heads of it * rows, D)
        scores = (asked @ key.transpose(-1, -2)).view(batch, heads, len(rows), tokens)
        scores = mask_scores(scores, mask, slice(rows.start, rows.stop))
        return scores.softmax(dim=-1)[..., self.columns].sum(dim=2)


@contextmanager
def _tapped(model: Any, taps: Mapping[int, Tap]) -> Iterator[None]:
    """The language model, cut after the last tapped layer, with taps in place; as it was afterwards."""
    language = _language_model(model)
    layers = language.layers
    with tapped(language, taps):
        try:
            language.layers = layers[: max(taps) + 1]
            yield
        finally:
            language.layers = layers


def _language_model(model: Any) -> Any:
    if model.config.model_type not in FAMILIES:
        raise EndpointError(
            f"attention of a {model.config.model_type} can't be read", f"known families: {', '.join(FAMILIES)}"
        )
    return model.model.language_model
