"""The version of a pool, which params.yaml may pin, and what has changed since it was pinned.

A version is `<images>-<digest>`: the number of images, and the sha256 (its first 32 hex digits) over the member, size
and content hash of each. Neither the pool's path nor the order of its files is part of it. A listing of 16 bytes an
image is kept beside the hashes to describe changes; without it only the numbers can be compared.
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

LISTED = np.dtype(
    [("place", "<u8"), ("content", "<u8")]
)  # hashes of an image's member, and of its member, size and content


@dataclass(frozen=True)
class PoolListing:
    """A pool as it is now: its version, and a record (LISTED) of each of its images, sorted."""

    version: str
    images: NDArray[np.void]


def list_pool(offers: Iterable[Offer]) -> PoolListing:
    """The listing of all images that one pool offers. Those that can't be read count by their member alone."""
    digest = hashlib.sha256()

    def images() -> Iterator[tuple[int, int]]:
        for offer in sorted(offers, key=lambda offer: offer.member):
            line = f"{offer.member}\0{-1 if offer.size is None else offer.size}\0{offer.fault or offer.image_id}\0"
            digest.update(line.encode())
            yield _short(offer.member), _short(line)

    listed = np.fromiter(images(), LISTED)
    return PoolListing(f"{len(listed)}-{digest.hexdigest()[:32]}", np.sort(listed))


def _short(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def require_versions(pools: Iterable[Pool], offers: Mapping[str, Sequence[Offer]]) -> dict[str, dict[str, Any]]:
    """Check the versions that params pin; for the metrics, each pool's `version` and whether it is `pinned`.

    `offers`: by pool; rendered pools are left out. Raises R2IError where a pool has another version than the pinned
    one; warns where none is pinned.
    """
    versions = {}
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
        versions[pool.name] = {"version": listing.version, "pinned": pool.version is not None}
    return versions


def describe_change(pinned: str, now: PoolListing) -> str:
    """What has changed: `3 added, 1 removed, 2 changed`, or `1,200 images then, 1,202 now` without a listing."""
    before = _read_listing(pinned)
    if before is None:
        count = pinned.partition("-")[0]
        then = f"{int(count):,}" if count.isdecimal() else "other"
        return f"{then} images then, {len(now.images):,} now"
    places_before, places_now = before["place"], now.images["place"]
    same = np.isin(now.images, before).sum()
    both = np.isin(places_now, places_before).sum()
    return f"{len(places_now) - both:,} added, {len(places_before) - both:,} removed, {both - same:,} changed"


def _listing_file(version: str) -> Path:
    return paths.pool_listings() / f"{hashlib.sha256(version.encode()).hexdigest()[:32]}.npy"


def keep_listing(listing: PoolListing) -> None:
    """Keep a listing to describe later changes; where it can't be written, nothing happens."""
    file = _listing_file(listing.version)
    if file.exists():
        return
    with suppress(OSError, DiskError), new_file(file) as part, part.open("wb") as out:
        np.save(out, listing.images)


def _read_listing(version: str) -> NDArray[np.void] | None:
    try:
        images = np.load(_listing_file(version), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return images if images.dtype == LISTED else None
