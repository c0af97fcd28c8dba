"""The code that a figure was measured with, and what has changed since.

A result in bench/results has a record under `measured` for each part of its bench: the git revision, whether files
differed from it, and a digest of everything that the figures depend on. The pipeline's own metrics need none: dvc.lock
says what they were made from.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r2i.core.errors import R2IError
from r2i.core.fingerprint import ROOT, code_digests, differing_files, file_digest, read_code_file
from r2i.core.params import load_params
from r2i.repo.git import ask_git
from r2i.repo.lock import LOCK, Lock, changed_params, md5_of, read_lock

MEASURED = "measured"  # key of a result: its records, by part of the bench
PARAMS = Path("params.yaml")
PROFILE, OUT = "params.yaml: ", "dvc.lock: "  # what is no file: a profile with its defaults, an output's hash
SHOWN = 3  # names in a sentence


def describe_code(
    *entries: Path | str, files: Iterable[Path] = (), profiles: Iterable[str] = (), outs: Iterable[str] = ()
) -> dict[str, Any]:
    """The record of a measurement that begins now: `revision`, `dirty`, and `code`, digests by name.

    `entries`: files or modules that run, with all that they need; `files`: others, of the repository, that count by
    themselves; `profiles`: of params.yaml; `outs`: paths in dvc.lock. Raises R2IError where one of them is missing.
    """
    code = code_digests(*entries) | {path.relative_to(ROOT).as_posix(): file_digest(path) for path in files}
    paths = sorted(code)
    names = [f"{PROFILE}{name}" for name in profiles] + [f"{OUT}{path}" for path in outs]
    other = {name: _digest_now(name, ROOT) for name in names}
    if missing := [name for name, digest in other.items() if digest is None]:
        raise R2IError(f"missing: {'; '.join(missing)}", "`git checkout` params.yaml and dvc.lock, or `make repro`")
    return {
        "revision": ask_git("-C", str(ROOT), "rev-parse", "HEAD"),
        "dirty": bool(ask_git("-C", str(ROOT), "status", "--porcelain", "--", *paths, PARAMS.name)),
        "code": dict(sorted((code | other).items())),
    }


def _digest_now(name: str, root: Path = Path()) -> str | None:
    """Of a profile or an output, by its name in a record; None where it is missing."""
    try:
        if name.startswith(PROFILE):
            profile = load_params(root / PARAMS).profiles[name.removeprefix(PROFILE)]
            text = json.dumps(profile.model_dump(mode="json", by_alias=True), sort_keys=True)
            return hashlib.sha256(text.encode()).hexdigest()[:32]
        return next(entry.md5 for entry in read_lock(root / LOCK).outs() if entry.path == name.removeprefix(OUT))
    except (R2IError, KeyError, StopIteration):
        return None


@dataclass(frozen=True)
class Provenance:
    """`revision`: "" where none was recorded; `changed`: what differs now from what the figures were measured with."""

    revision: str
    dirty: bool
    changed: tuple[str, ...]

    @property
    def current(self) -> bool:
        return bool(self.revision) and not self.changed

    def __str__(self) -> str:
        if not self.revision:
            return "no revision recorded"
        at = f"`{self.revision[:12]}`" + (" with uncommitted changes" if self.dirty else "")
        if not self.changed:
            return at
        return f"{at}; changed since: {join_names(self.changed)}"


def join_names(names: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = len(names) - SHOWN
    return ", ".join(f"`{name}`" for name in names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def read_provenance(result: Mapping[str, Any]) -> Provenance:
    """Of a file in bench/results, compared with the current directory. The first part's revision stands for all."""
    records = list((result.get(MEASURED) or {}).values())
    if not records or not all(record and record.get("revision") for record in records):
        return Provenance("", False, ())
    code = {name: digest for record in records for name, digest in record["code"].items()}
    changed = [found for record in records for found in _changed_since(record["code"])]
    revisions = list(dict.fromkeys(record["revision"] for record in records))
    dirty = any(record["dirty"] for record in records)
    return Provenance(revisions[0], dirty, tuple(name for name in code if name in changed))


def _changed_since(code: Mapping[str, str]) -> list[str]:
    files = {name: digest for name, digest in code.items() if not name.startswith((PROFILE, OUT))}
    others = [name for name, digest in code.items() if name not in files and _digest_now(name) != digest]
    return differing_files(files) + others


def read_run_changes(metrics: Iterable[Path]) -> list[str]:
    """What differs from what dvc.lock says of the run that wrote `metrics`: files of code, params, outputs.

    Empty where the run is one of the present code. Frozen stages and the report don't count.
    """
    try:
        lock = read_lock()
    except R2IError as error:
        return [error.cause]
    changed: list[str] = []
    for stage in lock.stages:
        if stage not in lock.frozen and stage not in ("code", "report"):
            changed += _stage_changes(lock, stage)
    locked = {entry.path: entry.md5 for entry in lock.outs()}
    changed += [path.as_posix() for path in metrics if locked.get(path.as_posix()) != md5_of(path)]
    return list(dict.fromkeys(changed))


def _stage_changes(lock: Lock, stage: str) -> list[str]:
    changed = [f"{PARAMS}: {key}" for _, key, _, _ in changed_params(lock, stage)]
    files = [(Path(entry.path), entry.md5) for entry in lock.deps(stage) if entry.path.startswith("data/code/")]
    if not files:
        return [*changed, f"code of {stage}"]  # a lock from before stages depended on their code files
    for path, md5 in files:
        if differing := differing_files(read_code_file(path)):
            changed += differing
        elif md5_of(path) != md5:
            changed.append(path.as_posix())
    return changed
