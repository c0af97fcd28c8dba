"""One picture, one prompt and, if asked, a reply as a model takes them, and where the image lies among the tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from r2i.core.errors import EndpointError
from r2i.evaluate.coverage import Frame, Grid, image_frame


@dataclass(frozen=True)
class Inputs:
    """What a model is given, and which of its tokens are which."""

    tensors: dict[str, torch.Tensor]
    rows: range
    """The query tokens: the prompt's last, or all of the reply."""
    columns: slice
    """The image tokens, row by row of `grid`."""
    grid: Grid
    frame: Frame

    @property
    def tokens(self) -> int:
        return self.tensors["input_ids"].shape[1]

    def shape(self) -> tuple[int, ...]:
        """Inputs of one shape go through the model together, without padding."""
        return self.tokens, self.rows.start, self.columns.start, self.columns.stop


def make_inputs(
    processor: Any,
    image: Image.Image,
    prompt: str,
    reply: str | None = None,
    system: str | None = None,
    text_first: bool = False,
) -> Inputs:
    """The chat template with `image`, then `prompt` (`text_first`: before it), then the reply's tokens where there is
    one. `system`: the message before.

    Raises EndpointError where the image tokens of this model are no plain grid.
    """
    content = [{"type": "image", "image": image}, {"type": "text", "text": prompt}]
    before = [] if system is None else [{"role": "system", "content": [{"type": "text", "text": system}]}]
    tensors: dict[str, torch.Tensor] = dict(
        processor.apply_chat_template(
            [*before, {"role": "user", "content": content[::-1] if text_first else content}],
            add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
        )
    )  # fmt: skip
    end = tensors["input_ids"].shape[1]
    grid = _grid(processor, tensors)
    columns = _image_tokens(processor, tensors["input_ids"][0], grid)
    rows = range(end - 1, end)
    if reply is not None:
        said = processor.tokenizer(reply, add_special_tokens=False)["input_ids"]
        tensors, rows = _append(tensors, said), range(end, end + len(said))
    return Inputs(tensors, rows, columns, grid, image_frame(processor, *image.size))


def _append(tensors: Mapping[str, torch.Tensor], reply: Sequence[int]) -> dict[str, torch.Tensor]:
    """With the tokens of a reply after the prompt: text (type 0), seen (mask 1)."""
    tokens = tensors["input_ids"].new_tensor([list(reply)])
    more = {
        "input_ids": tokens,
        "attention_mask": torch.ones_like(tokens),
        "mm_token_type_ids": torch.zeros_like(tokens),
    }
    return {
        key: torch.cat([value, more[key].to(value.dtype)], dim=1) if key in more else value
        for key, value in tensors.items()
    }


def _grid(processor: Any, tensors: Mapping[str, torch.Tensor]) -> Grid:
    """Rows and columns of image tokens."""
    if "image_grid_thw" in tensors:  # Qwen-VL: patches before the merge
        _, rows, columns = tensors["image_grid_thw"][0].tolist()
        merge = processor.image_processor.merge_size
        return rows // merge, columns // merge
    height, width = tensors["pixel_values"].shape[-2:]
    return height // processor.patch_size, width // processor.patch_size


def _image_tokens(processor: Any, ids: torch.Tensor, grid: Grid) -> slice:
    """Where the image lies among the prompt's tokens `ids` (T,)."""
    places = torch.where(ids == processor.image_token_id)[0].tolist()
    if len(places) != grid[0] * grid[1] or places != list(range(places[0], places[-1] + 1)):
        raise EndpointError(
            f"{len(places)} image tokens are no grid of {grid[0]} x {grid[1]}",
            "models that cut an image in tiles, mark its rows or keep a class token are not covered",
        )
    return slice(places[0], places[-1] + 1)
