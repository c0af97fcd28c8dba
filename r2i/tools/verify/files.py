"""The workspace's files, and the objects of DVC's cache, against the hashes that dvc.lock and *.dvc files name."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from r2i.core import paths
from r2i.core.errors import R2IError
from r2i.core.fingerprint import differing_files, read_code_file
from r2i.repo.lock import FOLDER, Entry, Lock, file_md5, files_in, git, manifest_md5, manifest_of, md5_of
from r2i.tools.verify import Finding


def check_outs(entries: Iterable[Entry], cache: Path | None) -> Iterator[Finding]:
    """What is missing, and what differs: of a folder, which of its files, where the cache holds its manifest."""
    entries = list(entries)
    for entry, found in zip(entries, hash_all(entry.path for entry in entries), strict=True):
        if found is None:
            yield Finding("missing", entry.path, f"made by {entry.stage}: `dvc pull {entry.path}`")
        elif found != entry.md5:
            yield from _explain(entry, found, cache)


def _explain(entry: Entry, found: str, cache: Path | None) -> Iterator[Finding]:
    was = read_manifest(cache, entry.md5) if cache and entry.md5.endswith(FOLDER) else None
    if was is None or not found.endswith(FOLDER):
        yield Finding("differs", entry.path, f"{found}, not {entry.md5} as {entry.stage} left it")
        return
    now = manifest_of(Path(entry.path))
    for name in sorted(was.keys() | now.keys()):
        where = f"{entry.path}/{name}"
        if name not in now:
            yield Finding("missing", where, f"made by {entry.stage}: `dvc checkout {entry.path}`")
        elif name not in was:
            yield Finding("extra", where, f"{entry.stage} did not leave it there")
        elif was[name] != now[name]:
            yield Finding("differs", where, f"{now[name]}, not {was[name]} as {entry.stage} left it")


def check_deps(lock: Lock) -> Iterator[Finding]:
    """Code and data that a stage read and that are others now; stages that read what no stage left."""
    outs = {entry.path: entry for entry in lock.outs()}
    read: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))  # path -> md5 -> stages
    for entry in lock.deps():
        if entry.stage in lock.frozen:
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
        for file, values in lock.stages[stage].get("params", {}).items():
            path = Path(file)
            params = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
            for key, value in values.items():
                if (now := _value(params, key)) != value:
                    yield Finding("params", stage, f"{key} was {_short(value)}, is {_short(now)} in {file}")


def tracked_entries() -> list[Entry]:
    """What *.dvc files name: the archive of replies, imported rows. Raises R2IError where one can't be read."""
    listed = git("ls-files", "-co", "--exclude-standard", "--", "*.dvc")
    files = [Path(name) for name in listed.splitlines()] if listed is not None else sorted(Path().glob("*.dvc"))
    return [entry for path in files if path.is_file() for entry in read_dvc_file(path)]


def read_dvc_file(path: Path) -> list[Entry]:
    try:
        outs = yaml.safe_load(path.read_text(encoding="utf-8"))["outs"]
        return [
            Entry(path.name, (path.parent / out["path"]).as_posix(), out["md5"], out.get("size", 0), out.get("nfiles"))
            for out in outs
        ]
    except (yaml.YAMLError, LookupError, TypeError, UnicodeDecodeError) as error:
        raise R2IError(f"{path} can't be read ({error})", "`git checkout` it, or merge it again") from error


def check_strays(entries: Iterable[Entry]) -> Iterator[Finding]:
    """Notes: files beside the outputs that no stage in the lock left and git does not hold."""
    known = {Path(entry.path) for entry in entries}
    folders = sorted({path.parent for path in known if len(path.parts) > 1})
    kept = set((git("ls-files", *map(str, folders)) or "").splitlines())
    for path in sorted({path for folder in folders for path in folder.glob("*")} - known):
        inside = files_in(path) if path.is_dir() else [path]
        if not any(other.is_relative_to(path) for other in known):
            for file in inside:
                if file.as_posix() not in kept and file.name != ".gitignore":  # DVC's own
                    yield Finding("note", file.as_posix(), "no stage in dvc.lock left it")


def check_cache(entries: Iterable[Entry], cache: Path) -> Iterator[Finding]:
    """Objects of DVC's cache that are missing or damaged; what git holds need not be there."""
    kept = git("ls-files") or ""
    held = {parent for line in kept.splitlines() for parent in (line, *map(str, Path(line).parents))}
    wanted: dict[str, str] = {}
    for entry in entries:
        if entry.path in held:
            continue
        wanted.setdefault(entry.md5, entry.path)
        if entry.md5.endswith(FOLDER):
            for name, md5 in (read_manifest(cache, entry.md5) or {}).items():
                wanted.setdefault(md5, f"{entry.path}/{name}")
    for (md5, where), found in zip(wanted.items(), hash_all(object_path(cache, md5) for md5 in wanted), strict=True):
        if found is None:
            yield Finding("cache", where, f"its object {md5} is not in {cache}: `dvc fetch`")
        elif found != md5.removesuffix(FOLDER):
            yield Finding("cache", where, f"its object {object_path(cache, md5)} is damaged: remove it, `dvc fetch`")


def cache_folder() -> Path | None:
    """Of DVC's configuration, all levels of it; None where DVC does not say."""
    done = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], capture_output=True, text=True, check=False)
    return Path(done.stdout.strip()) / "files" / "md5" if done.returncode == 0 and done.stdout.strip() else None


def object_path(cache: Path, md5: str) -> Path:
    return cache / md5[:2] / md5[2:]


def read_manifest(cache: Path, md5: str) -> dict[str, str] | None:
    """md5 by path of a folder's files; None where the cache does not hold that manifest, whole."""
    try:
        items: list[dict[str, Any]] = json.loads(object_path(cache, md5).read_bytes())
        found = {item["relpath"]: item["md5"] for item in items}
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return found if manifest_md5(found) == md5 else None


def hash_all(paths: Iterable[str | Path]) -> Iterator[str | None]:
    """The md5s of files and folders, in order; None where there is none."""

    def of(path: str | Path) -> str | None:
        name = Path(path)
        if name.suffix == FOLDER and name.is_file():  # a manifest in the cache
            return file_md5(name)
        return md5_of(name)

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        try:
            yield from pool.map(of, paths)
        except OSError as error:
            raise R2IError(f"can't be read: {error}", "see who may read it") from error


def _value(params: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(params, dict) or part not in params:
            return None
        params = params[part]
    return params


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}…"
