"""A prompt of OpenRLHF's with its picture, made ready once for all rollouts of its group."""

from dataclasses import dataclass
from typing import Any

from PIL import Image

from r2i.core.images import read_image
from r2i.train.openrlhf.view import read_reference

MARKS = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")  # of a processor
BLANK = (64, 64)  # pixels


@dataclass(frozen=True)
class Prompt:
    """What OpenRLHF passes for each rollout. `label`: JSON of r2i.train.openrlhf.view; `images`: one reference;
    `processor`: the student's."""

    text: str
    label: str
    images: list[str]
    sampling: Any
    max_length: int
    processor: Any


class Prepared:
    """A prompt and its image, tokenised and cut into patches once for the whole group.

    It stands in for the processor in OpenRLHF's machinery, which asks `processor(text, images)` for each rollout while
    the engine's event loop waits. The rollouts share its tensors, which Ray then sends once.
    """

    image_processor = True  # what OpenRLHF knows a processor of images by

    def __init__(self, output: dict[str, Any], picture: Any) -> None:
        self.output, self.picture = output, picture

    def __call__(self, **_: Any) -> dict[str, Any]:
        return self.output

    @property
    def tokens(self) -> list[int]:
        """The prompt's, with the image's marks in full."""
        return list(self.output["input_ids"][0].tolist())


def load_picture(references: list[str]) -> Image.Image:
    """The one picture of a row. Raises R2IError."""
    (reference,) = references
    return read_image(read_reference(reference))


def blank() -> Image.Image:
    """In place of a picture that can't be read: every sample of a batch needs one."""
    return Image.new("RGB", BLANK, "grey")


def prepare(prompt: Prompt, picture: Image.Image) -> Prepared:
    """Ask the processor as OpenRLHF does. The patches become what the student's vision tower casts them to, which
    halves what travels: 200 MB for a picture of 16 megapixels."""
    import torch

    output = dict(prompt.processor(text=[prompt.text], images=[picture], add_special_tokens=False, return_tensors="pt"))
    output["pixel_values"] = output["pixel_values"].to(torch.bfloat16)
    return Prepared(output, picture)


def training_inputs(prepared: Prepared) -> dict[str, Any]:
    """What OpenRLHF keeps of a processor's output for the training forward pass."""
    skip = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
    return {name: value for name, value in prepared.output.items() if name not in skip}


def marks_of(processor: Any) -> set[int]:
    """Ids of the marks of images and videos, which no reply may hold."""
    return {mark for name in MARKS if (mark := getattr(processor, name, None)) is not None}
