"""Lessons as tensors: all turns of a lesson share one prefix, its images.

A turn sees the images and itself, never another turn, and its positions start where they would if
it were alone. One forward pass of a packed lesson therefore equals one pass per turn (a test
proves it), at a fraction of the cost.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from transformers import PreTrainedTokenizerFast

from r2i.mini import language
from r2i.mini.checkpoint import IMAGE_TOKENS, MERGE, PATCH
from r2i.mini.language import STRUCTURE
from r2i.mini.lessons import Lesson

SIDE = int(IMAGE_TOKENS**0.5)


def patchify(images: list[np.ndarray]) -> torch.Tensor:
    """Pixels as the processor lays them out: (images * patches, 3 * PATCH * PATCH), in -1 .. 1."""
    x = torch.from_numpy(np.stack(images)).float() / 127.5 - 1.0  # (B, H, W, 3)
    b, height, _, _ = x.shape
    g = height // PATCH
    x = x.permute(0, 3, 1, 2).reshape(b, 3, g // MERGE, MERGE, PATCH, g // MERGE, MERGE, PATCH)
    return x.permute(0, 2, 5, 3, 6, 1, 4, 7).reshape(b * g * g, 3 * PATCH * PATCH)


class Packer:
    """Turns lessons into model inputs."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.encode: Callable[[str], list[int]] = lru_cache(maxsize=100_000)(
            lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]
        )
        self.opening = self.encode("<|im_start|> user")
        self.image = self.encode("<|vision_start|>" + "<|image_pad|>" * IMAGE_TOKENS + "<|vision_end|>")
        self.turn_end = self.encode("<|im_end|><|im_start|> assistant")
        self.stop = self.encode("<|im_end|>")
        self.image_pad = self.encode("<|image_pad|>")[0]
        self.pad = tokenizer.pad_token_id
        self.frame = {self.encode(text)[0] for text in STRUCTURE if text != language.NO_QUESTIONS} | set(self.stop)

    def _prefix(self, images: int) -> tuple[list[int], torch.Tensor]:
        """Token ids of the shared prefix and their (3, P) multimodal rotary positions."""
        ids = list(self.opening)
        columns = [torch.arange(len(ids)).expand(3, -1)]
        at = len(ids)
        for _ in range(images):
            ids += self.image
            grid = torch.stack(torch.meshgrid(torch.arange(1), torch.arange(SIDE), torch.arange(SIDE), indexing="ij"))
            columns += [torch.full((3, 1), at), grid.reshape(3, -1) + at + 1, torch.full((3, 1), at + 1 + SIDE)]
            at += SIDE + 2
        return ids, torch.cat(columns, dim=1)

    def pack(self, lessons: list[Lesson]) -> dict[str, torch.Tensor]:
        """Model inputs and labels for a batch of lessons, right padded."""
        rows = [self._pack_one(lesson) for lesson in lessons]
        length = max(len(row[0]) for row in rows)
        batch = len(rows)
        ids = torch.full((batch, length), self.pad)
        weights = torch.zeros(batch, length)
        positions = torch.zeros(3, batch, length, dtype=torch.long)
        groups = torch.full((batch, length), -2)  # -1: prefix, 0...: turn, -2: padding
        for i, (row_ids, row_weights, row_positions, row_groups) in enumerate(rows):
            n = len(row_ids)
            ids[i, :n] = torch.tensor(row_ids)
            weights[i, :n] = torch.tensor(row_weights)
            positions[:, i, :n] = row_positions
            groups[i, :n] = torch.tensor(row_groups)
        same = groups[:, :, None] == groups[:, None, :]
        seen = (same | (groups == -1)[:, None, :]) & torch.ones(length, length).tril().bool()
        mask = torch.zeros(batch, 1, length, length).masked_fill(~seen[:, None], torch.finfo(torch.float32).min)
        pixels = patchify([np.asarray(image) for lesson in lessons for image in lesson.images])
        count = sum(len(lesson.images) for lesson in lessons)
        grid = SIDE * MERGE
        return {
            "input_ids": ids,
            "weights": weights,
            "position_ids": positions,
            "attention_mask": mask,
            "mm_token_type_ids": (ids == self.image_pad).long(),
            "pixel_values": pixels,
            "image_grid_thw": torch.tensor([[1, grid, grid]] * count),
        }

    def _weights(self, prompt: str, reply: list[int]) -> list[float]:
        """How much each token of a reply counts: words that decide far more than their frame."""
        word = 0.15 if prompt.endswith(("questions", "wrong answers")) else 1.0
        return [0.05 if token in self.frame else word for token in reply]

    def _letter(self, reply: list[int]) -> list[float]:
        """Only the letter of a multiple-choice reply counts: it stands before the closing tag and the stop."""
        return [1.0 if i == len(reply) - 3 else 0.0 for i in range(len(reply))]

    def reply_spans(self, lesson: Lesson) -> list[range]:
        """Where each turn's reply (with its stop token) stands in the packed row."""
        spans, at = [], len(self.opening) + len(self.image) * len(lesson.images)
        for prompt, reply in lesson.turns:
            begin = at + len(self.encode(" " + prompt)) + len(self.turn_end)
            at = begin + len(self.encode(reply)) + len(self.stop)
            spans.append(range(begin, at))
        return spans

    def _pack_one(self, lesson: Lesson) -> tuple[list[int], list[float], torch.Tensor, list[int]]:
        prefix, columns = self._prefix(len(lesson.images))
        start = int(columns.max()) + 1
        ids, weights, groups = list(prefix), [0.0] * len(prefix), [-1] * len(prefix)
        positions = [columns]
        for number, (prompt_text, reply_text) in enumerate([*lesson.turns, *lesson.drills]):
            prompt = self.encode(" " + prompt_text) + self.turn_end
            reply = self.encode(reply_text) + self.stop
            ids += prompt + reply
            drilled = number >= len(lesson.turns)
            weights += [0.0] * len(prompt) + (self._letter(reply) if drilled else self._weights(prompt_text, reply))
            positions.append(torch.arange(start, start + len(prompt) + len(reply)).expand(3, -1))
            groups += [number] * (len(prompt) + len(reply))
        return ids, weights, torch.cat(positions, dim=1), groups


def weighted_loss(logits: torch.Tensor, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Cross entropy of each next token, averaged by weight. logits (B, T, V), ids and weights (B, T)."""
    each = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    counted = weights[:, 1:].flatten()
    return (each * counted).sum() / counted.sum()
