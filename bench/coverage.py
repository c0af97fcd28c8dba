"""What attention coverage costs: time and memory beside Transformers' full attention matrices.

`python bench/coverage.py` (two minutes on 2 cores, 6 GB) writes bench/results/coverage.json. One Qwen3-VL with random
weights, float32, looks at pictures of 256, 1 024 and 4 096 image tokens; each case runs in a process of its own.

    ours     r2i.evaluate.capture: the last prompt token's attention, every head, the layer at two thirds of the depth
    eager    output_attentions=True with the language model's attention set to eager. The vision tower keeps its
             memory-efficient attention, so that the ratios speak of the part that differs

    memory   most resident memory during the first pass (VmHWM, reset before it) minus what was resident before it,
             with the model loaded and warmed up by a picture of 4 tokens, and the picture's patches made
    time     the best of 2 further passes
    ratio    eager / ours
    slope    log(peak at 4 096 / peak at 1 024) / log(4 096 / 1 024): 1 is linear, 2 is quadratic; 256 is left out,
             where what does not grow is most of it
    max_abs_difference    over all layers, heads and keys of the last prompt token, the largest of the three sizes

`--small` is for trying the bench itself: it leaves out the largest picture, prints and writes nothing.
"""

import argparse
import ctypes
import gc
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from bench.result import note_code, write_result  # noqa: E402 - needs the path

RESULT = ROOT / "bench" / "results" / "coverage.json"
SIDES = (16, 32, 64)  # image tokens a side
PATCH, MERGE = 8, 2  # pixels; patches a side in one image token
LAYERS, HEADS, HIDDEN = 6, 8, 128
CORES = 2
REPEATS = 2
TEXT_TOKENS = 40
VOCABULARY = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="without the largest picture; nothing is written")
    parser.add_argument("--child", nargs=2, metavar=("WAY", "SIDE"), help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.child:
        way, side = told.child
        print(json.dumps(measure(way, int(side))))
        return
    code = note_code()
    sides = SIDES[:2] if told.small else SIDES
    result = summarise({side: {way: child(way, side) for way in ("ours", "eager")} for side in sides})
    if not told.small:
        write_result(RESULT, result, code)
    print(json.dumps(result, indent=2, sort_keys=True))


def child(way: str, side: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", way, str(side)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def summarise(found: dict[int, dict[str, dict[str, float]]]) -> dict[str, Any]:
    from r2i.core.metrics import rounded

    compared = {name: [ways["eager"].pop(name) for ways in found.values()] for name in ("difference", "attention")}
    result: dict[str, Any] = {
        str(side**2): {
            **ways,
            "memory_ratio": ways["eager"]["peak_mib"] / ways["ours"]["peak_mib"],
            "time_ratio": ways["eager"]["seconds"] / ways["ours"]["seconds"],
        }
        for side, ways in found.items()
    }
    few, many = sorted(found)[-2:]
    growth = {way: found[many][way]["peak_mib"] / found[few][way]["peak_mib"] for way in ("ours", "eager")}
    result["slope"] = {way: math.log(factor) / math.log(many**2 / few**2) for way, factor in growth.items()}
    return dict(rounded(result, 3)) | {
        "max_abs_difference": float(f"{max(compared['difference']):.1e}"),
        "largest_attention": round(max(compared["attention"]), 3),
        "model": {"layers": LAYERS, "heads": HEADS, "hidden": HIDDEN, "text_tokens": TEXT_TOKENS},
        "cores": CORES,
        "machine": platform.machine(),
    }


def measure(way: str, side: int) -> dict[str, float]:
    """One way at one size, in this process."""
    import torch

    from r2i.evaluate.capture import capture_attention, choose_layers

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    torch.set_num_threads(CORES)
    model = build_model()
    layers = choose_layers(model, None)

    def ours(tensors: dict[str, Any], layers: list[int] = layers) -> Any:
        last = tensors["input_ids"].shape[1] - 1
        return capture_attention(model, tensors, layers, range(last, last + 1), slice(0, last + 1))

    @torch.inference_mode()
    def eager(tensors: dict[str, Any]) -> Any:
        model.model.language_model.config._attn_implementation = "eager"
        try:
            return model(**tensors, output_attentions=True, use_cache=False, logits_to_keep=1).attentions
        finally:
            model.model.language_model.config._attn_implementation = "sdpa"

    run = ours if way == "ours" else eager
    run(make_tensors(2))
    tensors = make_tensors(side)
    peak, full = measure_peak(lambda: run(tensors))
    result = {"peak_mib": peak, "seconds": min(seconds(lambda: run(tensors)) for _ in range(REPEATS))}
    if way == "eager":
        found = ours(tensors, list(range(LAYERS)))
        pairs = [(found[layer], full[layer][:, :, -1]) for layer in range(LAYERS)]
        result["difference"] = max(float((one - other).abs().max()) for one, other in pairs)
        result["attention"] = max(float(other.max()) for _, other in pairs)
    return result


def measure_peak(run: Callable[[], Any]) -> tuple[float, Any]:
    """MiB above what is resident now, and what `run` returned (alive until then)."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew from what is resident now
    before = resident("VmRSS")
    out = run()
    return resident("VmHWM") - before, out


def resident(field: str) -> float:
    """MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


def seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def make_tensors(side: int) -> dict[str, Any]:
    """A picture of `side` x `side` tokens among TEXT_TOKENS of text, as a processor would give them."""
    import torch

    draw = torch.Generator().manual_seed(side)
    image, patches = side**2, (side * MERGE) ** 2
    text = torch.randint(10, VOCABULARY, (TEXT_TOKENS,), generator=draw)
    ids = torch.cat([text[:3], torch.tensor([2]), torch.full((image,), 0), torch.tensor([3]), text[3:]])[None]
    return {
        "input_ids": ids,
        "mm_token_type_ids": (ids == 0).long(),
        "pixel_values": torch.randn(patches, 3 * PATCH**2, generator=draw),
        "image_grid_thw": torch.tensor([[1, side * MERGE, side * MERGE]]),
    }


def build_model() -> Any:
    import torch
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    head = HIDDEN // HEADS
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": VOCABULARY, "hidden_size": HIDDEN, "intermediate_size": 2 * HIDDEN, "head_dim": head,
            "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": HEADS // 2,
            "initializer_range": 0.2, "max_position_embeddings": 8192, "rope_parameters": rope,
        },
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": PATCH,
            "spatial_merge_size": MERGE, "temporal_patch_size": 1, "out_hidden_size": HIDDEN,
            "num_position_embeddings": 1024, "deepstack_visual_indexes": [0, 1], "initializer_range": 0.1,
        },
        image_token_id=0, video_token_id=1, vision_start_token_id=2, vision_end_token_id=3,
    )  # fmt: skip
    torch.manual_seed(0)
    return Qwen3VLForConditionalGeneration(config).eval()


if __name__ == "__main__":
    main()
