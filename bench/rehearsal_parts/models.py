"""Small models of the profiles' kinds, for bench/rehearsal.py: a student that answers at random, and SAM 2.

The student has the form of Qwen3-VL or of Qwen2.5-VL (patches of 16 or 14 pixels, a tied embedding, a tokenizer of
bytes), so that a profile's lengths and pixels mean what they mean for the real one. It is taught for seconds to reply
with a letter in the form that is asked for: of untaught weights no group of rollouts would differ in its reward. SAM 2
is taught for a minute to see stickers, since of random masks none reaches a profile's `min_score`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from crop.tiny_sam2 import SIDE, make_checkpoint
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch.nn import functional
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from bench.first_hour import NAMES, PHOTOGRAPHS

MERGE = 2
LEAST = {16: 65536, 14: 3136}  # pixels of a picture, by the side of a patch, as published
MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
         "<|video_pad|>")  # fmt: skip
SPANS = ("<answer>", "</answer>")
TEMPLATE = (
    "{%- for message in messages -%}<|im_start|>{{ message.role }}\n"
    "{%- if message.content is string -%}{{ message.content }}{%- else -%}"
    "{%- for part in message.content -%}"
    "{%- if part.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>{%- else -%}{{ part.text }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}<|im_end|>\n{% endfor -%}"
    "{%- if add_generation_prompt -%}<|im_start|>assistant\n{% endif -%}"
)
STUDENT_STEPS, SAM2_STEPS = 150, 100
COLORS = torch.tensor([[1.0, 0, 1], [0, 1, 1], [0, 1, 0], [1, 1, 0]])


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A token for each byte, and the marks of Qwen-VL."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens(list(SPANS))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=MARKS[0], eos_token="<|im_end|>", chat_template=TEMPLATE,
        additional_special_tokens=list(MARKS[1:]), padding_side="left", clean_up_tokenization_spaces=False,
        model_max_length=262144,
    )  # fmt: skip


def make_student(folder: Path, family: str = "qwen3_vl") -> None:
    """Write a Qwen3-VL of 0.5 M parameters, or a Qwen2.5-VL ("qwen2_5_vl"), and its processor."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    ids = {mark: tokenizer.convert_tokens_to_ids(mark) for mark in MARKS}
    model, kind, video, patch = FAMILIES[family](len(tokenizer), ids)
    teach_form(model, tokenizer)
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    size = {"shortest_edge": LEAST[patch], "longest_edge": 16777216}
    shared = {"patch_size": patch, "merge_size": MERGE, "temporal_patch_size": 2}
    model.eval().save_pretrained(folder)
    kind(
        image_processor=Qwen2VLImageProcessor(size=size, **shared), tokenizer=tokenizer, chat_template=TEMPLATE,
        video_processor=video(size=size, **shared),
    ).save_pretrained(folder)  # fmt: skip


def _qwen3(words: int, ids: dict[str, int]) -> tuple[Any, Any, Any, int]:
    """Model, kinds of its processors, and pixels of a patch's side."""
    sections = {"mrope_section": [6, 5, 5], "mrope_interleaved": True}
    vision = {"num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
    parts = _parts(words, ids, 16, "Qwen3VLForConditionalGeneration", sections, vision)
    model = Qwen3VLForConditionalGeneration(Qwen3VLConfig(**parts))
    return model, Qwen3VLProcessor, Qwen3VLVideoProcessor, 16


def _qwen25(words: int, ids: dict[str, int]) -> tuple[Any, Any, Any, int]:
    vision = {"fullatt_block_indexes": [2], "window_size": 112, "tokens_per_second": 2}
    parts = _parts(words, ids, 14, "Qwen2_5_VLForConditionalGeneration", {"mrope_section": [4, 6, 6]}, vision)
    model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**parts))
    return model, Qwen2_5_VLProcessor, Qwen2VLVideoProcessor, 14


FAMILIES = {"qwen3_vl": _qwen3, "qwen2_5_vl": _qwen25}


def _parts(
    words: int, ids: dict[str, int], patch: int, name: str, sections: dict[str, Any], vision: dict[str, Any]
) -> dict[str, Any]:
    """Of a config: what both families have, with each one's own."""
    text = {
        "architectures": [name], "vocab_size": -(-words // 32) * 32, "hidden_size": 128, "intermediate_size": 192,
        "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
        "max_position_embeddings": 262144, "tie_word_embeddings": True, "bos_token_id": None,
        "pad_token_id": ids["<|endoftext|>"], "eos_token_id": ids["<|im_end|>"],
        "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, **sections},
    }  # fmt: skip
    seen = {
        "depth": 3, "hidden_size": 64, "intermediate_size": 96, "num_heads": 2, "patch_size": patch,
        "spatial_merge_size": MERGE, "temporal_patch_size": 2, "out_hidden_size": 128, **vision,
    }  # fmt: skip
    return {
        "architectures": [name], "text_config": text, "vision_config": seen, "tie_word_embeddings": True,
        "image_token_id": ids["<|image_pad|>"], "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"], "vision_end_token_id": ids["<|vision_end|>"],
    }  # fmt: skip


def teach_form(model: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    """After any text, `<answer>`, one of four letters, `</answer>` and the end."""
    steps = torch.optim.AdamW(model.parameters(), 3e-3)
    start = tokenizer.encode("<|im_end|>\n<|im_start|>assistant\n")
    random = torch.Generator().manual_seed(0)
    for _ in range(STUDENT_STEPS):
        before = torch.randint(0, 256, (16, 64), generator=random)
        letters = [chr(65 + int(i)) for i in torch.randint(0, 4, (16,), generator=random)]
        after = [start + tokenizer.encode(f"<answer>{letter}</answer><|im_end|>") for letter in letters]
        tokens = torch.cat([before, torch.tensor(after)], 1)
        labels = tokens.clone()
        labels[:, : 64 + len(start)] = -100
        model(input_ids=tokens, labels=labels).loss.backward()
        steps.step()
        steps.zero_grad()


def make_sam2(folder: Path) -> None:
    """Write tiny.pt and tiny.yaml: the real SAM 2, small, that marks what has a sticker's color."""
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    folder.mkdir(parents=True, exist_ok=True)
    make_checkpoint(folder)
    model = instantiate(OmegaConf.load(folder / "tiny.yaml")["model"], _recursive_=True)
    model.load_state_dict(torch.load(folder / "tiny.pt", weights_only=True)["model"])
    loss = teach_stickers(model)
    torch.save({"model": model.state_dict()}, folder / "tiny.pt")
    (folder / "taught.json").write_text(json.dumps({"loss": loss}), encoding="utf-8")


def teach_stickers(model: Any) -> float:
    """Masks of squares of COLORS on photographs, prompted by their boxes; the last loss."""
    steps = torch.optim.AdamW(model.parameters(), 1e-3)
    random = torch.Generator().manual_seed(0)
    mean, std = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    grounds = _grounds()
    model.train()
    for _ in range(SAM2_STEPS):
        pictures, boxes = zip(*(_picture(grounds, random) for _ in range(8)), strict=True)
        target = torch.zeros(8, 1, SIDE, SIDE)
        for mask, (left, top, right, bottom) in zip(target, boxes, strict=True):
            mask[:, top:bottom, left:right] = 1
        logits, score = _segment(model, (torch.stack(pictures) - mean) / std, torch.tensor(boxes, dtype=torch.float32))
        logits = functional.interpolate(logits, (SIDE, SIDE), mode="bilinear", align_corners=False)
        share = torch.sigmoid(logits)
        dice = 1 - (2 * (share * target).sum((1, 2, 3)) + 1) / (share.sum((1, 2, 3)) + target.sum((1, 2, 3)) + 1)
        loss = (
            functional.binary_cross_entropy_with_logits(logits, target) + dice.mean() + (score - 0.98).square().mean()
        )
        loss.backward()
        steps.step()
        steps.zero_grad()
    model.eval()
    return float(loss)


def _picture(grounds: list[torch.Tensor], random: torch.Generator) -> tuple[torch.Tensor, tuple[int, int, int, int]]:
    """(3, SIDE, SIDE) in 0 to 1, a part of a photograph with a framed sticker on it, and the sticker's box."""
    number, x, y, side, left, top, color, turn = (
        int(torch.randint(*limits, (1,), generator=random))
        for limits in ((0, len(grounds)), (0, 64), (0, 64), (42, 60), (4, 190), (4, 190), (0, 4), (0, 4))
    )
    picture = grounds[number][:, y : y + SIDE, x : x + SIDE]
    picture = picture.flip([[], [1], [2], [1, 2]][turn]).clone()
    box = left, top, min(SIDE, left + side), min(SIDE, top + side)
    picture[:, top - 2 : box[3] + 2, left - 2 : box[2] + 2] = 0
    picture[:, top : box[3], left : box[2]] = COLORS[color][:, None, None]
    return picture, box


def _grounds() -> list[torch.Tensor]:
    """The photographs, a quarter larger than SIDE; each (3, H, W) in 0 to 1."""
    size = (SIDE + 64, SIDE + 64)
    photos = [Image.open(PHOTOGRAPHS / name).convert("RGB").resize(size) for name in NAMES]
    return [torch.from_numpy(np.array(photo)).permute(2, 0, 1) / 255 for photo in photos]


def _segment(model: Any, pictures: torch.Tensor, boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (N, 1, H, W) and predicted IoU (N, 1), as SAM2ImagePredictor computes them, with gradients."""
    _, features, _, sizes = model._prepare_backbone_features(model.forward_image(pictures))
    if model.directly_add_no_mem_embed:
        features[-1] = features[-1] + model.no_mem_embed
    maps = [each.permute(1, 2, 0).reshape(len(pictures), -1, *size) for each, size in zip(features, sizes, strict=True)]
    corners = boxes.reshape(-1, 2, 2), torch.tensor([[2, 3]]).expand(len(boxes), 2)
    sparse, dense = model.sam_prompt_encoder(points=corners, boxes=None, masks=None)
    logits, score, _, _ = model.sam_mask_decoder(
        image_embeddings=maps[-1], image_pe=model.sam_prompt_encoder.get_dense_pe(), sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense, multimask_output=False, repeat_image=False, high_res_features=maps[:-1],
    )  # fmt: skip
    return logits, score
