"""Rollouts for TRL: each prompt and image is prefilled once for its whole group.

TRL's own path repeats every prompt and its image `group_size` times. This one uses the decoding loop of the teachers
(r2i/endpoint/decode.py): samples depend on the seed, the step and the prompt alone, and special tokens of images
and videos are never sampled.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from r2i.core.ids import seed_of
from r2i.core.images import sha256
from r2i.core.params import Dapo, Sampling
from r2i.endpoint.base import Picture, Request
from r2i.endpoint.local import EncodedRequest, LocalModel


@contextmanager
def answering(model: Any) -> Iterator[None]:
    """`model`, which is being trained, answers meanwhile: in eval mode (layers that recompute activations keep no cache
    else), on a GPU in bf16, as it trains there."""
    trains, device = model.training, model.device.type
    model.eval()
    try:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            yield
    finally:
        model.train(trains)


class GroupSampler:
    """TRL's `rollout_func`: conversations in, `group_size` completions of each out, as token ids."""

    def __init__(self, model: Any, processor: Any, dapo: Dapo, seed: int) -> None:
        self.policy = LocalModel("policy", loaded=(model, processor))
        self.dapo, self.seed = dapo, seed
        self.sampling = Sampling(temperature=dapo.temperature, max_tokens=dapo.max_response)
        self.end = processor.tokenizer.eos_token_id

    def __call__(self, prompts: list[Any], trainer: Any) -> dict[str, Any]:
        """`prompts`: conversations of one image each, every one `group_size` times in a row."""
        group = self.dapo.group_size
        asked = [_read(prompt) for prompt in prompts[::group]]
        step = trainer.state.global_step
        with answering(self.policy.model):
            images = self.policy.encoder.encode([picture for _, picture in asked])
            requests = [
                EncodedRequest(
                    Request(text, (Picture(picture.tobytes),), self.sampling, self._seed(step, text, picture), group),
                    [image],
                )
                for (text, picture), image in zip(asked, images, strict=True)
            ]
            generations = self.policy.sample(requests)
        texts = [self.policy.render_prompt(request) for request in requests]
        ids = self.policy.processor.tokenizer(texts)["input_ids"]
        self.policy.texts.clear()
        return {
            "prompt_ids": [row for row in ids for _ in range(group)],
            "completion_ids": [[*tokens, self.end] if ended else tokens for tokens, ended in generations],
            "logprobs": None,
        }

    def _seed(self, step: int, text: str, picture: Any) -> int:
        return seed_of(self.seed, "rollout", step, text, sha256(picture.tobytes()))


def _read(prompt: list[dict[str, Any]]) -> tuple[str, Any]:
    """The text and the picture of a conversation of one user message."""
    parts = prompt[0]["content"]
    text = "".join(part["text"] for part in parts if part["type"] == "text")
    (picture,) = (part["image"] for part in parts if part["type"] == "image")
    return text, picture.convert("RGB")
