"""The version of files that lie outside the repository: params.yaml may pin it, and what has changed since is told.

DVC doesn't see such files change. A version is `<entries>-<digest>`: the number of pictures or files, and the sha256
(its first 32 hex digits) over the place, size and content hash of each. Neither the path of the whole nor the order of
its files is part of it. A listing of 16 bytes an entry is kept beside the hashes to describe changes; without it only
the numbers can be compared.
"""

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from r2i.core import paths
from r2i.core.disk import DiskError, new_file
from r2i.core.errors import R2IError

LISTED = np.dtype([("place", "<u8"), ("content", "<u8")])  # hashes of an entry's place, and of all that is listed of it


class Entry(NamedTuple):
    """One picture or file. `place`: in the whole. `size`: bytes; None: not known. `content`: its sha256, or why it
    can't be read."""

    place: str
    size: int | None
    content: str


@dataclass(frozen=True)
class Listing:
    """What lies there now: its version, and a record (LISTED) of each of its entries, sorted."""

    version: str
    entries: NDArray[np.void]


class Pinned(NamedTuple):
    """A part of params that a version may pin. `what`: how it is called, in text and as r2i's command: `pool`."""

    what: str
    name: str
    version: str | None

    @property
    def command(self) -> str:
        return f"`r2i {self.what} version {self.name} --write`"


def list_entries(entries: Iterable[Entry]) -> Listing:
    """The listing of all of them."""
    digest = hashlib.sha256()

    def listed() -> Iterator[tuple[int, int]]:
        for entry in sorted(entries, key=lambda entry: entry.place):
            line = f"{entry.place}\0{-1 if entry.size is None else entry.size}\0{entry.content}\0"
            digest.update(line.encode())
            yield _short(entry.place), _short(line)

    found = np.fromiter(listed(), LISTED)
    return Listing(f"{len(found)}-{digest.hexdigest()[:32]}", np.sort(found))


def _short(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def require_version(part: Pinned, now: Listing) -> None:
    """Raise R2IError where `now` is not what params pin; say on stderr where they pin nothing."""
    if part.version not in (None, now.version):
        raise R2IError(
            f"{part.what} {part.name!r} has changed since it was pinned: {describe_change(part.version or '', now)}",
            f"put it back, or take it as it is: {part.command}",
        )
    if part.version is None:
        print(
            f"{part.what} {part.name} is not pinned, and DVC doesn't see when its files change: {part.command}",
            file=sys.stderr,
        )
    keep_listing(now)


def tell_version(part: Pinned, now: Listing, pin: Callable[[str], None] | None) -> str:
    """A line about the version, which `pin` writes to params where they say another; None: nothing is written."""
    if part.version is None:
        state = "not pinned"
    else:
        state = "as pinned" if part.version == now.version else f"pinned: {describe_change(part.version, now)}"
    if pin and part.version != now.version:
        pin(now.version)
        state += "; written"
    if pin or part.version is None:
        keep_listing(now)
    return f"{part.name}: {now.version} ({state})"


def describe_change(pinned: str, now: Listing) -> str:
    """What has changed: `3 added, 1 removed, 2 changed`, or `1,200 then, 1,202 now` without a listing."""
    before = _read_listing(pinned)
    if before is None:
        count = pinned.partition("-")[0]
        then = f"{int(count):,}" if count.isdecimal() else "others"
        return f"{then} then, {len(now.entries):,} now"
    places_before, places_now = before["place"], now.entries["place"]
    same = np.isin(now.entries, before).sum()
    both = np.isin(places_now, places_before).sum()
    return f"{len(places_now) - both:,} added, {len(places_before) - both:,} removed, {both - same:,} changed"


def _listing_file(version: str) -> Path:
    return paths.pool_listings() / f"{hashlib.sha256(version.encode()).hexdigest()[:32]}.npy"


def keep_listing(listing: Listing) -> None:
    """Keep a listing to describe later changes; where it can't be written, nothing happens."""
    file = _listing_file(listing.version)
    if file.exists():
        return
    with suppress(OSError, DiskError), new_file(file) as part, part.open("wb") as out:
        np.save(out, listing.entries)


def _read_listing(version: str) -> NDArray[np.void] | None:
    try:
        entries = np.load(_listing_file(version), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return entries if entries.dtype == LISTED else None
