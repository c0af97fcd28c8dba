"""The workspace's files, and the objects of DVC's cache, against the hashes that dvc.lock and *.dvc files name."""

import json
import os
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from r2i.core import paths
from r2i.core.fingerprint import differing_files, read_code_file
from r2i.repo.git import list_files
from r2i.repo.lock import (
    FOLDER,
    Entry,
    Lock,
    changed_params,
    file_md5,
    files_in,
    hash_all,
    manifest_of,
    md5_of,
    object_path,
    read_manifest,
)
from r2i.tools.verify import Finding


def check_outs(entries: Iterable[Entry], cache: Path | None) -> Iterator[Finding]:
    """What is missing, and what differs, with the command that brings it back: of a folder, which of its files, where
    the cache holds its manifest."""
    entries = [entry for entry in entries if entry.md5]
    in_git = _held_by_git()
    for entry, found in zip(entries, hash_all(entry.path for entry in entries), strict=True):
        strange = found is None and os.path.lexists(entry.path)
        if found is None and not strange:
            where = "git checkout --" if entry.path in in_git else "dvc pull"
            yield Finding("missing", entry.path, f"made by {entry.stage}: `{where} {shlex.quote(entry.path)}`")
        elif found == entry.md5:
            continue
        elif entry.path in in_git:
            place = shlex.quote(entry.path)
            mend = f"`rm {place} && git checkout -- {place}`"
            yield Finding(
                "differs", entry.path, f"{found or 'no file'}, not {entry.md5} as {entry.stage} left it: {mend}"
            )
        else:
            yield from _explain(entry, found or "no file", cache)


def _explain(entry: Entry, found: str, cache: Path | None) -> Iterator[Finding]:
    was = read_manifest(cache, entry.md5) if cache and entry.md5.endswith(FOLDER) else None
    if was is None or not found.endswith(FOLDER):
        mend = _command(entry, [entry.path], entry.md5, cache)
        yield Finding("differs", entry.path, f"{found}, not {entry.md5} as {entry.stage} left it: {mend}")
        return
    now = manifest_of(Path(entry.path))
    strange = [f"{entry.path}/{name}" for name, md5 in now.items() if not md5]  # a pipe: DVC would wait for it
    for name in sorted(was.keys() | now.keys()):
        where = f"{entry.path}/{name}"
        if name not in now:
            mend = _command(entry, strange, was[name], cache)
            yield Finding("missing", where, f"made by {entry.stage}: {mend}")
        elif name not in was:
            what = "" if now[name] else "it is no file, and "
            yield Finding("extra", where, f"{what}{entry.stage} did not leave it there: `rm -f {shlex.quote(where)}`")
        elif was[name] != now[name]:
            mend = _command(entry, [where, *strange], was[name], cache)
            yield Finding(
                "differs", where, f"{now[name] or 'no file'}, not {was[name]} as {entry.stage} left it: {mend}"
            )


def _command(entry: Entry, removed: list[str], md5: str, cache: Path | None) -> str:
    """What brings the output, or a file of it, back. DVC compares size and time alone, both here and in its cache: what
    differs has to be `removed` before it looks, and a damaged object of the cache as well."""
    kept = object_path(cache, md5) if cache else None
    sound = kept is not None and kept.is_file() and file_md5(kept) == md5.removesuffix(FOLDER)
    if kept is not None and not sound and kept.exists():
        removed = [*removed, str(kept)]
    place = shlex.quote(entry.path)
    steps = [f"rm -rf {shlex.join(dict.fromkeys(removed))}"] if removed else []
    steps += [] if sound else [f"dvc fetch {place}"]
    return f"`{' && '.join([*steps, f'dvc checkout {place}'])}`"


def _held_by_git() -> set[str]:
    """Files that git tracks, and the folders that hold some."""
    return {parent for name in list_files() for parent in (name, *map(str, Path(name).parents))}


def check_deps(lock: Lock) -> Iterator[Finding]:
    """Code and data that a stage read and that are others now; stages that read what no stage left."""
    outs = {entry.path: entry for entry in lock.outs()}
    read: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))  # path -> md5 -> stages
    for entry in lock.deps():
        if entry.stage in lock.frozen or not entry.md5 or "://" in entry.path:  # DVC compares an address's ETag
            continue
        out = outs.get(entry.path)
        if out is None:
            read[entry.path][entry.md5].append(entry.stage)
        elif out.md5 != entry.md5:
            why = f"read {entry.path} {entry.md5}, and {out.stage} left {out.md5}: `dvc repro`"
            yield Finding("lock", entry.stage, why)
    yield from _changed_code(read)
    for (path, versions), found in zip(read.items(), hash_all(read), strict=True):
        stages = [stage for md5, stages in versions.items() if md5 != found for stage in stages]
        if stages:
            yield Finding("code", path, f"{'gone' if found is None else 'changed'} since {', '.join(stages)} ran")


def _changed_code(read: dict[str, dict[str, list[str]]]) -> Iterator[Finding]:
    """Files of code that mean something else than when stages ran; `read` keeps what is not such a code file."""
    stages: dict[str, list[str]] = defaultdict(list)
    for path in [path for path in read if Path(path).parent == paths.CODE]:
        readers = read[path].get(md5_of(Path(path)) or "")
        if readers:
            del read[path]
            for name in differing_files(read_code_file(Path(path))):
                stages[name] += readers
    for name, readers in stages.items():
        what = "changed" if Path(name).exists() else "gone"
        yield Finding("code", name, f"{what} since {', '.join(readers)} ran")


def check_params(lock: Lock) -> Iterator[Finding]:
    """Values in params.yaml that are not those that a stage was run with."""
    for stage in lock.stages:
        if stage in lock.frozen:
            continue
        for file, key, value, now in changed_params(lock, stage):
            yield Finding("params", stage, f"{key} was {_short(value)}, is {_short(now)} in {file}")


def check_strays(entries: Iterable[Entry]) -> Iterator[Finding]:
    """Notes: files beside the outputs that no stage in the lock left and git does not hold."""
    known = {Path(entry.path) for entry in entries}
    folders = sorted({path.parent for path in known if len(path.parts) > 1})
    kept = {*list_files(*map(str, folders)), str(paths.ACCEPTED)}
    for path in sorted({path for folder in folders for path in folder.glob("*")} - known):
        inside = files_in(path) if path.is_dir() else [path]
        if not any(other.is_relative_to(path) for other in known):
            for file in inside:
                if file.as_posix() not in kept and file.name != ".gitignore":  # DVC's own
                    yield Finding("note", file.as_posix(), "no stage in dvc.lock left it")


def check_cache(entries: Iterable[Entry], cache: Path) -> Iterator[Finding]:
    """Objects of DVC's cache that are missing or damaged; what git holds need not be there."""
    held = _held_by_git()
    wanted: dict[str, str] = {}
    for entry in entries:
        if entry.path in held or not entry.md5:
            continue
        wanted.setdefault(entry.md5, entry.path)
        if entry.md5.endswith(FOLDER):
            for name, md5 in (read_manifest(cache, entry.md5) or {}).items():
                wanted.setdefault(md5, f"{entry.path}/{name}")
    for (md5, where), found in zip(wanted.items(), hash_all(object_path(cache, md5) for md5 in wanted), strict=True):
        if found is None:
            yield Finding("cache", where, f"its object {md5} is not in {cache}: `dvc fetch`")
        elif found != md5.removesuffix(FOLDER):
            path = shlex.quote(str(object_path(cache, md5)))
            yield Finding("cache", where, f"its object is damaged: `rm {path} && dvc fetch`")


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}…"
