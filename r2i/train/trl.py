"""DAPO or SFT in this process, through TRL: from train rows to a Hugging Face folder."""

import json
import shutil
from pathlib import Path
from typing import Any

from r2i.core.curve import all_of, progress_printer
from r2i.core.disk import new_folder
from r2i.core.params import Train
from r2i.core.records import TRAIN
from r2i.core.tables import ok_rows, read_table


def train_trl(run: str, train: Train, style: str, table: Path, seed: int, log: Path, out: Path) -> dict[str, Any]:
    """See r2i.train.run.train_run."""
    import torch

    from r2i.endpoint.local import load_local
    from r2i.train.fit import fitting_rows, pixels_within
    from r2i.train.live import live_run
    from r2i.train.resume import run_fingerprint, workspace
    from r2i.train.watch import Watcher, warnings

    rows = ok_rows(read_table(table, TRAIN, "overlay"), table, "overlay")
    torch.set_num_threads(train.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    model, processor = load_local(train.base)
    fingerprint = run_fingerprint(run, train, style, rows, seed)
    folder = workspace(fingerprint)
    with live_run(f"train@{run}", train.model_dump(mode="json"), fingerprint) as live:
        watcher = Watcher(train.dapo.watch, live.warn)
        say = all_of(progress_printer(f"train {run}"), live, watcher)
        with pixels_within(processor, train.dapo):
            rows, left_out = fitting_rows(rows, processor, train.dapo)
            if run == "dapo":
                from r2i.train.trl_dapo import train_dapo

                summary = train_dapo(model, processor, rows, train, seed, log, folder, say)
            else:
                from r2i.train.trl_sft import train_sft

                summary = train_sft(model, processor, rows, style, train, seed, log, folder, say)
        save_model(model, processor, out)
        live.tag_curve(log)
    shutil.rmtree(folder, ignore_errors=True)
    return {**summary, **left_out, "warnings": [str(w) for w in warnings(watcher.lines, train.dapo.watch)]}


def save_model(model: Any, processor: Any, out: Path) -> None:
    """Write a Hugging Face folder: one that exists is complete. Raises DiskError."""
    with new_folder(out) as part:
        model.save_pretrained(part)
        processor.save_pretrained(part)
        forget_loading(part / "tokenizer_config.json")


def forget_loading(config: Path) -> None:
    """Remove what Transformers notes of how the tokenizer was loaded: it differs with HF_HUB_OFFLINE."""
    values = json.loads(config.read_text(encoding="utf-8"))
    kept = {name: value for name, value in values.items() if name not in ("is_local", "local_files_only")}
    config.write_text(json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
