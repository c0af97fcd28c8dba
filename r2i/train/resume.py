"""Checkpoints of engine trl: a killed run resumes, and ends with the bytes of an undisturbed one.

They lie in `.r2i/train/<fingerprint>/`. A checkpoint is complete when its `complete` file is there, which is written
last and holds the sha256 of every other file, and the files have those. The newest such one is taken; newer ones,
which a kill or a disk has spoiled, are removed. A finished run removes its folder.
"""

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from r2i.core import paths
from r2i.core.disk import new_file
from r2i.core.fingerprint import code_digests, library_versions
from r2i.core.images import file_sha256
from r2i.core.params import Cut, Train
from r2i.core.tables import Row

MARK = "complete"
NAME = re.compile(r"checkpoint-(\d+)")
LIBRARIES = ("accelerate", "numpy", "pillow", "torch", "torchvision", "transformers", "trl")


def workspace(fingerprint: str) -> Path:
    """The folder of a run's checkpoints; absolute, and the main workspace's under `dvc exp run --temp`."""
    return paths.training_state(fingerprint).absolute()


def run_fingerprint(
    objective: str, module: str, train: Train, style: str, rows: Iterable[Row], seed: int, cut: Cut
) -> str:
    """32 hex digits that change with anything that may change the trained model: rows with their images, base, params,
    seed, libraries, code. Not with `keep` or the cluster, and with `save_every` only where checkpoints are validated.

    `module`: name of the trainer's; the code is that module and all that it imports.
    """
    validated = {"validation", "choose", "save_every"} if train.validation else set()
    params = train.model_dump(mode="json", include={"engine", "base", "threads", objective, *validated})
    params |= {"limits": train.limits(objective).model_dump(mode="json"), "cut": cut.model_dump(mode="json")}
    code = code_digests(module)
    found = hashlib.sha256(json.dumps([objective, params, style, seed, code, library_versions(LIBRARIES)]).encode())
    for path in sorted(Path(train.base).glob("*")) if Path(train.base).is_dir() else []:
        found.update(path.name.encode() + path.read_bytes())
    for row in rows:
        found.update(
            json.dumps([row[key] for key in ("row_id", "view", "prompt", "options", "label", "answer", "box")]).encode()
        )
        found.update(hashlib.sha256(row["image"]).digest())
    return found.hexdigest()[:32]


class MarkComplete(TrainerCallback):
    """Marks each checkpoint as complete once the trainer has written all of it."""

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        mark_complete(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def mark_complete(checkpoint: Path) -> None:
    """Write the digests of its files beside them. Raises DiskError."""
    digests = {name: file_sha256(checkpoint / name) for name in _files_in(checkpoint)}
    with new_file(checkpoint / MARK) as part:
        part.write_text(json.dumps(digests, indent=0, sort_keys=True) + "\n", encoding="utf-8")


def last_checkpoint(folder: Path) -> str | None:
    """The newest complete checkpoint in `folder`; whatever is newer and not complete is removed, with a warning where
    it was complete once. None where training starts from the beginning."""
    found = [(int(match[1]), path) for path in folder.glob("checkpoint-*") if (match := NAME.fullmatch(path.name))]
    for _, path in sorted(found, reverse=True):
        fault = fault_of_checkpoint(path)
        if not fault:
            return str(path)
        if (path / MARK).exists():
            print(f"warning: {path} is not used: {fault}", file=sys.stderr, flush=True)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return None


def fault_of_checkpoint(checkpoint: Path) -> str:
    """Why nothing can go on from it; "" where all files are there that were, with the bytes that they had."""
    try:
        digests = json.loads((checkpoint / MARK).read_text(encoding="utf-8"))
        if not isinstance(digests, dict) or not digests:
            return f"its mark `{MARK}` names no files"
        for name, digest in sorted(digests.items()):
            if not (checkpoint / name).is_file():
                return f"{name} is missing"
            if file_sha256(checkpoint / name) != digest:
                return f"{name} is not what was written"
    except (OSError, ValueError, RecursionError) as error:
        return f"it can't be read ({error})"
    return ""


def _files_in(checkpoint: Path) -> list[str]:
    """Relative to it, without the mark."""
    files = (path for path in sorted(checkpoint.rglob("*")) if path.is_file())
    return [name for path in files if (name := path.relative_to(checkpoint).as_posix()) != MARK]
