"""Where a reply's tokens look while it is trained on: the attention of some layers to the image, with its gradient."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from r2i.core.errors import ParamsError
from r2i.endpoint.taps import mask_scores, tapped

SMALLEST = 1e-6  # of a share whose logarithm is taken


class Watch:
    """Collects, of each watched layer, the attention of the tokens `queries` to all tokens: (B, heads, queries, T)."""

    def __init__(self, queries: slice) -> None:
        self.queries = queries
        self.seen: list[torch.Tensor] = []

    def __call__(self, query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, scaling: float) -> None:
        asked = query[:, :, self.queries].float() * scaling
        keys = key.float().repeat_interleave(query.shape[1] // key.shape[1], dim=1)
        scores = mask_scores(asked @ keys.transpose(-1, -2), mask, self.queries)
        self.seen.append(scores.softmax(dim=-1))


def layers_to_watch(model: Any, layers: Sequence[int] | None) -> list[int]:
    """None: the layer after the one that coverage is measured in, two thirds of the way down. Raises ParamsError."""
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
    watch = Watch(queries)
    with tapped(model.model.language_model, dict.fromkeys(layers, watch)):
        yield watch


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
