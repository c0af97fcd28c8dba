"""What the pools offer: rendered scenes, and every file of a folder."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from r2i.errors import R2IError
from r2i.ids import make_id
from r2i.images import jpeg_bytes, sha256
from r2i.mini.world import Thing, render_scene
from r2i.params import Pool

TRAIN_SCENES = 1  # second word of every seed; the benchmark draws its scenes with another


@dataclass(frozen=True)
class Offer:
    """One picture of a pool, not decoded yet.

    `load` gives the source file's bytes or raises OSError. `things`: what a rendered scene shows.
    """

    image_id: str
    source: str
    pool: str
    load: Callable[[], bytes]
    things: tuple[Thing, ...] = ()


def list_offers(pool: Pool, seed: int) -> Iterator[Offer]:
    """All pictures of one pool. Raises R2IError where a folder is missing or holds no file."""
    if pool.kind == "rendered":
        yield from _rendered(pool, seed)
    else:
        yield from _folder(pool)


def _rendered(pool: Pool, seed: int) -> Iterator[Offer]:
    for number in range(pool.scenes or 0):
        scene = render_scene(np.random.default_rng([seed, TRAIN_SCENES, number]))
        data = jpeg_bytes(scene.image)
        yield Offer(sha256(data), f"{pool.name}/{number}", pool.name, partial(bytes, data), scene.things)


def _folder(pool: Pool) -> Iterator[Offer]:
    root = Path(pool.path or "")
    if not root.is_dir():
        raise R2IError(f"pool {pool.name!r}: no folder {root}", "put the images there or change sample.pools")
    found = False
    for path in sorted(_walk(root)):
        found = True
        # a file name need not be UTF-8, a table's text must be
        relative = os.fsencode(path.relative_to(root)).decode("utf-8", "backslashreplace")
        source = f"{pool.name}/{relative}"
        yield Offer(_file_id(path, source), source, pool.name, partial(_read, path))
    if not found:
        raise R2IError(f"pool {pool.name!r}: no file in {root}", "put images there or change sample.pools")


def _walk(root: Path) -> Iterator[Path]:
    """Every file below `root`; linked folders are followed, each real folder once (links may loop)."""
    entered = {os.path.realpath(root)}
    closed: list[Path] = []
    for folder, below, files in os.walk(root, followlinks=True, onerror=lambda e: closed.append(Path(e.filename))):
        below.sort()
        kept = []
        for name in below:
            real = os.path.realpath(Path(folder, name))
            if real not in entered:
                entered.add(real)
                kept.append(name)
        below[:] = kept
        yield from (Path(folder, name) for name in files)
    yield from closed  # a folder that may not be read becomes one unreadable row


def _read(path: Path) -> bytes:
    if not path.is_file():  # a broken link, a folder without permission, a pipe that would block
        raise OSError(f"{path} is not a file that can be read")
    return path.read_bytes()


def _file_id(path: Path, source: str) -> str:
    """sha256 of the file's bytes; where they can't be read, of where they should be."""
    try:
        if path.is_file():
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        pass
    return hashlib.sha256(make_id("unreadable", source).encode()).hexdigest()
