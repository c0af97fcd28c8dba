"""A dvc.lock that was cut off: DVC 3.67 writes it in place, so that `kill -9` in those milliseconds leaves half of it.

DVC refuses such a file. Nothing is lost: its run-cache knows every stage that ended, and `dvc repro` restores them. The
committed lock takes the place of the one that was cut off: it has the entry of the frozen `pretrain`, which no
`dvc repro` would write again.
"""

import os
from pathlib import Path

import yaml

from r2i.core import paths
from r2i.core.disk import new_file
from r2i.core.errors import R2IError
from r2i.repo.git import run_git
from r2i.repo.lock import DAG, LOCK, UNREADABLE, parse_lock

MD5 = 32  # hex digits


def mend_lock() -> Path | None:
    """Put a dvc.lock that is cut off aside, and say where to; None where it is whole, or where there is none.

    What git has as the lock takes its place, if git has one.
    """
    if not LOCK.is_file() or is_whole(LOCK.read_text(encoding="utf-8", errors="replace")):
        return None
    aside = paths.torn_lock()
    aside.parent.mkdir(parents=True, exist_ok=True)
    os.replace(LOCK, aside)
    if committed := _committed():
        with new_file(LOCK) as part:
            part.write_bytes(committed)
    return aside


def is_whole(text: str) -> bool:
    """Whether `text` ends where a lock ends: stages with command and outs, files with path, hash and size.

    A cut between two stages, or between two outs, leaves a lock that DVC takes and completes by itself, unless the
    stage that is gone is frozen: then it is not whole.
    """
    try:
        found = yaml.safe_load(text)  # also half a lock
        stages = found.get("stages") or {}
        files = [file for stage in stages.values() for kind in ("deps", "outs") for file in stage.get(kind) or ()]
        told = all(file["path"] and len(file["md5"]) >= MD5 and file["size"] >= 0 for file in files)
        ended = text.endswith("\n") and "schema" in found and all(one["cmd"] and one["outs"] for one in stages.values())
        return told and ended and _frozen() <= stages.keys()
    except UNREADABLE:
        return False


def _frozen() -> frozenset[str]:
    """The frozen stages of the pipeline that git's lock has an entry of."""
    try:
        return parse_lock(_committed().decode(), DAG.read_text(encoding="utf-8")).frozen
    except (*UNREADABLE, OSError, UnicodeDecodeError):
        return frozenset()


def _committed() -> bytes:
    """What git has as the lock; nothing where it has none."""
    try:
        return run_git("show", f"HEAD:./{LOCK}")
    except R2IError:
        return b""
