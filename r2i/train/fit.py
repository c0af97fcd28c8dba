"""What fits the student: rows within `max_prompt`, images within `min_pixels` and `max_pixels`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from r2i.core.errors import ImageError, R2IError
from r2i.core.images import read_size
from r2i.core.params import Dapo, Opd
from r2i.core.tables import Row
from r2i.train.tokens import token_counter

Limits = Dapo | Opd
"""The section of an objective that bounds prompts, replies and images."""


def batch_of(limits: Limits) -> int:
    """Prompts that a run needs at once."""
    return limits.rollout_prompts if isinstance(limits, Dapo) else limits.batch


@contextmanager
def pixels_within(processor: Any, params: Limits) -> Iterator[None]:
    """`processor` scales images to within the pixels of `params` meanwhile; null leaves its own limits.

    What is trained is saved with the base's limits: both models look at images alike in `evaluate`.
    """
    limits = {"shortest_edge": params.min_pixels, "longest_edge": params.max_pixels}  # pixels, in spite of the names
    image_processor = processor.image_processor
    before = image_processor.size
    image_processor.size = replace(before, **{name: value for name, value in limits.items() if value})
    try:
        yield
    finally:
        image_processor.size = before


def fitting_rows(
    rows: list[Row], processor: Any, limits: Limits, section: str = "dapo"
) -> tuple[list[Row], dict[str, int]]:
    """The rows whose prompts hold at most `max_prompt` tokens. Counts of the others for the metrics: `too_long`, and
    `unfit` (an image that can't be read or is too narrow, or a prompt with an image's mark in its text).

    `section`: of params, that has the limits. Raises R2IError where fewer than one rollout batch are left.
    """
    count, least = token_counter(processor), batch_of(limits)
    fits: list[Row] = []
    too_long: list[int] = []  # tokens of each
    left_out = {"too_long": 0, "unfit": 0}
    for row in rows:
        try:
            tokens = count(row["prompt"], *read_size(row["image"]))
        except ImageError:
            left_out["unfit"] += 1
            continue
        if tokens <= limits.max_prompt:
            fits.append(row)
        else:
            too_long.append(tokens)
    left_out["too_long"] = len(too_long)
    if len(fits) < least:
        raise R2IError(
            f"{len(fits)} train rows are fewer than one rollout batch of {least} prompts "
            f"({left_out['too_long']} more are over {limits.max_prompt} tokens, {left_out['unfit']} unfit)",
            _remedy(least - len(fits), sorted(too_long), left_out["unfit"], section),
        )
    return fits, left_out


def _remedy(lacking: int, too_long: list[int], unfit: int, section: str) -> str:
    """What would fill a batch. `too_long`: the tokens of each such row, fewest first."""
    if lacking <= len(too_long):
        enough, most = too_long[lacking - 1], too_long[-1]
        return f"raise {section}.max_prompt: {enough} fill a batch, {most} take all rows; or lower {section}.max_pixels"
    batch = "rollout_prompts" if section.startswith("dapo") else "batch"
    more = f"lower {section}.{batch}, or make more rows: metrics/overlay.json counts why others are none"
    if too_long:
        return f"raise {section}.max_prompt to {too_long[-1]}, and {more}"
    return f"their images can't be read or are too narrow: make the rows anew; or {more}" if unfit >= lacking else more
