"""What a remote holds for this commit, checked before DVC writes anything of it.

DVC follows a folder's listing wherever it leads, `../stages/x.py` included, and takes any bytes for a listing or an
entry of the run-cache. Here each listing has to be what its name says and to name files within its folder, and what was
checked is what DVC then finds in its cache.
"""

import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from r2i.core.disk import new_file
from r2i.core.errors import R2IError
from r2i.core.yaml_text import read_yaml
from r2i.repo.listing import fault_of_entries, fault_of_listing, fault_of_output
from r2i.repo.lock import FOLDER, LOCK, Entry, read_lock, tracked_entries

AT_ONCE = 8  # requests to the remote
LARGEST_STAGE = 10_000_000  # bytes of an entry of the run-cache: one stage of a lock
LARGEST_ENTRY = 5_000  # bytes of a file in a listing
SMALLEST_BOUND = 100_000_000  # bytes of a listing whose number of files is not known
HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class _Stores:
    """DVC's, by the name of the hash: `md5`, and `md5-dos2unix` of what older versions wrote."""

    remote: dict[str, Any]
    cache: dict[str, Any]


def bring_checked(run_cache: bool = False) -> None:
    """Check all listings that dvc.lock and *.dvc files name and put them into DVC's cache; then `dvc fetch` is safe.

    `run_cache`: also the remote's entries of it, and the listings that they name; an entry that is not what its name
    says is left there with a warning. Raises R2IError, before anything is written, where a path lies outside of the
    repository, or a listing is damaged or names a file outside its folder.
    """
    from dvc.repo import Repo

    entries = _named_entries()
    try:
        with Repo() as repo:
            stores = _open_stores(repo)
            if stores is None:
                return
            stages = _read_run_cache(stores) if run_cache else {}
            entries += [entry for stage in stages.values() for entry in _outs_of(stage)]
            listings = _read_listings(entries, stores)
            _add_to_cache(listings, stores)
            folder = Path(stores.cache["md5-dos2unix"].path)
            for name, data in stages.items():
                with new_file(folder / name) as part:
                    part.write_bytes(data)
    except R2IError:
        raise
    except Exception as error:  # whatever the remote's client raises
        raise R2IError(f"the remote can't be read: {error}", "see that it is there, and `dvc remote list`") from error


def _named_entries() -> list[Entry]:
    """Outputs of dvc.lock and *.dvc files. Raises R2IError where one can't be meant."""
    lock = read_lock() if LOCK.is_file() else None
    entries = [*(lock.outs() if lock else ()), *tracked_entries()]
    for entry in entries:
        if fault := fault_of_output(entry.path, entry.md5):
            raise R2IError(
                f"{entry.path} of {entry.stage} {fault}",
                f"nothing was fetched; see who committed that: `git log -p {LOCK} '*.dvc'`",
            )
    for stage in lock.stages.values() if lock else ():
        for out in stage.get("outs") or ():
            if fault := fault_of_entries(out.get("files") or []):
                raise R2IError(f"{LOCK}: {out['path']} {fault}", f"see who committed that: `git log -p {LOCK}`")
    return entries


def _open_stores(repo: Any) -> _Stores | None:
    """None where the remote keeps files under their own names, in versions: it has no listings."""
    from dvc.config import RemoteConfigError

    names = ("md5", "md5-dos2unix")
    try:
        remote = {name: repo.cloud.get_remote_odb(command="fetch", hash_name=name) for name in names}
    except RemoteConfigError:
        return None
    return _Stores(remote, dict(zip(names, (repo.cache.local, repo.cache.legacy), strict=True)))


def _read_listings(entries: Iterable[Entry], stores: _Stores) -> dict[tuple[str, str], bytes]:
    """The remote's listings that the cache lacks, by hash's name and hash; those it lacks too are left to DVC."""
    wanted: dict[str, Entry] = {}
    for entry in entries:
        if entry.md5.endswith(FOLDER):
            wanted.setdefault(entry.md5, entry)

    def read(entry: Entry) -> tuple[tuple[str, str], bytes] | None:
        bound = entry.files * LARGEST_ENTRY + LARGEST_ENTRY if entry.files else SMALLEST_BOUND
        for known, stored in (("cache", stores.cache), ("remote", stores.remote)):
            for name, store in stored.items():
                path = store.oid_to_path(entry.md5)
                data = _read_bytes(store.fs, path, bound)
                if data is None:
                    continue
                if fault := fault_of_listing(data, entry.md5.removesuffix(FOLDER)):
                    raise _refuse_listing(entry, known, path, fault)
                return ((name, entry.md5), data) if known == "remote" else None
        return None

    return dict(found for found in _map(read, wanted.values()) if found)


def _refuse_listing(entry: Entry, where: str, path: str, fault: str) -> R2IError:
    remedy = f"remove {path}, then again"
    if where == "remote":
        remedy = f"nothing was written; find out who wrote {path} there, remove it, and push again from a sound lab"
    return R2IError(f"the {where}'s listing of {entry.path} ({entry.stage}) {fault}", remedy)


def _read_run_cache(stores: _Stores) -> dict[str, bytes]:
    """The remote's entries that are not here, by path: `runs/<2 of the key>/<key>/<hash>`. Others are passed over."""
    from dvc.fs import HTTPFileSystem

    store, here = stores.remote["md5-dos2unix"], Path(stores.cache["md5-dos2unix"].path)
    runs = store.fs.join(store.path, "runs")
    if isinstance(store.fs, HTTPFileSystem) or not store.fs.exists(runs):
        return {}
    names = []
    for path in store.fs.find(runs):
        parts = store.fs.parts(path)[-4:]
        well_named = len(parts) == 4 and parts[0] == "runs" and parts[1] == parts[2][:2]
        if well_named and all(len(part) == 64 and set(part) <= HEX for part in parts[2:]):
            names += ["/".join(parts)] if not here.joinpath(*parts).is_file() else []

    def read(name: str) -> tuple[str, bytes | None]:
        data = _read_bytes(store.fs, store.fs.join(store.path, *name.split("/")), LARGEST_STAGE)
        return name, data if data is not None and _is_named_right(name, data) else None

    found = dict(_map(read, sorted(names)))
    if bad := [name for name, data in found.items() if data is None]:
        print(
            f"warning: {len(bad)} entries of the remote's run-cache are not what their names say and were left there, "
            f"e.g. {bad[0]}",
            file=sys.stderr,
        )
    return {name: data for name, data in found.items() if data is not None}


def _is_named_right(name: str, data: bytes) -> bool:
    """Whether an entry of the run-cache is a stage whose command, inputs and outputs give just that name."""
    from dvc.schema import COMPILED_LOCK_FILE_STAGE_SCHEMA
    from dvc.stage.cache import _get_cache_hash
    from voluptuous import Invalid

    try:
        stage = COMPILED_LOCK_FILE_STAGE_SCHEMA(read_yaml(data.decode("utf-8")))
        value = _get_cache_hash(stage)
        outs = _outs_of(data)
        key = _get_cache_hash(stage, key=True)  # changes `stage`
    except (yaml.YAMLError, UnicodeDecodeError, Invalid, LookupError, TypeError):
        return False
    right = [part for part in name.split("/") if len(part) == 64] == [key, value]
    return right and not any(fault_of_output(entry.path, entry.md5) for entry in outs)


def _outs_of(data: bytes) -> list[Entry]:
    outs = read_yaml(data.decode("utf-8")).get("outs") or []
    return [Entry("the run-cache", out["path"], str(out.get("md5") or ""), 0, out.get("nfiles")) for out in outs]


def _add_to_cache(listings: dict[tuple[str, str], bytes], stores: _Stores) -> None:
    """By DVC itself, with the rights that its config gives to the cache's files."""
    with tempfile.TemporaryDirectory(prefix="r2i-listings-") as folder:
        for (name, md5), data in listings.items():
            path = Path(folder) / md5
            path.write_bytes(data)
            store = stores.cache[name]
            store.add(str(path), store.fs, md5)


def _read_bytes(fs: Any, path: str, bound: int) -> bytes | None:
    """None where there is no such file. Raises R2IError where it is longer than `bound` bytes."""
    try:
        with fs.open(path, "rb") as file:
            data: bytes = file.read(bound + 1)
    except Exception:  # clients differ in what they raise where nothing is
        if fs.exists(path):
            raise
        return None
    if len(data) > bound:
        raise R2IError(f"{path} has more than {bound:,} bytes, which it can't need", "find out who wrote it")
    return data


def _map(call: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(call, items))
