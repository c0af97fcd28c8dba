"""Choose images: take the first good ones in an order that depends on the seed and their ids alone."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any

from r2i.core.fingerprint import code_digests, library_versions
from r2i.core.ids import make_id
from r2i.core.images import sha256
from r2i.core.params import Pool, Sample
from r2i.core.photos import Photos
from r2i.core.progress import track
from r2i.core.records import FAILED, OK, REJECTED
from r2i.core.spool import TarSpool
from r2i.core.tables import Row
from r2i.importing.hash_cache import HashCache
from r2i.sample.inspection import Inspection, InspectionTask
from r2i.sample.near import NearDuplicates
from r2i.sample.pools import Offer
from r2i.sample.workers import InspectionPool

BROKEN = {  # could not be processed: failed, not rejected
    "unreadable", "truncated", "decompression_bomb", "changed", "file_too_large", "side_too_long", "unknown_scale",
}  # fmt: skip
REMEDIES = {  # where no image is left
    "": "put other images into the pools (docs/photographs.md says which files are read)",
    "too_small": "lower sample.min_side, or put larger images into the pools",
    "extreme_aspect": "raise sample.max_aspect",
}
INSPECTION = "r2i.sample.inspection"
LIBRARIES = ("imagehash", "numpy", "pillow", "scipy")  # that decide what is seen in an image
ALL_POOLS = ""  # the one quota of pools without shares


@dataclass
class Selection:
    """The images that were chosen, and those that were passed over.

    `rows`: of IMAGES, one for every offer that was inspected; `image` may be a function that reads it. `truth`: rows of
    TRUTH, of the chosen rendered scenes. `not_needed`: offers that were not inspected.
    """

    rows: list[Row] = field(default_factory=list)
    truth: list[Row] = field(default_factory=list)
    not_needed: int = 0


def rank(offers: Iterable[Offer], seed: int) -> list[Offer]:
    """Sort by a hash of (seed, image_id): the order of `offers` changes nothing.

    The sample is the first k good ones. Adding m images to n puts at most min(k, m) of them among the
    first k, in expectation k * m / (n + m), and moves as many out at the end; all others stay. Removing
    an image that was not among the first k changes nothing. (A near duplicate among those added that
    ranks before an image takes its place as well.)
    """
    return sorted(offers, key=lambda offer: (make_id(seed, offer.image_id), offer.source))


def make_quotas(pools: Sequence[Pool], images: int) -> dict[str, int]:
    """The maximum number of images of each pool, by its share of `images`; {ALL_POOLS: images} without shares.

    Rounded down, then one more for the largest remainders (the first pools where they are equal). A pool
    that has too few good images doesn't fill its quota: no pool's sample depends on another's size.
    """
    if not pools or pools[0].share is None:
        return {ALL_POOLS: images}
    total = sum(pool.share or 0 for pool in pools)
    exact = {pool.name: images * (pool.share or 0) / total for pool in pools}
    counts = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: images - sum(counts.values())]:
        counts[name] += 1
    return counts


def choose_images(
    offers: Iterable[Offer], params: Sample, seed: int, spool: TarSpool, cache: HashCache | None = None
) -> Selection:
    """Take the first good images in the order of `rank`, until `params.images` or each pool's quota are taken.

    Of equal or nearly equal images the first in that order stays. Once enough are taken the rest is
    only counted. The number of workers changes nothing. Rows can be written while `spool` is open. `cache`: of
    inspections; an image in it is not decoded again.
    """
    known = KnownInspections(cache, params)
    ranked = rank(offers, seed)
    repeated = {later.source for first, later in pairwise(ranked) if first.image_id == later.image_id}
    selector = _Selector(params, spool)
    with InspectionPool(params, sum(offer.data is None for offer in ranked), selector.make_task) as pool:
        inspected = pool.inspect_in_order(
            track(ranked, "sample"),
            lambda offer: selector.wants(offer) and offer.source not in repeated and not known.has(offer),
        )
        for offer, inspect in inspected:
            selector.take(offer, partial(known.get, offer, inspect))
    return selector.selection


class KnownInspections:
    """Inspections of earlier runs, by the image's sha256 and all that decides about them."""

    def __init__(self, cache: HashCache | None, params: Sample) -> None:
        self.cache, self.found = cache, dict[str, Inspection]()
        rules = [
            params.min_side,
            params.max_aspect,
            params.embed,
            code_digests(INSPECTION),
            library_versions(LIBRARIES),
        ]
        self.rules = sha256(json.dumps(rules, sort_keys=True).encode())

    def has(self, offer: Offer) -> bool:
        """Whether the offer needs no inspection."""
        if self.cache is None or not _is_referred(offer) or offer.fault:
            return False
        if (text := self.cache.find_inspection(offer.image_id, self.rules)) is None:
            return False
        self.found[offer.image_id] = Inspection(**json.loads(text))
        return True

    def get(self, offer: Offer, inspect: Callable[[], Inspection]) -> Inspection:
        """The inspection, from the cache or by `inspect`; a new one is kept where it is about these bytes alone."""
        if offer.image_id in self.found or self.has(offer):
            return self.found.pop(offer.image_id)
        found = inspect()
        own = _is_referred(offer) and found.image is None and found.reason not in ("unreadable", "changed")
        if self.cache and own:
            self.cache.add_inspection(offer.image_id, self.rules, json.dumps(asdict(found)))
        return found


def _is_referred(offer: Offer) -> bool:
    """Whether its bytes lie in the pool: scenes are in memory, compressed members are unpacked anyway."""
    return offer.data is None and not offer.compressed


class _Selector:
    """What was taken so far, and what is still wanted."""

    def __init__(self, params: Sample, spool: TarSpool) -> None:
        self.params, self.spool, self.photos = params, spool, Photos(params.pools)
        self.quotas = make_quotas(params.pools, params.images)  # what is left of them
        self.selection = Selection()
        self.image_ids: set[str] = set()
        self.hashes = NearDuplicates(params.near_duplicate_bits)

    def make_task(self, offer: Offer) -> InspectionTask:
        """What a process needs to inspect `offer`; it returns the JPEG where that is expensive to read again."""
        data, return_jpeg = offer.data, False
        if offer.compressed:
            data, return_jpeg = self._unpacked(offer), True  # can't be referred to
        elif data is None and self.params.embed:
            return_jpeg = self.photos.pools[offer.pool].kind == "parquet"
        return InspectionTask(offer.image_id, offer.pool, offer.member, offer.start, offer.size, data, return_jpeg)

    def _unpacked(self, offer: Offer) -> bytes:
        try:
            return self.spool.unpacked(offer.compressed, offer.start or 0, offer.size or 0)
        except OSError:
            return b""  # gone since it was listed

    def wants(self, offer: Offer) -> bool:
        """Whether the offer, as far as it is known without an inspection, would be taken now."""
        return self.quotas.get(self._quota_of(offer), 0) > 0 and not offer.fault

    def take(self, offer: Offer, inspect: Callable[[], Inspection]) -> None:
        """Add the offer's row, or count it as not needed."""
        quota = self._quota_of(offer)
        if self.quotas.get(quota, 0) == 0:
            self.selection.not_needed += 1
            return
        row = self._row(offer, inspect)
        self.selection.rows.append(row)
        if row["status"] == OK:
            self.quotas[quota] -= 1
            self.selection.truth += truth_rows(offer)

    def _quota_of(self, offer: Offer) -> str:
        return ALL_POOLS if ALL_POOLS in self.quotas else offer.pool

    def _row(self, offer: Offer, inspect: Callable[[], Inspection]) -> Row:
        row: Row = dict.fromkeys(("format", "mode", "width", "height", "phash", "image"))
        row |= {"image_id": offer.image_id, "source": offer.source, "status": OK, "reason": ""}
        row |= {"pool": offer.pool, "member": offer.member, "size": offer.size}
        row |= {"start": None if offer.compressed else offer.start}
        if offer.image_id in self.image_ids:  # a copy needs an id of its own to be a row
            return row | {"image_id": f"{offer.image_id}-{make_id(offer.source)}"} | _drop("duplicate")
        self.image_ids.add(offer.image_id)
        if offer.fault:
            return row | _drop(offer.fault)
        inspection = inspect()
        row |= {"format": inspection.format, "mode": inspection.mode, "phash": inspection.phash}
        row |= {"width": inspection.width, "height": inspection.height}
        if inspection.reason:
            return row | _drop(inspection.reason)
        if inspection.phash:
            if self.hashes.has_near(inspection.phash):
                return row | _drop("near_duplicate")
            self.hashes.add(inspection.phash)
        return row | {"image": self._image(offer, inspection)}

    def _image(self, offer: Offer, inspection: Inspection) -> bytes | Callable[[], bytes] | None:
        """The column `image`: None where the table refers to the pool; a function where a file has the bytes."""
        if inspection.image is not None:
            return self.spool.keep(inspection.image)
        if offer.data is not None:
            return offer.data
        if not self.params.embed:
            return None
        return partial(self.photos.checked, offer.image_id, offer.pool, offer.member, offer.start, offer.size)


def _drop(reason: str) -> Row:
    return {"status": FAILED if reason in BROKEN else REJECTED, "reason": reason}


def truth_rows(offer: Offer) -> list[Row]:
    """Rows of TRUTH: what a rendered scene shows. Nothing but the audit may read them."""
    return [
        {
            "thing_id": make_id(offer.image_id, index),
            "image_id": offer.image_id,
            "box": thing.box,
            "color": thing.color,
            "shape": thing.shape,
            "material": thing.material,
            "mark": thing.mark,
            "value": thing.value,
        }
        for index, thing in enumerate(offer.things)
    ]


def summarise(offers: Sequence[Offer], selection: Selection) -> dict[str, Any]:
    """The metrics of the stage, but for the funnel: offers and ok images of each pool, offers not inspected, sizes."""
    ok = [row for row in selection.rows if row["status"] == OK]
    offered = Counter(offer.pool for offer in offers)
    taken = Counter(row["pool"] for row in ok)
    return {
        "pools": {pool: {"offered": offered[pool], "ok": taken[pool]} for pool in offered},
        "not_needed": selection.not_needed,
        "median_width": median(row["width"] for row in ok) if ok else None,
        "median_height": median(row["height"] for row in ok) if ok else None,
    }
