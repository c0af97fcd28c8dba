"""Where image tokens lie on the picture, and how much of the attention to them falls inside a box.

Coordinates are pixels of the full image. A processor may resize the picture (boxes are mapped in proportion), cut
its middle out or pad it (LLaVA): the tokens then cover a frame that is not the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from r2i.core.boxes import Box

Frame = tuple[float, float, float, float]
"""xyxy, pixels of the full image: what the image tokens cover together. It may reach beyond the picture (padding)."""
Grid = tuple[int, int]
"""Rows and columns of image tokens."""


@dataclass(frozen=True)
class Coverage:
    """How one query looks at one box."""

    coverage: float
    """Attention to image tokens inside the box / attention to all image tokens, both summed over heads."""
    heads: list[float | None]
    """The same in each head; None where a head gives the image nothing."""
    box_share: float
    """Share of the image tokens inside the box: the coverage of a query that looks everywhere alike."""
    image_share: float
    """Attention to image tokens / all attention, mean over heads."""

    @property
    def focus(self) -> float:
        """Area-normalised coverage: 1 looks everywhere alike, 1 / box_share looks at the box alone."""
        return self.coverage / self.box_share


def token_shares(box: Box, frame: Frame, grid: Grid) -> np.ndarray:
    """Share of each token's area that lies inside `box`: (rows, columns), 0 to 1."""
    left, top, right, bottom = frame
    rows, columns = grid
    across = _overlap(box[0], box[2], left, right, columns)
    down = _overlap(box[1], box[3], top, bottom, rows)
    return np.outer(down, across)


def _overlap(start: float, stop: float, low: float, high: float, cells: int) -> np.ndarray:
    """Share of each of `cells` equal parts of [low, high] that [start, stop] covers: (cells,)."""
    edges = low + (high - low) * np.arange(cells + 1) / cells
    shared = np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start)
    return np.clip(shared, 0, None) / np.diff(edges)


def inclusive_cells(box: Box, frame: Frame, grid: Grid) -> np.ndarray:
    """Tokens that the reference counts as inside (arXiv 2602.11858, its published script): (rows, columns), 0 or 1.

    Whole tokens, from the one that the box's first side lies in to the one of its last side, that included; two on a
    side at least, as far as the picture goes. So a small box is overstated.
    """
    counted = np.zeros(grid)
    spans = []
    for at, cells in ((1, grid[0]), (0, grid[1])):
        low, high = frame[at], frame[at + 2]
        first, last = (int((box[side] - low) / (high - low) * cells) for side in (at, at + 2))
        first, last = (min(max(cell, 0), cells - 1) for cell in (first, last))
        spans.append(slice(first, max(last, first + 1) + 1))
    counted[spans[0], spans[1]] = 1
    return counted


def measure_coverage(attention: np.ndarray, shares: np.ndarray) -> Coverage:
    """Coverage of attention (heads, tokens), each a share of all attention of its head, by `token_shares`.

    Heads are averaged before the share is taken (arXiv 2602.11858), so a head that hardly looks at the image hardly
    counts. Raises ZeroDivisionError where no head looks at the image at all.
    """
    attention, inside = attention.astype(np.float64), shares.reshape(-1).astype(np.float64)
    on_image, on_box = attention.sum(axis=1), attention @ inside  # (heads,)
    if not on_image.sum() > 0:
        raise ZeroDivisionError("no attention to the image")
    return Coverage(
        coverage=float(on_box.sum() / on_image.sum()),
        heads=[float(box / image) if image > 0 else None for box, image in zip(on_box, on_image, strict=True)],
        box_share=float(inside.mean()),
        image_share=float(on_image.mean()),
    )


def image_frame(processor: Any, width: int, height: int) -> Frame:
    """What the image tokens of a picture of `width` x `height` pixels cover.

    Qwen-VL resizes without regard to the aspect ratio: the whole picture. LLaVA's processors may pad to a square,
    resize by the shortest edge and cut the middle out, in this order.
    """
    how = processor.image_processor
    left, top, right, bottom = 0.0, 0.0, float(width), float(height)
    if getattr(how, "do_pad", False):
        side = max(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        right, bottom = left + side, top + side
    if getattr(how, "do_center_crop", False):
        across, down = _scale(how, right - left, bottom - top)
        half_width = how.crop_size["width"] / across / 2
        half_height = how.crop_size["height"] / down / 2
        x, y = (left + right) / 2, (top + bottom) / 2
        return x - half_width, y - half_height, x + half_width, y + half_height
    return left, top, right, bottom


def _scale(how: Any, width: float, height: float) -> Sequence[float]:
    """Pixels after the processor's resize for one pixel before it, across and down."""
    if not how.do_resize:
        return 1.0, 1.0
    edge = how.size.get("shortest_edge")
    if edge:
        return edge / min(width, height), edge / min(width, height)
    return how.size["width"] / width, how.size["height"] / height
