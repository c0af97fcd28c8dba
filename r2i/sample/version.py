"""The versions of the pools of files, which params.yaml may pin (r2i.importing.version)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from r2i.core.params import Pool
from r2i.importing.version import Entry, Listing, Pinned, list_entries, require_version
from r2i.sample.pools import Offer


def list_pool(offers: Iterable[Offer]) -> Listing:
    """The listing of all images that one pool offers. Those that can't be read count by their member alone."""
    return list_entries(Entry(offer.member, offer.size, offer.fault or offer.image_id) for offer in offers)


def pinned_pool(pool: Pool) -> Pinned:
    return Pinned("pool", pool.name, pool.version)


def require_versions(pools: Iterable[Pool], offers: Mapping[str, Sequence[Offer]]) -> dict[str, dict[str, Any]]:
    """Check the versions that params pin; for the metrics, each pool's `version` and whether it is `pinned`.

    `offers`: by pool; rendered pools are left out. Raises R2IError where a pool has another version than the pinned
    one; says on stderr where none is pinned.
    """
    versions = {}
    for pool in pools:
        if pool.kind != "rendered":
            listing = list_pool(offers[pool.name])
            require_version(pinned_pool(pool), listing)
            versions[pool.name] = {"version": listing.version, "pinned": pool.version is not None}
    return versions
