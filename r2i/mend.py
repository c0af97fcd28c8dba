"""A dvc.lock that was cut off: DVC 3.67 writes it in place, so that `kill -9` in those milliseconds leaves half of it.

DVC refuses such a file. Nothing is lost: its run-cache knows every stage that ended, and `dvc repro` restores them. The
committed lock takes the place of the one that was cut off: it has the entry of the frozen `pretrain`, which no
`dvc repro` would write again.
"""

import os
from pathlib import Path

import yaml

from r2i import paths
from r2i.locked import git

LOCK = Path("dvc.lock")


def mend_lock() -> Path | None:
    """Put a dvc.lock that is cut off aside, and say where to; None where it is whole, or where there is none.

    What git has as the lock takes its place, if git has one.
    """
    if not LOCK.is_file() or is_whole(LOCK.read_text(encoding="utf-8", errors="replace")):
        return None
    aside = paths.state_folder() / "dvc.lock.torn"
    aside.parent.mkdir(parents=True, exist_ok=True)
    os.replace(LOCK, aside)
    if committed := git("show", f"HEAD:./{LOCK}"):
        LOCK.write_text(committed + "\n", encoding="utf-8")
    return aside


def is_whole(text: str) -> bool:
    """Whether `text` is a lock that DVC takes: a schema, and stages with their command, files with their paths."""
    try:
        found = yaml.safe_load(text)
        stages = found["stages"].values() if "stages" in found else ()
        files = [file for stage in stages for kind in ("deps", "outs") for file in stage.get(kind) or ()]
        return "schema" in found and all(stage["cmd"] for stage in stages) and all(file["path"] for file in files)
    except (yaml.YAMLError, LookupError, TypeError, AttributeError):
        return False
