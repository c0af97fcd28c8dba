"""Tokens of a prompt with its image, counted as both engines' models see them, without reading the pixels."""

from collections.abc import Callable
from typing import Any

from r2i.core.errors import ImageError

Tokens = Callable[[str, int, int], int]
"""Of a prompt's text and its image's width and height: tokens of the whole prompt. Raises ImageError: unfit."""


def conversation(prompt: str) -> list[dict[str, Any]]:
    """One user message, the image before the text: the order that TRL gives a row with one image."""
    return [{"role": "user", "content": [{"type": "image", "text": None}, {"type": "text", "text": prompt}]}]


def token_counter(processor: Any) -> Tokens:
    """Counts as OpenRLHF does, by the image's size alone: the processor's own resizing rule says what it becomes."""
    marks = [processor.image_token, processor.video_token]

    def count(prompt: str, width: int, height: int) -> int:
        if any(mark in prompt for mark in marks):
            raise ImageError("mark_in_prompt")
        text = processor.apply_chat_template(conversation(prompt), tokenize=False, add_generation_prompt=True)
        words = len(processor.tokenizer(text, add_special_tokens=False)["input_ids"])
        try:
            (image,) = processor._get_num_multimodal_tokens(image_sizes=[(height, width)]).num_image_tokens
        except ValueError as error:
            raise ImageError("too_narrow") from error
        return words - 1 + image  # the template writes one mark, which becomes `image` of them

    return count
