"""What dvc.lock and *.dvc files name, and what the workspace holds: hashes as DVC makes them, anew from the bytes.

DVC's own database of hashes is not asked: it believes a file whose size and time have not changed.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pathspec import GitIgnoreSpec

from r2i.core import paths
from r2i.core.errors import R2IError
from r2i.core.fingerprint import CHOSEN_PARAMS, chosen_params, look_up
from r2i.core.params import load_params
from r2i.core.yaml_text import read_yaml
from r2i.repo.git import ask_git, list_files

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
    """`stages`: as in the file, by name. `frozen`: those that DVC does not compare with their deps; `in_git`: paths of
    outputs that git holds in place of DVC's cache."""

    stages: Mapping[str, Mapping[str, Any]]
    frozen: frozenset[str]
    in_git: frozenset[str]

    def outs(self, stage: str | None = None) -> list[Entry]:
        """What was written, by all stages or by `stage`."""
        return list(self._entries("outs", stage))

    def shared_outs(self, stage: str) -> list[Entry]:
        """What a stage wrote that goes through DVC's cache and remotes."""
        return [entry for entry in self.outs(stage) if entry.md5 and entry.path not in self.in_git]

    def deps(self, stage: str | None = None) -> list[Entry]:
        return list(self._entries("deps", stage))

    def code(self, stage: str) -> Entry | None:
        """The file that says what the stage's code means (r2i.core.fingerprint), as it was; None: it has none."""
        return next((entry for entry in self.deps(stage) if Path(entry.path).parent == paths.CODE), None)

    def params(self, stage: str) -> dict[str, Any]:
        """By dotted key, of every params file."""
        files = self.stages.get(stage, {}).get("params", {})
        return {key: value for values in files.values() for key, value in values.items()}

    def _entries(self, role: str, stage: str | None) -> Iterator[Entry]:
        for name in self.stages if stage is None else [stage]:
            for item in self.stages.get(name, {}).get(role, []):
                yield Entry(name, item["path"], str(item.get("md5", "")), item.get("size", 0), item.get("nfiles"))


def read_lock(path: Path = LOCK) -> Lock:
    """The lock at `path`, with the dvc.yaml beside it. Raises R2IError where there is no lock, or it can't be read."""
    pipeline = path.with_name(DAG.name)
    if path.exists() and not path.is_file():
        raise R2IError(f"{path} is no file", f"remove it, then `git checkout {path}`")
    try:
        text = path.read_text(encoding="utf-8")
        return parse_lock(text, pipeline.read_text(encoding="utf-8") if pipeline.is_file() else "")
    except FileNotFoundError as error:
        raise R2IError(f"no {path}: nothing has been run here", "run `make repro`, or `git pull` one") from error
    except (*UNREADABLE, UnicodeDecodeError) as error:
        raise R2IError(
            f"{path} or {pipeline} can't be read ({error})", "`git checkout` it, or merge it again"
        ) from error


UNREADABLE = (yaml.YAMLError, LookupError, TypeError, AttributeError)
"""What `parse_lock` raises for a text that is no lock."""


def parse_lock(text: str, pipeline: str = "") -> Lock:
    """A lock's text, with that of its dvc.yaml. Raises UNREADABLE."""
    stages = read_yaml(text)["stages"]
    frozen = frozen_stages(pipeline)
    in_git = frozenset(_uncached(read_yaml(pipeline)["stages"]) if pipeline else ())
    return Lock(stages, frozenset(name for name in stages if name.partition("@")[0] in frozen), in_git)


def _uncached(dag: Mapping[str, Any]) -> Iterator[str]:
    """Outputs with `cache: false`."""
    for stage in dag.values():
        entry = stage.get("do", stage)
        for item in [item for role in ("outs", "metrics", "plots") for item in entry.get(role) or ()]:
            if isinstance(item, dict):
                yield from (path for path, options in item.items() if (options or {}).get("cache") is False)


def frozen_stages(pipeline: str) -> frozenset[str]:
    """Names of the stages in a dvc.yaml's text that DVC never runs. Raises UNREADABLE."""
    dag = read_yaml(pipeline)["stages"] if pipeline else {}
    return frozenset(name for name, stage in dag.items() if stage.get("do", stage).get("frozen"))


def read_dvc_file(path: Path) -> list[Entry]:
    """What a file of `dvc add` names; `stage` is its name. Raises R2IError where it can't be read."""
    try:
        outs = read_yaml(path.read_text(encoding="utf-8"))["outs"]
        return [
            Entry(path.name, (path.parent / out["path"]).as_posix(), out["md5"], out.get("size", 0), out.get("nfiles"))
            for out in outs
        ]
    except (*UNREADABLE, UnicodeDecodeError) as error:
        raise R2IError(f"{path} can't be read ({error})", "`git checkout` it, or merge it again") from error


def tracked_entries() -> list[Entry]:
    """What *.dvc files name: the archive of replies, imported rows. Raises R2IError where one can't be read."""
    files = [Path(name) for name in list_files("*.dvc", with_new=True)] or sorted(Path().glob("*.dvc"))
    return [entry for path in files if path.is_file() for entry in read_dvc_file(path)]


def changed_params(
    lock: Lock, stage: str, chosen: Mapping[str, Any] | None = None, folder: Path = Path()
) -> Iterator[tuple[str, str, Any, Any]]:
    """Values that a stage was not run with: file, dotted key, value in the lock, value now (None: there is none).

    `chosen`: the params of a profile (r2i.core.fingerprint.chosen_params), those of params.yaml unless told; `folder`:
    where files of params lie. Raises R2IError where one can't be read.
    """
    for file, values in lock.stages[stage].get("params", {}).items():
        try:
            params = _params_now(Path(file), chosen, folder)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise R2IError(f"{file} can't be read ({error})", "correct it, or `git checkout` it") from error
        for key, value in values.items():
            if (now := look_up(params, key)) != value:
                yield file, key, value, now


def _params_now(file: Path, chosen: Mapping[str, Any] | None, folder: Path) -> Any:
    """Of a params file; the chosen profile's are those of params.yaml, whatever `dvc repro code` last wrote."""
    if file == paths.CODE / CHOSEN_PARAMS and chosen is not None:
        return chosen
    if file == paths.CODE / CHOSEN_PARAMS and (folder / CHOSEN_PARAMS).is_file():
        return chosen_params(load_params(folder / CHOSEN_PARAMS))
    return read_yaml((folder / file).read_text(encoding="utf-8")) if (folder / file).is_file() else {}


def md5_of(path: Path) -> str | None:
    """The hash that DVC gives to a file or folder now; None where there is none. Raises OSError."""
    if path.is_dir():
        return manifest_md5(manifest_of(path))
    return file_md5(path) if path.is_file() else None


def file_md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def manifest_of(folder: Path) -> dict[str, str]:
    """md5 by path inside `folder`, of the files that .dvcignore leaves; "" of what is no file, such as a pipe."""
    return {path.relative_to(folder).as_posix(): file_md5(path) if path.is_file() else "" for path in files_in(folder)}


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


def hash_all(names: Iterable[str | Path]) -> Iterator[str | None]:
    """The md5s of files and folders, in order; None where there is none. Raises R2IError where one can't be read."""

    def of(name: str | Path) -> str | None:
        path = Path(name)
        if path.suffix == FOLDER and path.is_file():  # a manifest in the cache
            return file_md5(path)
        return md5_of(path)

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        try:
            yield from pool.map(of, names)
        except OSError as error:
            raise R2IError(f"can't be read: {error}", "see who may read it") from error


def object_path(cache: Path, md5: str) -> Path:
    """Of a file or a manifest in DVC's cache."""
    return cache / md5[:2] / md5[2:]


def read_manifest(cache: Path, md5: str) -> dict[str, str] | None:
    """md5 by path of a folder's files; None where the cache does not hold that manifest, whole."""
    try:
        items: list[dict[str, Any]] = json.loads(object_path(cache, md5).read_bytes())
        found = {item["relpath"]: item["md5"] for item in items}
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return found if manifest_md5(found) == md5 else None


def lock_commit() -> tuple[str, bool]:
    """The commit that brought dvc.lock to what it is, and whether the workspace's is just that one.

    `("", False)` where no commit holds it.
    """
    commit = ask_git("log", "-1", "--format=%H", "--", str(LOCK))
    return commit, bool(commit) and ask_git("status", "--porcelain", "--", str(LOCK)) == ""
