"""Where a reply's tokens look while it is trained on: the attention of some layers to the image, with its gradient."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from r2i.core.errors import ParamsError

NAME = "r2i_watched_sdpa"
SMALLEST = 1e-6  # of a share whose logarithm is taken


class Watch:
    """Collects, of each watched layer, the attention of the tokens `queries` to all tokens: (B, heads, queries, T)."""

    def __init__(self, queries: slice) -> None:
        self.queries = queries
        self.seen: list[torch.Tensor] = []

    def __call__(self, query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, scaling: float) -> None:
        asked = query[:, :, self.queries].float() * scaling
        keys = key.float().repeat_interleave(query.shape[1] // key.shape[1], dim=1)
        scores = asked @ keys.transpose(-1, -2)
        if mask is None:
            tokens = torch.arange(keys.shape[2], device=keys.device)
            scores = scores.masked_fill(tokens > tokens[self.queries, None], float("-inf"))
        elif mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask[:, :, self.queries], float("-inf"))
        else:
            scores = scores + mask[:, :, self.queries]
        self.seen.append(scores.softmax(dim=-1))


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    watch: Watch | None = getattr(module, "watch", None)
    if watch is not None:
        watch(query, key, attention_mask, query.shape[-1] ** -0.5 if scaling is None else scaling)
    return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


def layers_to_watch(model: Any, layers: Sequence[int] | None) -> list[int]:
    """None: the layer at two thirds of the depth, where coverage is measured. Raises ParamsError."""
    depth = len(model.model.language_model.layers)
    chosen = [2 * depth // 3] if layers is None else sorted(set(layers))
    if not chosen or not all(0 <= layer < depth for layer in chosen):
        raise ParamsError(
            f"dapo_attention.attention_layers: {layers} of a model of {depth} layers",
            f"they count from 0 to {depth - 1}",
        )
    return chosen


@contextmanager
def watching(model: Any, layers: Sequence[int], queries: slice) -> Iterator[Watch]:
    """Watch the language model's `layers` in the forward passes of this block."""
    language, watch = model.model.language_model, Watch(queries)
    before = language.config._attn_implementation
    modules: list[Any] = [language.layers[layer].self_attn for layer in layers]
    try:
        language.config._attn_implementation_internal = NAME  # past the check of known names
        for module in modules:
            module.watch = watch
        yield watch
    finally:
        language.config._attn_implementation_internal = before
        for module in modules:
            vars(module).pop("watch", None)


def shares_in_box(region: Sequence[float], rows: int, columns: int) -> torch.Tensor:
    """Share of each image token's area that lies in `region`: (rows * columns,). xyxy, each 0 to 1 of the image."""
    left, top, right, bottom = region
    return torch.outer(_overlap(top, bottom, rows), _overlap(left, right, columns)).flatten()


def _overlap(start: float, stop: float, cells: int) -> torch.Tensor:
    """Share of each of `cells` equal parts of [0, 1] that [start, stop] covers."""
    edges = torch.linspace(0, 1, cells + 1)
    return (edges[1:].clamp(max=stop) - edges[:-1].clamp(min=start)).clamp(min=0) * cells


def coverage(seen: Sequence[torch.Tensor], visual: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Attention to image tokens in the box / attention to all of them: (B, queries).

    Summed over heads, then the mean over layers.
    `seen`: of each layer (B, heads, queries, T). `visual` (B, T): where image tokens are; `inside` (B, T): their shares
    in the box.
    """
    shares = []
    for attention in seen:
        heads = attention.sum(dim=1)
        on_image = (heads * visual[:, None]).sum(-1)
        shares.append((heads * inside[:, None]).sum(-1) / on_image.clamp(min=SMALLEST))
    return torch.stack(shares).mean(0)
