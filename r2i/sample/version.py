"""Which images a pool held when its `version` was written to params.yaml, and what has changed since.

A version is `<images>-<digest>`: how many images the pool offers, and the sha256 (its first 32 hex digits) over the
place, size and content hash of each. Where the pool lies and in which order it is listed is no part of it. A listing
of 16 bytes an image is kept for the message, beside the hashes; without it only the numbers can be compared.
"""

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from r2i.core import paths
from r2i.core.disk import DiskError, new_file
from r2i.core.errors import R2IError
from r2i.core.params import Pool
from r2i.sample.pools import Offer

LISTED = np.dtype([("place", "<u8"), ("content", "<u8")])  # of one image: where it lies, what it holds


@dataclass(frozen=True)
class Listing:
    """A pool as it is now. `images`: LISTED, in order."""

    version: str
    images: NDArray[np.void]


def list_pool(offers: Iterable[Offer]) -> Listing:
    """Of all offers of one pool; pictures that can't be read count by their place."""
    digest = hashlib.sha256()

    def images() -> Iterator[tuple[int, int]]:
        for offer in sorted(offers, key=lambda offer: offer.member):
            line = f"{offer.member}\0{-1 if offer.size is None else offer.size}\0{offer.fault or offer.image_id}\0"
            digest.update(line.encode())
            yield _short(offer.member), _short(line)

    listed = np.fromiter(images(), LISTED)
    return Listing(f"{len(listed)}-{digest.hexdigest()[:32]}", np.sort(listed))


def _short(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def require_versions(pools: Iterable[Pool], offers: Mapping[str, Sequence[Offer]]) -> dict[str, dict[str, Any]]:
    """By pool of files, for the metrics: its `version` as found, and whether params pin it. `offers`: by pool.

    Raises R2IError where params name another version; says so where they name none.
    """
    found = {}
    for pool in pools:
        if pool.kind == "rendered":
            continue
        listing = list_pool(offers[pool.name])
        if pool.version not in (None, listing.version):
            raise R2IError(
                f"pool {pool.name!r} has changed since it was pinned: {describe_change(pool.version, listing)}",
                f"put it back, or take it as it is: `r2i pool version {pool.name} --write`",
            )
        if pool.version is None:
            print(
                f"pool {pool.name} is not pinned, and DVC doesn't see when its files change: "
                f"`r2i pool version {pool.name} --write`",
                file=sys.stderr,
            )
        keep_listing(listing)
        found[pool.name] = {"version": listing.version, "pinned": pool.version is not None}
    return found


def describe_change(pinned: str, found: Listing) -> str:
    """`3 added, 1 removed, 2 changed`; without the listing of `pinned`: `1,200 images then, 1,202 now`."""
    before = _read_listing(pinned)
    if before is None:
        count = pinned.partition("-")[0]
        then = f"{int(count):,}" if count.isdecimal() else "other"
        return f"{then} images then, {len(found.images):,} now"
    was, now = before["place"], found.images["place"]
    stayed = np.isin(found.images, before).sum()
    both = np.isin(now, was).sum()
    return f"{len(now) - both:,} added, {len(was) - both:,} removed, {both - stayed:,} changed"


def _listing_file(version: str) -> Path:
    return paths.pool_listings() / f"{hashlib.sha256(version.encode()).hexdigest()[:32]}.npy"


def keep_listing(listing: Listing) -> None:
    """For the message alone: where it can't be written there is none."""
    file = _listing_file(listing.version)
    if file.exists():
        return
    with suppress(OSError, DiskError), new_file(file) as part, part.open("wb") as out:
        np.save(out, listing.images)


def _read_listing(version: str) -> NDArray[np.void] | None:
    try:
        found = np.load(_listing_file(version), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.dtype == LISTED else None
