"""The files that a profile reads: pools and benchmarks, and their versions."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from r2i.benchmark.importers import importer_of
from r2i.benchmark.rows import source_path
from r2i.benchmark.version import list_source, pinned_source
from r2i.core import paths
from r2i.core.errors import TableError
from r2i.core.params import BenchmarkSource, Params, Pool
from r2i.core.photos import pool_path
from r2i.doctor.check import Check, tried
from r2i.importing.hash_cache import HashCache
from r2i.importing.version import Listing, Pinned, require_version
from r2i.sample.files import SUFFIXES, walk_files
from r2i.sample.pools import list_offers
from r2i.sample.version import list_pool, pinned_pool

READ_BYTES = 2 * 10**9  # of a pool or benchmark whose version is checked without --files
COUNTED = 1000  # files that are counted, of a pool or benchmark


def check_pools(params: Params, files: bool) -> Iterator[Check]:
    """`files`: read all files of those that are pinned, however large they are; hashes are kept for `sample`."""
    for pool in params.chosen.sample.pools:
        if pool.kind != "rendered":
            what = f"pool {pool.name}"
            yield tried(what, lambda pool=pool, what=what: _pool(what, pool, params.seed, files))  # type: ignore[misc]


def _pool(what: str, pool: Pool, seed: int, files: bool) -> Check:
    path = pool_path(pool)
    size = _Size.of(path, SUFFIXES.get(pool.kind, ("",)))
    if not size.files:
        return Check(what, "not ok", f"no {pool.kind} at {path}", "put the images there, or change sample.pools")

    def listing() -> Listing:
        with HashCache(paths.pool_hashes()) as known:
            return list_pool(list_offers(pool, seed, known))

    return _pinned(what, pinned_pool(pool), size, files, listing)


def check_benchmarks(params: Params, files: bool) -> Iterator[Check]:
    for source in params.chosen.benchmark.sources:
        if source.kind != "rendered":
            what = f"benchmark {source.name or source.kind}"
            yield tried(what, lambda source=source, what=what: _source(what, source, files))  # type: ignore[misc]


def _source(what: str, source: BenchmarkSource, files: bool) -> Check:
    path = source_path(source)
    if not path.exists():
        raise TableError(f"no file or folder {path}", "look at the source's path in the benchmark section of params")
    if next(importer_of(source).read(path, source), None) is None:
        raise TableError(f"{path} holds no item", "see docs/benchmarks.md for what a source must hold")

    def listing() -> Listing:
        with HashCache(paths.pool_hashes()) as known:
            return list_source(source, known)

    return _pinned(what, pinned_source(source), _Size.of(path, ("",)), files, listing)


@dataclass(frozen=True)
class _Size:
    """Of the files at a place, as far as they are counted. `whole`: all were."""

    files: int
    bytes: int
    whole: bool

    @classmethod
    def of(cls, path: Path, suffixes: tuple[str, ...]) -> "_Size":
        count = total = 0
        places = [str(path)] if path.is_file() else walk_files(str(path)) if path.is_dir() else []
        for place in places:
            if place.lower().endswith(suffixes):
                if count == COUNTED:
                    return cls(count, total, False)
                count += 1
                with suppress(OSError):  # a broken link is a row with its reason in `sample`
                    total += Path(place).stat().st_size
        return cls(count, total, True)

    def __str__(self) -> str:
        return f"{self.files:,} files, {self.bytes / 1e6:,.1f} MB" if self.whole else f"over {self.files:,} files"


def _pinned(what: str, part: Pinned, size: _Size, files: bool, listing: Callable[[], Listing]) -> Check:
    """Its version against the one in params; files of many bytes are read only where that was asked for."""
    if part.version is None:
        return Check(what, "note", f"{size}; not pinned: DVC doesn't see when its files change", part.command)
    if not files and (not size.whole or size.bytes > READ_BYTES):
        return Check(what, "ok", f"{size}; pinned, its files were not read (`--files` does)")
    require_version(part, listing())
    return Check(what, "ok", f"{size}; as pinned")
