"""The vision tower of a Qwen-VL with less work for the same result.

Without flash attention Transformers loops over the images of a batch; where all images have the same number of
patches (always, in mini) one batched call does. And a group of rollouts shows the same image several times: it is
encoded once.
"""

import types
from typing import Any

import torch

MAX_PATCHES = 1024  # of an image; above, the products over all pairs are large and Transformers' attention is used


def attend_in_one_call(model: torch.nn.Module) -> torch.nn.Module:
    """Replace the vision attention of a Qwen3-VL `model` by the batched form, in place; the model."""
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
    if int(lengths[0]) > MAX_PATCHES or not bool((lengths == lengths[0]).all()):
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


def encode_repeats_once(model: torch.nn.Module) -> torch.nn.Module:
    """Make a Qwen-VL `model` encode images that occur several times in a batch once, in place; the model."""
    core: Any = model.model
    encode = core.get_image_features

    def get_image_features(pixel_values: torch.Tensor, image_grid_thw: torch.Tensor, **kwargs: Any) -> Any:
        first, where = _repeats(pixel_values, image_grid_thw)
        if len(first) == len(where):
            return encode(pixel_values, image_grid_thw, **kwargs)
        images = len(where)
        pixels = pixel_values.view(images, -1, pixel_values.shape[-1])[first].flatten(0, 1)
        out = encode(pixels, image_grid_thw[first], **kwargs)
        out.pooler_output = tuple(out.pooler_output[i] for i in where.tolist())
        if layers := getattr(out, "deepstack_features", None):
            out.deepstack_features = [
                layer.view(len(first), -1, layer.shape[-1])[where].flatten(0, 1) for layer in layers
            ]
        return out

    core.get_image_features = get_image_features
    return model


def _repeats(pixels: torch.Tensor, grids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of the distinct images, and for each image the place of its equal among them.

    pixels (images * patches, values), grids (images, 3). Images of different grids all count as
    distinct; equality is of every value, a probe of about 64 only sorts out candidates.
    """
    images = len(grids)
    all_images = torch.arange(images, device=pixels.device)
    if not bool((grids == grids[0]).all()):
        return all_images, all_images
    flat = pixels.view(images, -1)
    probe = flat[:, :: max(1, flat.shape[1] // 64)]
    _, where = torch.unique(probe, dim=0, return_inverse=True)
    count = int(where.max()) + 1
    first = torch.full((count,), images, device=pixels.device).scatter_reduce(0, where, all_images, "amin")
    if not torch.equal(flat, flat[first[where]]):  # equal in the probe alone
        return all_images, all_images
    return first, where
