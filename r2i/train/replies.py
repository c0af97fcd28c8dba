"""Log-probabilities of replies' tokens under a model, given the pictures and texts that they reply to."""

from collections.abc import Sequence
from typing import Any

import torch

from r2i.core.images import read_image
from r2i.train.privileged import Shown


def reply_inputs(
    model: Any, processor: Any, asked: Sequence[Shown], replies: Sequence[Sequence[int]]
) -> dict[str, torch.Tensor]:
    """What the model takes: prompts with their pictures and replies, padded on the left, so that replies end alike."""
    pictures = [read_image(image) for shown in asked for image in shown.images]
    seen = processor.image_processor(images=pictures, return_tensors="pt")
    merge = processor.image_processor.merge_size**2
    sizes = iter((seen["image_grid_thw"].prod(dim=-1) // merge).tolist())
    texts = [_render(processor, shown, [next(sizes) for _ in shown.images]) for shown in asked]
    prompts = processor.tokenizer(texts)["input_ids"]
    length = max(len(prompt) + len(reply) for prompt, reply in zip(prompts, replies, strict=True))
    ids = torch.full((len(prompts), length), processor.tokenizer.pad_token_id)
    mask = torch.zeros_like(ids)
    for row, (prompt, reply) in enumerate(zip(prompts, replies, strict=True)):
        start = length - len(prompt) - len(reply)
        ids[row, start:] = torch.tensor([*prompt, *reply])
        mask[row, start:] = 1
    inputs = {"input_ids": ids, "attention_mask": mask, **seen}
    inputs["mm_token_type_ids"] = (ids == model.config.image_token_id).long()
    return {name: value.to(model.device) for name, value in inputs.items()}


def _render(processor: Any, shown: Shown, sizes: Sequence[int]) -> str:
    """The prompt in the chat template, `sizes` image tokens for each picture."""
    content = [*({"type": "image"} for _ in sizes), {"type": "text", "text": shown.prompt}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    first, *rest = text.split(processor.image_token)
    return str(first + "".join(processor.image_token * size + part for size, part in zip(sizes, rest, strict=True)))


def reply_logits(model: Any, inputs: dict[str, torch.Tensor], lengths: Sequence[int]) -> torch.Tensor:
    """Log-probabilities (all replies' tokens, V), float32: what stood before each token says about it.

    `lengths`: tokens of each reply. Logits are made of the replies' places alone.
    """
    hidden = model.model(**inputs, use_cache=False).last_hidden_state
    before = torch.cat([hidden[row, -length - 1 : -1] for row, length in enumerate(lengths)])
    return torch.log_softmax(model.lm_head(before).float(), dim=-1)
