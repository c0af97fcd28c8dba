"""Checkpoints of engine trl: a killed run resumes, and ends with the bytes of an undisturbed one.

They lie in `.r2i/train/<fingerprint>/`. A checkpoint is complete when its `complete` file is there, which is written
last; others, left by a kill, are removed. A finished run removes its folder.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from r2i.core import paths
from r2i.core.fingerprint import code_digests, library_versions
from r2i.core.params import Train
from r2i.core.tables import Row

MARK = "complete"
LIBRARIES = ("accelerate", "numpy", "pillow", "torch", "torchvision", "transformers", "trl")


def workspace(fingerprint: str) -> Path:
    """The folder of a run's checkpoints; absolute, and the main workspace's under `dvc exp run --temp`."""
    return paths.training_state(fingerprint).absolute()


def run_fingerprint(objective: str, module: str, train: Train, style: str, rows: Iterable[Row], seed: int) -> str:
    """32 hex digits that change with anything that may change the trained model: rows with their images, base, params,
    seed, libraries, code. Not with `save_every`, `keep` or the cluster.

    `module`: name of the trainer's; the code is that module and all that it imports.
    """
    params = train.model_dump(mode="json", include={"engine", "base", "threads", objective})
    code = code_digests(module)
    found = hashlib.sha256(json.dumps([objective, params, style, seed, code, library_versions(LIBRARIES)]).encode())
    for path in sorted(Path(train.base).glob("*")) if Path(train.base).is_dir() else []:
        found.update(path.name.encode() + path.read_bytes())
    for row in rows:
        found.update(json.dumps([row[key] for key in ("row_id", "prompt", "options", "label", "answer")]).encode())
        found.update(hashlib.sha256(row["image"]).digest())
    return found.hexdigest()[:32]


class MarkComplete(TrainerCallback):
    """Marks each checkpoint as complete once the trainer has written all of it."""

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        (folder / MARK).touch()


def last_checkpoint(folder: Path) -> str | None:
    """The newest complete checkpoint in `folder`; incomplete ones are removed."""
    found: dict[int, Path] = {}
    for path in folder.glob("checkpoint-*"):
        if (path / MARK).is_file():
            found[int(path.name.rpartition("-")[2])] = path
        else:
            shutil.rmtree(path, ignore_errors=True)
    return str(found[max(found)]) if found else None
