"""Vision attention of equal-sized images in one call.

Transformers' Qwen3-VL loops over the images of a batch when flash attention is absent. Where all
images of a batch have the same number of patches (always, in mini) one batched call computes the
same thing several times faster on a CPU.
"""

import types
from typing import Any

import torch


def attend_in_one_call(model: torch.nn.Module) -> torch.nn.Module:
    """Swap the vision attention of a Qwen3-VL `model`, in place, for the batched form. Returns it."""
    from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionAttention

    for module in model.modules():
        if isinstance(module, Qwen3VLVisionAttention):
            module.forward = types.MethodType(_forward, module)  # type: ignore[method-assign]
    return model


def _forward(
    self: Any,
    hidden_states: torch.Tensor,  # (all patches, D)
    cu_seqlens: torch.Tensor,  # (images + 1,)
    position_embeddings: tuple[torch.Tensor, torch.Tensor],
    **kwargs: Any,
) -> torch.Tensor:
    from transformers.models.qwen3_vl.modeling_qwen3_vl import apply_rotary_pos_emb_vision

    lengths = cu_seqlens.diff()
    if not bool((lengths == lengths[0]).all()):
        return type(self).forward(self, hidden_states, cu_seqlens, position_embeddings, **kwargs)
    total, width = hidden_states.shape
    images = len(lengths)
    q, k, v = self.qkv(hidden_states).reshape(total, 3, self.num_heads, -1).permute(1, 0, 2, 3).unbind(0)
    q, k = apply_rotary_pos_emb_vision(q, k, *position_embeddings)
    q, k, v = (x.reshape(images, total // images, self.num_heads, -1).transpose(1, 2) for x in (q, k, v))
    # Plain products: PyTorch's fused attention is several times slower backward on a CPU at this size.
    scores = (q @ k.transpose(-1, -2)) * self.scaling  # (images, heads, patches, patches)
    out = scores.softmax(dim=-1).to(v.dtype) @ v  # (images, heads, patches, head dim)
    return self.proj(out.transpose(1, 2).reshape(total, width))
