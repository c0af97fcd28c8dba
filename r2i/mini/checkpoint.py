"""The mini checkpoint: a Qwen3-VL of about 1.5 M parameters, its tokenizer and processor."""

import re
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from r2i.core.disk import new_folder
from r2i.mini.language import STRUCTURE, vocabulary
from r2i.mini.world import SIZE

PATCH = 16  # pixels
MERGE = 2  # patches a side in one image token
IMAGE_TOKENS = (SIZE // PATCH // MERGE) ** 2
MEAN = STD = (0.5, 0.5, 0.5)

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "<|im_start|>{{ ' ' + message.role }}"
    "{%- if message.content is string -%}{{ ' ' + message.content | trim }}"
    "{%- else -%}"
    "{%- for part in message.content -%}"
    "{%- if part.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>"
    "{%- else -%}{{ ' ' + part.text | trim }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}<|im_end|>"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|im_start|>{{ ' assistant' }}{%- endif -%}"
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer that decodes to exactly the text it was trained to write."""
    words = vocabulary()
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(Regex(r"\s+"), " ")
    pieces = "|".join(re.escape(text) for text in sorted(STRUCTURE, key=len, reverse=True))
    pattern = Regex(rf"{pieces}| [A-D]\.| ?[A-Za-z]+| ?[0-9]+|[^\sA-Za-z0-9]| ")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(pattern, behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="<|im_end|>",
        additional_special_tokens=words[2:8],
        chat_template=CHAT_TEMPLATE,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )


def build_processor() -> Qwen3VLProcessor:
    """Images of any size become SIZE x SIZE px, 16 image tokens (where they are square)."""
    size = {"shortest_edge": SIZE * SIZE, "longest_edge": SIZE * SIZE}
    shared = {"patch_size": PATCH, "merge_size": MERGE, "temporal_patch_size": 1, "image_mean": MEAN, "image_std": STD}
    return Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=size, **shared),
        tokenizer=build_tokenizer(),
        video_processor=Qwen3VLVideoProcessor(size=size, **shared),
        chat_template=CHAT_TEMPLATE,
    )


def build_model(
    seed: int, width: int = 96, vision_layers: int = 3, text_layers: int = 4
) -> Qwen3VLForConditionalGeneration:
    """A freshly initialised model. The init range of 0.08 matters: 0.02 learns far too slowly."""
    ids = {word: i for i, word in enumerate(vocabulary())}
    head = width // 4
    third = head // 2 // 3
    config = Qwen3VLConfig(
        architectures=["Qwen3VLForConditionalGeneration"],
        text_config={
            "architectures": ["Qwen3VLForConditionalGeneration"],
            "initializer_range": 0.08,
            "vocab_size": -(-len(ids) // 32) * 32,
            "hidden_size": width,
            "intermediate_size": width * 3,
            "num_hidden_layers": text_layers,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "head_dim": head,
            "max_position_embeddings": 512,
            "tie_word_embeddings": True,
            "pad_token_id": ids["<pad>"],
            "eos_token_id": ids["<|im_end|>"],
            "bos_token_id": None,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [head // 2 - 2 * third, third, third],
                "mrope_interleaved": True,
            },
        },
        vision_config={
            "initializer_range": 0.08,
            "depth": vision_layers,
            "hidden_size": width,
            "intermediate_size": width * 3,
            "num_heads": 4,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": 1,
            "out_hidden_size": width,
            "num_position_embeddings": (SIZE // PATCH) ** 2,
            "deepstack_visual_indexes": [0, 1],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    return Qwen3VLForConditionalGeneration(config)


def save_checkpoint(model: Qwen3VLForConditionalGeneration, folder: Path) -> None:
    """Write model and processor as one Hugging Face folder."""
    text: Any = model.config.text_config
    model.generation_config.pad_token_id = text.pad_token_id
    model.generation_config.eos_token_id = text.eos_token_id
    with new_folder(folder) as part:
        model.save_pretrained(part)
        build_processor().save_pretrained(part)
