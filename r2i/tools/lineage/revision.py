"""The code and tables that dvc.lock names for a few stages, beside what is in the workspace."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from r2i.core.errors import R2IError
from r2i.core.fingerprint import differing_files, read_code_file
from r2i.core.tables import Row
from r2i.repo.accept import accepted_code
from r2i.repo.lock import Entry, Lock, lock_commit, md5_of, read_lock

HASHED = 2**30  # bytes: a larger table is compared by its size alone, `r2i verify` hashes it


def revision_of(stages: Iterable[str]) -> Row:
    """`commit`: that of the lock; `committed`: whether the lock is as it is there; then stage by stage.

    `code`: digests by path, of what the code meant that ran; `changed`: files that mean something else now;
    `accepted`: why other code than that of the lock's outputs stands there (r2i.repo.accept); `outs`: each with its md5
    and `state`. Without a lock there are no stages.
    """
    commit, committed = lock_commit()
    try:
        lock = read_lock()
    except R2IError as error:
        return {"commit": commit, "committed": False, "stages": {}, "why": error.cause}
    found = {name: _stage(lock, name) for name in stages if name in lock.stages}
    return {"commit": commit, "committed": committed, "stages": found, "why": ""}


def _stage(lock: Lock, name: str) -> Row:
    code: dict[str, str] = {}
    changed: list[str] = []
    accepted: list[Row] = []
    if entry := lock.code(name):
        code = read_code_file(Path(entry.path))
        changed = differing_files(code) if md5_of(Path(entry.path)) == entry.md5 else [entry.path]
        accepted = [asdict(acceptance) for acceptance in accepted_code(name, entry.md5)]
    return {
        "command": lock.stages[name].get("cmd", ""),
        "params": lock.params(name),
        "code": code,
        "changed": changed,
        "accepted": accepted,
        "outs": [_out(entry) for entry in lock.outs(name) if entry.path.startswith("data/")],
    }


def _out(entry: Entry) -> Row:
    return {"path": entry.path, "md5": entry.md5, "state": state_of(entry)}


def state_of(entry: Entry) -> str:
    """`as locked`, `differs`, `missing`; of a large one `same size, not hashed`."""
    path = Path(entry.path)
    if not path.exists():
        return "missing"
    if entry.size > HASHED:
        files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
        return "same size, not hashed" if sum(file.stat().st_size for file in files) == entry.size else "differs"
    return "as locked" if md5_of(path) == entry.md5 else "differs"
