"""What runs in this process, on one GPU: evaluation and attention of mini in float32 and bf16, the training runs of
TRL, and a model of Qwen3-VL-4B's form and size with random weights.

`python bench/gpu_local.py` (about nine minutes) needs one NVIDIA GPU and the tables of `make repro` (or `dvc pull`);
no GPU extra. Each part is a process of its own, so that one that fails or runs late costs no other. Writes
bench/results/gpu_local.json; `--small` tries the bench itself on a CPU, prints and writes nothing.

    evaluate   mini's base in full and crop view, greedy: accuracy; the share of replies that are those of the CPU in
               float32, and the mean difference of attention coverage from it, for each device and precision
    a run      all steps of mini's profile: seconds, rewards, full and crop accuracy of the result
    large      a picture of 4 096 image tokens an item. Replies of 64 tokens, eight at once; coverage; steps of the
               `sft` of profile one-gpu. Peaks are of PyTorch's allocator on the GPU
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402 - needs the path

from bench.result import note_code, write_result  # noqa: E402
from r2i.core import paths  # noqa: E402
from r2i.core.errors import R2IError  # noqa: E402
from r2i.core.metrics import rounded  # noqa: E402
from r2i.core.params import Attention, load_params  # noqa: E402
from r2i.core.records import BENCHMARK, OK, TRAIN  # noqa: E402
from r2i.core.stage import explained  # noqa: E402
from r2i.core.tables import Row, ok_rows, read_table, write_table  # noqa: E402

RESULT = ROOT / "bench" / "results" / "gpu_local.json"
SCRATCH = Path(".r2i") / "gpu-local"
VIEWS = ("full", "crop")
LIMIT_S = 240.0  # of a part
LARGE = {"hidden": 2560, "inner": 9728, "layers": 36, "heads": 32, "vision": 1024, "depth": 24, "side": 2048}
SMALL = {"hidden": 128, "inner": 192, "layers": 3, "heads": 4, "vision": 64, "depth": 3, "side": 512}
ASKED, TOKENS, SFT_STEPS = 8, 64, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="on a CPU, few rows and steps; nothing is written")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    told = parser.parse_args()
    os.chdir(ROOT)
    parts = parts_of(told.small)
    if told.part:
        print(json.dumps(rounded(parts[told.part](), digits=4)))
        return
    refuse_where_it_cannot_run(told.small)
    code = note_code("r2i.train.run", "r2i.train.trl_sft", "r2i.train.trl_dapo", "r2i.evaluate.predict",
                     "r2i.evaluate.attention", profiles=["mini", "one-gpu"])  # fmt: skip
    shutil.rmtree(SCRATCH, ignore_errors=True)
    found = {"device": device(), **{part: run_part(part, told.small) for part in parts}}
    print(json.dumps(found, indent=1, sort_keys=True))
    if not told.small:
        write_result(RESULT, found, code)
    if faults := [f"{part}: {found[part]['fault']}" for part in parts if "fault" in found[part]]:
        raise R2IError("; ".join(faults), "see above; the other parts' figures stand")


def parts_of(small: bool) -> dict[str, Callable[[], dict[str, Any]]]:
    """Evaluation, the large model, each run that profile mini has."""
    runs = load_params().profiles["mini"].runs()
    return {
        "evaluate": lambda: measure_evaluation(small),
        "large": lambda: measure_large(SMALL if small else LARGE),
        **{run: partial(measure_run, run, small) for run in runs},
    }  # fmt: skip


def refuse_where_it_cannot_run(small: bool) -> None:
    """Raises R2IError without a GPU, or without the tables."""
    if not small and not torch.cuda.is_available():
        raise R2IError("no GPU here", "run `python bench/gpu_local.py` on a machine with an NVIDIA GPU")
    for table in (paths.TRAIN, paths.BENCHMARK):
        if not table.is_dir():
            raise R2IError(f"no table in {table}", "run `make repro` first, or `dvc pull`")


def run_part(part: str, small: bool) -> dict[str, Any]:
    """The figures of a part, or its `fault`; and the seconds of its process."""
    began = time.monotonic()
    command = [sys.executable, __file__, "--part", part, *(["--small"] if small else [])]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=LIMIT_S, env=environment())
        found = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"fault": f"rc {done.returncode}"}
    except subprocess.TimeoutExpired:
        found = {"fault": f"not ready after {LIMIT_S:.0f} s"}
    found["process_s"] = round(time.monotonic() - began, 1)
    print(f"{part}: {json.dumps(found)}", file=sys.stderr, flush=True)
    return found


def environment() -> dict[str, str]:
    """MLflow is not asked for; sums of cuBLAS are in a fixed order."""
    return {**os.environ, "R2I_LIVE": "0", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}


def device() -> dict[str, str]:
    import transformers

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or "CPU"
    return {"name": name, "torch": torch.__version__, "transformers": transformers.__version__}


def measure_evaluation(small: bool) -> dict[str, Any]:
    """By device and precision; beside the CPU in float32."""
    items = benchmark_items(40 if small else None)
    base = load_params().profiles["mini"].train.base
    expected, looked, first = ask(base, items, "cpu", torch.float32)
    found = {"cpu_float32": first}
    for dtype in (torch.float32, torch.bfloat16):
        replies, coverage, figures = ask(base, items, "cpu" if small else "cuda", dtype)
        equal = fmean(replies[key] == reply for key, reply in expected.items())
        apart = fmean(abs(coverage[key] - value) for key, value in looked.items())
        name = f"{'cpu' if small else 'cuda'}_{str(dtype).removeprefix('torch.')}"
        found |= {name: {**figures, "same_replies": equal, "coverage_apart": apart}}
    return {"items": len(items), **found}


def benchmark_items(most: int | None) -> list[Row]:
    return ok_rows(read_table(paths.BENCHMARK, BENCHMARK, "benchmark"), paths.BENCHMARK, "benchmark")[:most]


def ask(
    folder: str, items: list[Row], where: str, dtype: torch.dtype
) -> tuple[dict[tuple[str, str], str], dict[tuple[str, int], float], dict[str, float]]:
    """Replies by item and view, coverage by item and layer, and what it comes to."""
    from r2i.endpoint.local import LocalModel, load_local
    from r2i.evaluate.attention import attention_rows
    from r2i.evaluate.predict import predict
    from r2i.evaluate.views import prompt_of

    params = load_params()
    profile = params.profiles["mini"]
    cfg = profile.evaluate.model_copy(update={"views": VIEWS, "samples": 0})
    model, processor = load_local(folder, full_precision=True)
    model.to(where, dtype)
    began = time.monotonic()
    rows = predict(LocalModel(folder, loaded=(model, processor)), items, cfg, profile.drawing.cut, params.seed,
                   scratch=SCRATCH)  # fmt: skip
    took = time.monotonic() - began
    look = partial(prompt_of, view="full", style=cfg.prompts)
    looks = attention_rows(model, processor, items, cfg.attention or Attention(), look)
    coverage = {(row["item_id"], row["layer"]): row["coverage"] for row in looks if row["status"] == OK}
    figures = {view: fmean(row["correct"] is True for row in rows if row["view"] == view) for view in VIEWS}
    replies = {(row["item_id"], row["view"]): row["reply"] for row in rows}
    return replies, coverage, {**figures, "coverage": fmean(coverage.values()), "seconds": took}


def measure_run(run: str, small: bool) -> dict[str, Any]:
    """A whole training of profile mini."""
    from r2i.core.curve import read_curve
    from r2i.train.run import train_run

    params = load_params()
    train = params.profiles["mini"].train
    if small:
        steps = {"dapo": "max_steps"}.get(run, "steps")
        train = train.model_copy(update={run: getattr(train, run).model_copy(update={steps: 2})})
    out, log = SCRATCH / run, SCRATCH / f"{run}.json"
    began = time.monotonic()
    summary = train_run(run, train, "mini", paths.TRAIN, params.seed, log, out)
    took = time.monotonic() - began
    curve = read_curve(log)
    keys = [key for key in ("reward", "loss", "entropy") if key in curve[0]]
    ends = {f"{key}_{name}": fmean(line[key] for line in lines if key in line)
            for key in keys for name, lines in (("first", curve[:5]), ("last", curve[-5:]))}  # fmt: skip
    where = "cuda" if torch.cuda.is_available() else "cpu"
    _, _, figures = ask(str(out), benchmark_items(40 if small else None), where, torch.float32)
    return {"steps": summary["steps"], "rows": summary["rows"], "train_s": took, **ends, "result": figures}


def measure_large(size: dict[str, int]) -> dict[str, Any]:
    folder = SCRATCH / "large"
    parameters = write_random_model(folder, size)
    return {
        "parameters": parameters,
        "image_tokens": (size["side"] // 32) ** 2,
        **measure_large_answers(folder, size),
        "sft": measure_large_sft(folder, size),
    }


def write_random_model(folder: Path, size: dict[str, int]) -> int:
    """A Qwen3-VL with mini's tokenizer, in bf16; its number of parameters."""
    from transformers import AutoProcessor, Qwen2VLImageProcessor, Qwen3VLConfig, Qwen3VLForConditionalGeneration

    small = AutoProcessor.from_pretrained(load_params().profiles["mini"].train.base)
    limits = {"shortest_edge": 65536, "longest_edge": 16777216}
    small.image_processor = Qwen2VLImageProcessor(patch_size=16, merge_size=2, temporal_patch_size=2, size=limits)
    tokens = small.tokenizer
    marks = {name: tokens.convert_tokens_to_ids(f"<|{mark}|>") for name, mark in (
        ("image_token_id", "image_pad"), ("video_token_id", "video_pad"),
        ("vision_start_token_id", "vision_start"), ("vision_end_token_id", "vision_end"))}  # fmt: skip
    head = 128 if size["hidden"] > 1000 else 32
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_interleaved": True,
            "mrope_section": [head // 2 - 2 * (head * 5 // 32), head * 5 // 32, head * 5 // 32]}  # fmt: skip
    depth = size["depth"]
    config = Qwen3VLConfig(
        text_config={"vocab_size": 151936, "hidden_size": size["hidden"], "intermediate_size": size["inner"],
                     "num_hidden_layers": size["layers"], "num_attention_heads": size["heads"], "head_dim": head,
                     "num_key_value_heads": max(1, size["heads"] // 4), "max_position_embeddings": 262144,
                     "rope_parameters": rope, "eos_token_id": tokens.eos_token_id,
                     "pad_token_id": tokens.pad_token_id, "bos_token_id": None, "tie_word_embeddings": True},
        vision_config={"depth": depth, "hidden_size": size["vision"], "intermediate_size": 4 * size["vision"],
                       "num_heads": size["vision"] // 64, "out_hidden_size": size["hidden"], "patch_size": 16,
                       "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 2304,
                       "deepstack_visual_indexes": [depth // 4, depth // 2, 3 * depth // 4]},
        tie_word_embeddings=True, **marks,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = Qwen3VLForConditionalGeneration._from_config(config, dtype=torch.bfloat16)
    model.generation_config.eos_token_id = tokens.eos_token_id
    model.save_pretrained(folder)
    small.save_pretrained(folder)
    return sum(weight.numel() for weight in model.parameters())


def noise(side: int, seed: int) -> bytes:
    """A JPEG of `side` x `side` pixels that no compression makes easy."""
    import numpy as np
    from PIL import Image

    from r2i.core.images import jpeg_bytes

    random = np.random.default_rng(seed)
    return jpeg_bytes(Image.fromarray(random.integers(0, 255, (side, side, 3), dtype=np.uint8)))


def measure_large_answers(folder: Path, size: dict[str, int]) -> dict[str, Any]:
    """Greedy replies to eight pictures at once; then coverage of the same."""
    from r2i.core.params import Sampling
    from r2i.endpoint.base import Request
    from r2i.endpoint.local import LocalModel
    from r2i.evaluate.attention import attention_rows

    pictures: list[Any] = [noise(size["side"], seed) for seed in range(ASKED)]
    model = LocalModel(folder, batch=ASKED)
    asked = [Request("what is it?", (picture,), Sampling(max_tokens=TOKENS), seed=0) for picture in pictures]
    with gpu_peak() as peak, timed() as took:
        replies = model.complete(asked)
    items = [{"item_id": str(at), "cluster_id": "", "image": picture, "status": OK, "question": "",
              "box": [200.0, 200.0, 400.0, 400.0], "image_id": str(at)}
             for at, picture in enumerate(pictures)]  # fmt: skip
    with gpu_peak() as look_peak, timed() as look_took:
        looks = list(attention_rows(*model.loaded, items, Attention(), lambda item: "what is it?"))
    tokens = sum(reply.tokens_out for (reply,) in replies)
    return {
        "answers": {"replies": len(replies), "tokens_out": tokens, "seconds": took[0], "peak_gib": peak[0]},
        "coverage": {"ok": sum(look["status"] == OK for look in looks), "seconds": look_took[0],
                     "peak_gib": look_peak[0]},
    }  # fmt: skip


def measure_large_sft(folder: Path, size: dict[str, int]) -> dict[str, Any]:
    """Steps of one-gpu's `sft`: float32 weights, products in bf16, activations made again. No checkpoint is written:
    its optimizer alone would fill a disk."""
    from r2i.train import trl_sft
    from r2i.train.run import train_run

    train = load_params().profiles["one-gpu"].train
    batch = train.sft.batch if torch.cuda.is_available() else 2
    train = train.model_copy(update={
        "base": str(folder), "sft": train.sft.model_copy(update={"steps": SFT_STEPS, "batch": batch}),
        "dapo": train.dapo.model_copy(update={"rollout_prompts": batch}),
    })  # fmt: skip
    blank = dict.fromkeys(TRAIN.names)
    rows = [{**blank, "row_id": f"{at:03}", "image_id": f"{at:03}", "image": noise(size["side"], at), "status": OK,
             "prompt": "which is it?", "options": ["a", "b", "c", "d"], "answer": "a", "label": "A",
             "question": "which is it?", "reason": ""} for at in range(batch)]  # fmt: skip
    table = SCRATCH / "rows"
    write_table(table, rows, TRAIN)
    defaults = trl_sft.trl_defaults
    trl_sft.trl_defaults = lambda *told: {**defaults(*told), "save_strategy": "no"}
    with gpu_peak() as peak, timed() as took:
        train_run("sft", train, "paper", table, 0, SCRATCH / "large-sft.json", SCRATCH / "large-sft")
    return {"steps": SFT_STEPS, "batch": batch, "seconds_with_load_and_save": took[0], "peak_gib": peak[0]}


@contextmanager
def timed() -> Iterator[list[float]]:
    took: list[float] = []
    began = time.monotonic()
    yield took
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    took.append(time.monotonic() - began)


@contextmanager
def gpu_peak() -> Iterator[list[float]]:
    """GiB; 0 on a CPU."""
    peak: list[float] = []
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    yield peak
    peak.append(torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0)


if __name__ == "__main__":
    with explained():
        main()
