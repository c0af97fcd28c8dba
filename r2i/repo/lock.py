"""What dvc.lock says, and what the workspace holds: hashes as DVC makes them, computed anew from the bytes.

DVC's own database of hashes is not asked: it believes a file whose size and time have not changed.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pathspec import GitIgnoreSpec

from r2i.core.errors import R2IError

LOCK, DAG = Path("dvc.lock"), Path("dvc.yaml")
FOLDER = ".dir"  # end of a folder's hash: that of its manifest


@dataclass(frozen=True)
class Entry:
    """A file or folder that a stage read or wrote. `md5`: DVC's; `size`: bytes; `files`: of a folder."""

    stage: str
    path: str
    md5: str
    size: int
    files: int | None


@dataclass(frozen=True)
class Lock:
    """`stages`: as in the file, by name. `frozen`: those that DVC does not compare with their deps."""

    stages: Mapping[str, Mapping[str, Any]]
    frozen: frozenset[str]

    def outs(self, stage: str | None = None) -> list[Entry]:
        """What was written, by all stages or by `stage`."""
        return list(self._entries("outs", stage))

    def deps(self, stage: str | None = None) -> list[Entry]:
        return list(self._entries("deps", stage))

    def params(self, stage: str) -> dict[str, Any]:
        """By dotted key, of every params file."""
        files = self.stages.get(stage, {}).get("params", {})
        return {key: value for values in files.values() for key, value in values.items()}

    def _entries(self, role: str, stage: str | None) -> Iterator[Entry]:
        for name in self.stages if stage is None else [stage]:
            for item in self.stages.get(name, {}).get(role, []):
                yield Entry(name, item["path"], str(item.get("md5", "")), item.get("size", 0), item.get("nfiles"))


def read_lock(path: Path = LOCK) -> Lock:
    """Raises R2IError where there is no lock, or it can't be read."""
    try:
        stages = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)["stages"]
        frozen = frozen_stages()
    except FileNotFoundError as error:
        raise R2IError(f"no {path}: nothing has been run here", "run `make repro`, or `git pull` one") from error
    except (yaml.YAMLError, LookupError, TypeError, AttributeError) as error:
        raise R2IError(f"{path} or {DAG} can't be read ({error})", "`git checkout` it, or merge it again") from error
    return Lock(stages, frozenset(name for name in stages if name.partition("@")[0] in frozen))


def frozen_stages() -> frozenset[str]:
    """Names in dvc.yaml of the stages that DVC never runs. Raises yaml.YAMLError, LookupError, AttributeError."""
    dag = yaml.load(DAG.read_text(encoding="utf-8"), Loader=_LOADER)["stages"] if DAG.is_file() else {}
    return frozenset(name for name, stage in dag.items() if stage.get("do", stage).get("frozen"))


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def md5_of(path: Path) -> str | None:
    """The hash that DVC gives to a file or folder now; None where there is none. Raises OSError."""
    if path.is_dir():
        return manifest_md5(manifest_of(path))
    return file_md5(path) if path.is_file() else None


def file_md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def manifest_of(folder: Path) -> dict[str, str]:
    """md5 by path inside `folder`, of the files that .dvcignore leaves."""
    return {path.relative_to(folder).as_posix(): file_md5(path) for path in files_in(folder)}


def manifest_md5(manifest: Mapping[str, str]) -> str:
    items = [{"md5": manifest[name], "relpath": name} for name in sorted(manifest)]
    return hashlib.md5(json.dumps(items, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + FOLDER


def files_in(folder: Path) -> Iterator[Path]:
    """The files below `folder`, in order of names, without what .dvcignore names."""
    for here, folders, names in os.walk(folder):
        place = Path(here)
        folders[:] = sorted(name for name in folders if not _ignored().match_file(f"{(place / name).as_posix()}/"))
        yield from (place / name for name in sorted(names) if not _ignored().match_file((place / name).as_posix()))


@cache
def _ignored() -> GitIgnoreSpec:
    file = Path(".dvcignore")
    return GitIgnoreSpec.from_lines(file.read_text(encoding="utf-8").splitlines() if file.is_file() else [])


def git(*arguments: str) -> str | None:
    """What git prints, stripped; None where there is no git, no repository, or it refuses."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def lock_commit() -> tuple[str, bool]:
    """The commit that brought dvc.lock to what it is, and whether the workspace's is just that one.

    `("", False)` where no commit holds it.
    """
    commit = git("log", "-1", "--format=%H", "--", str(LOCK)) or ""
    return commit, bool(commit) and git("status", "--porcelain", "--", str(LOCK)) == ""
