"""List the images of the pools: rendered scenes, files of a folder, members of tars, rows of Parquet files."""

import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from r2i.core.errors import R2IError
from r2i.core.ids import make_id
from r2i.core.images import jpeg_bytes, sha256
from r2i.core.params import Pool
from r2i.core.photos import name_text, pool_path, pool_root
from r2i.importing.hash_cache import HashCache, ImageEntry
from r2i.mini.world import Thing, render_scene
from r2i.sample.files import SUFFIXES, is_compressed, read_entries, walk_files
from r2i.sample.truth import TRUTH_FILE, ShownText, read_truth

TRAIN_SCENES = 1  # second word of every seed; the benchmark draws its scenes with another
THREADS = 16  # that hash files; they mostly wait for the disk
LOOKED_UP = 500  # files at once in the cache


@dataclass(frozen=True, slots=True)
class Offer:
    """One image that a pool offers, not decoded yet: `pool`, `member`, `start`, `size` as in records.IMAGES.

    `fault`: why it can't be read, known from the listing. `compressed`: the path of the compressed tar, in whose
    uncompressed bytes `start` counts. `data`: bytes of a rendered scene, which no file holds. `things`: what it shows,
    or what the folder's truth.jsonl says of the image.
    """

    image_id: str
    pool: str
    member: str
    start: int | None = None
    size: int | None = None
    fault: str = ""
    compressed: str = ""
    data: bytes | None = None
    things: tuple[Thing | ShownText, ...] = ()

    @property
    def source(self) -> str:
        return f"{self.pool}/{self.member}"


def list_offers(pool: Pool, seed: int, cache: HashCache | None = None) -> Iterator[Offer]:
    """All images of one pool. `cache`: hashes of files that have not changed since.

    Raises R2IError where the pool is missing or holds no image, or a Parquet file has no such column.
    """
    if pool.kind == "rendered":
        yield from _rendered(pool, seed)
        return
    what = {"folder": "file", "tar": "tar", "parquet": "Parquet file"}[pool.kind]
    paths = _paths(pool)
    truth = read_truth(pool_path(pool)) if pool.kind == "folder" else {}
    if not paths:
        raise R2IError(f"pool {pool.name!r}: no {what} in {pool_path(pool)}", "put images there or change sample.pools")
    is_empty, root = True, pool_root(pool)
    for path, entries in _hash(paths, pool, cache):
        for offer in _offers(path, entries, pool, root):
            is_empty = False
            yield replace(offer, things=truth[offer.member]) if offer.member in truth else offer
    if is_empty:
        raise R2IError(f"pool {pool.name!r}: no image in {pool_path(pool)}", "put images there or change sample.pools")


def _rendered(pool: Pool, seed: int) -> Iterator[Offer]:
    for number in range(pool.scenes or 0):
        scene = render_scene(np.random.default_rng([seed, TRAIN_SCENES, number]))
        data = jpeg_bytes(scene.image)
        yield Offer(sha256(data), pool.name, str(number), size=len(data), data=data, things=scene.things)


def _paths(pool: Pool) -> list[str]:
    root = pool_path(pool)
    if pool.kind != "folder" and root.is_file():
        return [str(root)]
    if not root.is_dir():
        kind = "folder" if pool.kind == "folder" else f"{pool.kind} file or folder of such"
        raise R2IError(f"pool {pool.name!r}: no {kind} {root}", "put the images there or change sample.pools")
    suffixes = SUFFIXES.get(pool.kind, ("",))
    known = str(root / TRUTH_FILE)
    return [path for path in walk_files(str(root)) if path.lower().endswith(suffixes) and path != known]


class _HashJob(NamedTuple):
    """A file whose entries are in the cache, or are being read."""

    path: str
    stat: os.stat_result | None
    cached: list[ImageEntry] | None
    future: Future[list[ImageEntry]] | None


def _hash(paths: list[str], pool: Pool, cache: HashCache | None) -> Iterator[tuple[str, list[ImageEntry]]]:
    """The entries of each file, in the order of `paths`; files that changed are hashed in threads."""
    variant = {"parquet": f"parquet:{pool.column}", "tar": "tar:links"}.get(pool.kind, pool.kind)
    ahead: deque[_HashJob] = deque()
    stop = threading.Event()
    with ThreadPoolExecutor(THREADS, "hash") as threads:
        try:
            for path, stat, entries in _looked_up(paths, variant, cache):
                future = threads.submit(read_entries, path, pool, stop) if entries is None else None
                ahead.append(_HashJob(path, stat, entries, future))
                while len(ahead) > 4 * THREADS:
                    yield _take(ahead.popleft(), variant, cache)
            while ahead:
                yield _take(ahead.popleft(), variant, cache)
        finally:
            stop.set()
            threads.shutdown(cancel_futures=True)


def _looked_up(
    paths: list[str], variant: str, cache: HashCache | None
) -> Iterator[tuple[str, os.stat_result | None, list[ImageEntry] | None]]:
    """Each path with what the cache knows of it."""
    for start in range(0, len(paths), LOOKED_UP):
        files = [(path, _stat(path)) for path in paths[start : start + LOOKED_UP]]
        there = [(path, stat) for path, stat in files if stat]
        known = iter(cache.find_all(there, variant) if cache else [])
        for path, stat in files:
            yield path, stat, next(known, None) if stat else None


def _take(job: _HashJob, variant: str, cache: HashCache | None) -> tuple[str, list[ImageEntry]]:
    if job.future is None:
        return job.path, job.cached or []
    entries = job.future.result()
    if cache and job.stat and not any(entry.fault for entry in entries):
        cache.add(job.path, variant, job.stat, entries)
    return job.path, entries


def _stat(path: str) -> os.stat_result | None:
    try:
        return Path(path).stat()
    except OSError:
        return None


def _offers(path: str, entries: list[ImageEntry], pool: Pool, root: Path) -> Iterator[Offer]:
    inside = path.removeprefix(f"{root}/")
    name = name_text(inside if inside != path else os.path.relpath(path, root))
    if pool.kind != "folder":
        name = name.replace("!", "\\x21")  # ! ends the file's name
    readable = not all(entry.fault for entry in entries)
    compressed = path if pool.kind == "tar" and readable and is_compressed(path) else ""
    for entry in entries:
        member = f"{name}!{entry.name}" if entry.name else name
        if entry.fault:  # an id of where the image should be
            image_id = sha256(make_id("unreadable", f"{pool.name}/{member}").encode())
            yield Offer(image_id, pool.name, member, size=entry.size, fault=entry.fault)
        else:
            yield Offer(entry.sha256, pool.name, member, entry.start, entry.size, compressed=compressed)
