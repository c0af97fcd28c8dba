"""A SAM 2 with few, random weights: the real package, its config and its checkpoint format, in a second."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from r2i.core.images import sha256

if TYPE_CHECKING:
    import torch

SIDE = 256  # pixels of the model's input
LOUDER = {  # weights as they are drawn give one faint mask for all prompts
    "sam_mask_decoder.transformer": 4.0,
    "sam_mask_decoder.output_hypernetworks": 3.0,
    "sam_mask_decoder.output_upscaling.0": 3.0,
    "sam_mask_decoder.output_upscaling.3": 3.0,
    "sam_mask_decoder.conv_s": 0.1,
}


def make_checkpoint(folder: Path, seed: int = 0) -> dict[str, str]:
    """Write a config and a checkpoint; returns the params.Crop that load them. Skips where sam2 is missing."""
    sam2 = pytest.importorskip("sam2", reason="the package sam2 can't be imported: run `make setup`")
    import torch
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    torch.manual_seed(seed)
    config: Any = OmegaConf.load(Path(sam2.__path__[0]) / "configs/sam2.1/sam2.1_hiera_t.yaml")
    shrink(config["model"])
    OmegaConf.save(config, folder / "tiny.yaml")
    model = instantiate(config["model"], _recursive_=True)
    raise_voice(model)
    torch.save({"model": model.state_dict()}, folder / "tiny.pt")
    digest = sha256((folder / "tiny.pt").read_bytes())
    return {"sam2_model": f"{folder}/tiny.pt", "sam2_config": f"{folder}/tiny.yaml", "sam2_sha256": digest}


def shrink(model: Any) -> None:
    """sam2.1_hiera_t with 256 px input, 24 to 192 channels and 5 blocks instead of 12."""
    model["image_size"] = SIDE
    model["image_encoder"]["trunk"].update({"embed_dim": 24, "stages": [1, 1, 2, 1], "global_att_blocks": [3]})
    model["image_encoder"]["neck"]["backbone_channel_list"] = [192, 96, 48, 24]
    model["memory_attention"]["num_layers"] = 1
    model["memory_attention"]["layer"]["dim_feedforward"] = 64
    for name in ("self_attention", "cross_attention"):
        model["memory_attention"]["layer"][name]["feat_sizes"] = [SIDE // 16] * 2
    model["memory_encoder"]["fuser"]["num_layers"] = 1


def raise_voice(model: torch.nn.Module) -> None:
    """Multiply the weights that LOUDER names."""
    import torch

    with torch.no_grad():
        for name, weight in model.named_parameters():
            for start, factor in LOUDER.items():
                if name.startswith(start) and name.endswith("weight") and "norm" not in name:
                    weight *= factor
