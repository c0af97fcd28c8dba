"""The mini checkpoint with attention heads of 32 instead of 24 channels: the same function, up to rounding.

vLLM's CPU kernels take heads of 32, 64, 80, ... channels (`CPUAttentionBackend.get_supported_head_sizes`);
mini's have 24. The added channels are zero, and what depends on the number of channels is set right:

- rotation turns channel i with channel i + d/2 by theta ** (-2i/d): halves stay halves, theta becomes
  theta ** (32/24), and the added, zero, pairs belong to time;
- the norm divides by the root of the mean square, which zeros lower by 24/32, and attention divides by the
  root of d: the two errors cancel in queries, keys are scaled by the root of 24/32.
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

WIDE = 32  # channels of a head


def widen_heads(folder: Path, to: Path) -> Path:
    """Write `folder`'s checkpoint with heads of WIDE channels to `to`."""
    shutil.copytree(folder, to)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    text = config["text_config"]
    heads, narrow = text["num_attention_heads"], text["head_dim"]
    weights = load_file(folder / "model.safetensors")
    for name, weight in weights.items():
        part = name.split(".")[-2]
        if ".self_attn." not in name or ".visual." in name:
            continue
        if part == "o_proj":
            weights[name] = _spread(weight.T, heads, narrow).T.contiguous()
        elif part == "q_norm":
            weights[name] = _spread(weight[:, None], 1, narrow)[:, 0].contiguous()
        elif part == "k_norm":
            weights[name] = _spread(weight[:, None], 1, narrow)[:, 0] * (narrow / WIDE) ** 0.5
        else:
            weights[name] = _spread(weight, heads, narrow)
    rope = text["rope_parameters"]
    rope["rope_theta"] **= WIDE / narrow
    rope["mrope_section"][0] += (WIDE - narrow) // 2
    text["head_dim"] = WIDE
    save_file(weights, to / "model.safetensors", {"format": "pt"})
    (to / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    return to


def _spread(weight: torch.Tensor, heads: int, narrow: int) -> torch.Tensor:
    """(heads * narrow, D) -> (heads * WIDE, D): each half of a head is followed by zeros."""
    halves = weight.reshape(heads, 2, narrow // 2, -1)
    return torch.nn.functional.pad(halves, (0, 0, 0, (WIDE - narrow) // 2)).reshape(heads * WIDE, -1)
