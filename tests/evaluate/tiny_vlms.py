"""Tiny vision-language models of each family with random weights, and their processors, built without a download."""

from typing import Any

import torch
from transformers import (
    CLIPImageProcessor,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLMoeConfig,
    Qwen3VLMoeForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from r2i.mini.checkpoint import CHAT_TEMPLATE, build_tokenizer
from r2i.mini.language import vocabulary

FAMILIES = ("qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "llava")
PATCH, MERGE = 4, 2  # pixels; patches a side in one image token
SPREAD = 0.2  # init range: attention far from uniform, and rounding not yet amplified from layer to layer
IDS = {word: i for i, word in enumerate(vocabulary())}
VOCAB = -(-len(IDS) // 32) * 32
TEXT = {
    "vocab_size": VOCAB,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,  # query heads share keys
    "initializer_range": SPREAD,
    "max_position_embeddings": 4096,
    "pad_token_id": IDS["<pad>"],
    "eos_token_id": IDS["<|im_end|>"],
    "bos_token_id": None,
}
MARKS = {
    "image_token_id": IDS["<|image_pad|>"],
    "video_token_id": IDS["<|video_pad|>"],
    "vision_start_token_id": IDS["<|vision_start|>"],
    "vision_end_token_id": IDS["<|vision_end|>"],
}


def make_vlm(family: str, pixels: tuple[int, int] = (64, 4096)) -> tuple[Any, Any]:
    """Model (float32, eval) and processor; `pixels`: fewest and most of an image, after the resize (not LLaVA)."""
    torch.manual_seed(0)
    made = {"qwen2_5_vl": _qwen25, "qwen3_vl": _qwen3, "qwen3_vl_moe": _qwen3_moe, "llava": _llava}[family](pixels)
    return made[0].eval(), made[1]


def _qwen_processor(kind: Any, video: Any, pixels: tuple[int, int], frames: int) -> Any:
    size = {"shortest_edge": pixels[0], "longest_edge": pixels[1]}
    shared = {"patch_size": PATCH, "merge_size": MERGE, "temporal_patch_size": frames}
    return kind(
        image_processor=Qwen2VLImageProcessor(size=size, **shared),
        tokenizer=build_tokenizer(),
        video_processor=video(size=size, **shared),
        chat_template=CHAT_TEMPLATE,
    )


def _qwen25(pixels: tuple[int, int]) -> tuple[Any, Any]:
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 2, 2]}
    vision = {
        "depth": 3, "hidden_size": 32, "intermediate_size": 48, "num_heads": 4, "patch_size": PATCH,
        "spatial_merge_size": MERGE, "temporal_patch_size": 2, "out_hidden_size": 48, "window_size": 16,
        "fullatt_block_indexes": [2], "initializer_range": SPREAD,
    }  # fmt: skip
    config = Qwen2_5_VLConfig(text_config={**TEXT, "rope_parameters": rope}, vision_config=vision, **MARKS)
    processor = _qwen_processor(Qwen2_5_VLProcessor, Qwen2VLVideoProcessor, pixels, 2)
    return Qwen2_5_VLForConditionalGeneration(config), processor


def _qwen3_parts() -> dict[str, Any]:
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 2, 2], "mrope_interleaved": True}
    vision = {
        "depth": 3, "hidden_size": 32, "intermediate_size": 48, "num_heads": 4, "patch_size": PATCH,
        "spatial_merge_size": MERGE, "temporal_patch_size": 1, "out_hidden_size": 48, "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 1], "initializer_range": SPREAD,
    }  # fmt: skip
    return {"text": {**TEXT, "head_dim": 12, "rope_parameters": rope}, "vision": vision}


def _qwen3(pixels: tuple[int, int]) -> tuple[Any, Any]:
    parts = _qwen3_parts()
    config = Qwen3VLConfig(text_config=parts["text"], vision_config=parts["vision"], **MARKS)
    processor = _qwen_processor(Qwen3VLProcessor, Qwen3VLVideoProcessor, pixels, 1)
    return Qwen3VLForConditionalGeneration(config), processor


def _qwen3_moe(pixels: tuple[int, int]) -> tuple[Any, Any]:
    parts = _qwen3_parts()
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    config = Qwen3VLMoeConfig(text_config={**parts["text"], **experts}, vision_config=parts["vision"], **MARKS)
    processor = _qwen_processor(Qwen3VLProcessor, Qwen3VLVideoProcessor, pixels, 1)
    return Qwen3VLMoeForConditionalGeneration(config), processor


def _llava(pixels: tuple[int, int]) -> tuple[Any, Any]:
    """24 x 24 px, cut from the middle: 6 x 6 tokens."""
    side = 24
    vision = {
        "model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
        "num_attention_heads": 4, "image_size": side, "patch_size": PATCH, "initializer_range": SPREAD,
    }  # fmt: skip
    config = LlavaConfig(
        text_config={"model_type": "llama", **TEXT}, vision_config=vision, image_token_index=IDS["<|image_pad|>"],
        vision_feature_layer=-2, vision_feature_select_strategy="default", image_seq_length=(side // PATCH) ** 2,
    )  # fmt: skip
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side}),
        tokenizer=build_tokenizer(),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<|image_pad|>",
        chat_template=CHAT_TEMPLATE,
    )
    return LlavaForConditionalGeneration(config), processor
