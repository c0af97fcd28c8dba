"""What the checks and the estimate need to know of a model: from its config.json, or from a table of known ones."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r2i.core.errors import R2IError


@dataclass(frozen=True)
class ModelFacts:
    """Shapes of a vision-language model of Qwen3-VL's form. Tokens of an image: pixels / `image_token_side` squared."""

    hidden: int
    layers: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    positions: int
    """Longest sequence."""
    tied: bool
    """Input and output embedding are one."""
    vision_hidden: int
    vision_layers: int
    vision_intermediate: int
    vision_heads: int
    deepstack: int
    """Layers of the vision tower whose output enters the language model beside the last one's."""
    patch: int = 16
    """Pixels."""
    merge: int = 2
    """Patches a side that become one token."""

    @property
    def image_token_side(self) -> int:
        """Pixels."""
        return self.patch * self.merge

    @property
    def text_parameters(self) -> int:
        attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        mlp = 3 * self.hidden * self.intermediate
        return self.layers * (attention + mlp) + self.vocab * self.hidden * (1 if self.tied else 2)

    @property
    def vision_parameters(self) -> int:
        layer = 4 * self.vision_hidden**2 + 2 * self.vision_hidden * self.vision_intermediate
        pixels = 3 * self.patch**2
        merged = self.vision_hidden * self.merge**2
        mergers = (1 + self.deepstack) * (merged**2 + merged * self.hidden)
        return self.vision_hidden * pixels + self.vision_layers * layer + mergers

    @property
    def parameters(self) -> int:
        """All weights but norms, biases and positions, which are below 1 %."""
        return self.text_parameters + self.vision_parameters

    @property
    def kv_bytes(self) -> int:
        """Of one token's keys and values in bf16."""
        return 2 * 2 * self.layers * self.kv_heads * self.head_dim


_QWEN3_VL = {"vocab": 151936, "positions": 262144, "head_dim": 128, "kv_heads": 8, "deepstack": 3, "vision_heads": 16}
_SMALL_TOWER = {"vision_hidden": 1024, "vision_layers": 24, "vision_intermediate": 4096}
_LARGE_TOWER = {"vision_hidden": 1152, "vision_layers": 27, "vision_intermediate": 4304}
KNOWN = {
    "Qwen3-VL-2B": ModelFacts(
        hidden=2048, layers=28, intermediate=6144, heads=16, tied=True, **_QWEN3_VL, **_SMALL_TOWER
    ),
    "Qwen3-VL-4B": ModelFacts(
        hidden=2560, layers=36, intermediate=9728, heads=32, tied=True, **_QWEN3_VL, **_SMALL_TOWER
    ),
    "Qwen3-VL-8B": ModelFacts(
        hidden=4096, layers=36, intermediate=12288, heads=32, tied=False, **_QWEN3_VL, **_LARGE_TOWER
    ),
    "Qwen3-VL-32B": ModelFacts(
        hidden=5120, layers=64, intermediate=25600, heads=64, tied=False, **_QWEN3_VL, **_LARGE_TOWER
    ),
}
"""Published shapes, for hub ids that are not on this machine; their Instruct, Thinking and fine-tuned forms too."""


def read_model_facts(base: str) -> ModelFacts | None:
    """Of a local folder, of a hub id in the cache, or of a known family; None: nothing is known here.

    Nothing is downloaded. Raises R2IError where a local folder's config.json can't be read or is of a model
    without a vision tower.
    """
    config = Path(base) / "config.json"
    if Path(base).is_dir() or Path(base).is_absolute():
        return _from_config(config)
    cached = _find_in_cache(base)
    if cached:
        return _from_config(cached)
    name = base.rsplit("/", 1)[-1]
    return next((facts for family, facts in KNOWN.items() if name == family or name.startswith(f"{family}-")), None)


def _find_in_cache(hub_id: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(hub_id, "config.json")
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None


def _from_config(path: Path) -> ModelFacts:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        text, vision = config["text_config"], config["vision_config"]
        return _facts(config, text, vision)
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"no {error} in it" if isinstance(error, KeyError) else str(error)
        raise R2IError(
            f"{path} is not a vision-language model's config: {what}",
            "train.base must be a folder or hub id of a Qwen3-VL model",
        ) from error


def _facts(config: Mapping[str, Any], text: Mapping[str, Any], vision: Mapping[str, Any]) -> ModelFacts:
    heads = text["num_attention_heads"]
    return ModelFacts(
        hidden=text["hidden_size"],
        layers=text["num_hidden_layers"],
        intermediate=text["intermediate_size"],
        heads=heads,
        kv_heads=text.get("num_key_value_heads") or heads,
        head_dim=text.get("head_dim") or text["hidden_size"] // heads,
        vocab=text["vocab_size"],
        positions=text["max_position_embeddings"],
        tied=bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))),
        vision_hidden=vision["hidden_size"],
        vision_layers=vision["depth"],
        vision_intermediate=vision["intermediate_size"],
        vision_heads=vision["num_heads"],
        deepstack=len(vision.get("deepstack_visual_indexes") or []),
        patch=vision["patch_size"],
        merge=vision["spatial_merge_size"],
    )
