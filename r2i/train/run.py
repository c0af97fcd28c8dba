"""One training run from train rows to a Hugging Face folder."""

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from r2i.errors import R2IError
from r2i.params import Train
from r2i.tables import Row
from r2i.train.log import Say


def teller(name: str, every_s: float = 5.0) -> Say:
    """Says on stderr, every few seconds, how far a run is and how long it will take."""
    started = time.monotonic()
    last = started

    def say(step: int, steps: int, line: dict[str, float]) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < every_s and step < steps:
            return
        last = now
        left = (now - started) / step * (steps - step)
        facts = " ".join(f"{key} {line[key]:.3f}" for key in ("loss", "accuracy", "kept_groups") if key in line)
        print(f"{name}: step {step}/{steps}, {facts}, {left:.0f} s left", file=sys.stderr, flush=True)

    return say


def train_run(run: str, train: Train, style: str, rows: list[Row], seed: int, log: Path, out: Path) -> dict[str, Any]:
    """Train the base on `rows` and save it to `out`, model and processor; returns a summary.

    `run`: `dapo` or `sft`. `out` appears only when the run is complete. Raises R2IError for an
    engine that is not available, a base that can't be loaded, or params that don't fit the rows.
    """
    if train.engine == "openrlhf":
        raise R2IError(
            "train.engine openrlhf needs a GPU cluster and is not wired yet in this version",
            "use engine: trl, or export the rows with `data/overlay/train` (Parquet) to your trainer",
        )
    if run == "dapo" and train.dapo.rollout_prompts % train.dapo.train_prompts:
        raise R2IError("dapo.rollout_prompts is no multiple of dapo.train_prompts", "change one of them in params.yaml")
    need = train.dapo.rollout_prompts if run == "dapo" else 1
    if len(rows) < need:
        raise R2IError(
            f"{len(rows)} train rows are fewer than one rollout batch of {need} prompts",
            "sample more images, lower vote.min_agreement or dapo.rollout_prompts",
        )
    import torch

    from r2i.endpoint.local import load_local

    torch.set_num_threads(train.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    model, processor = load_local(train.base)
    scratch = Path(tempfile.mkdtemp(prefix="r2i-train-"))
    try:
        if run == "dapo":
            from r2i.train.trl_dapo import train_dapo

            summary = train_dapo(model, processor, rows, train.dapo, seed, log, scratch, teller("train dapo"))
        else:
            from r2i.train.trl_sft import train_sft

            summary = train_sft(model, processor, rows, train.sft, style, seed, log, scratch, teller("train sft"))
        save_model(model, processor, out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return {"run": run, "engine": train.engine, **summary}


def save_model(model: Any, processor: Any, out: Path) -> None:
    """Write beside `out`, then move: a folder that exists is complete."""
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        model.save_pretrained(part)
        processor.save_pretrained(part)
        forget_loading(part / "tokenizer_config.json")
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        os.replace(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def forget_loading(config: Path) -> None:
    """Remove what Transformers notes of how the tokenizer was loaded: it differs with HF_HUB_OFFLINE."""
    values = json.loads(config.read_text(encoding="utf-8"))
    kept = {name: value for name, value in values.items() if name not in ("is_local", "local_files_only")}
    config.write_text(json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
