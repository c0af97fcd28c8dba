"""The seeded choice: go through what the pools offer in an order that depends on ids alone."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any

from r2i.core.ids import make_id
from r2i.core.params import Pool, Sample
from r2i.core.photos import Photos
from r2i.core.progress import track
from r2i.core.records import FAILED, OK, REJECTED
from r2i.core.spool import TarSpool
from r2i.core.tables import Row
from r2i.sample.look import Look, Task
from r2i.sample.near import NearDuplicates
from r2i.sample.pools import Offer
from r2i.sample.workers import Lookers

BROKEN = {"unreadable", "truncated", "decompression_bomb", "changed"}  # could not be processed: failed, not rejected
ALL = ""  # the pool of all pools, where they have no shares


@dataclass
class Choice:
    """`rows`: records.IMAGES, one for every offer looked at; `image` may be a function that reads it.

    `not_needed`: offers never looked at.
    """

    rows: list[Row] = field(default_factory=list)
    truth: list[Row] = field(default_factory=list)  # records.TRUTH, of chosen rendered scenes
    not_needed: int = 0


def rank(offers: Iterable[Offer], seed: int) -> list[Offer]:
    """In the order of a hash of (seed, image_id): the order of `offers` changes nothing.

    The sample is the first k good ones. Adding m images to n puts at most min(k, m) of them among the
    first k, in expectation k * m / (n + m), and moves as many out at the end; all others stay. Removing
    an image that was not among the first k changes nothing. (A near duplicate among those added that
    ranks before an image takes its place as well.)
    """
    return sorted(offers, key=lambda offer: (make_id(seed, offer.image_id), offer.source))


def quotas(pools: Sequence[Pool], images: int) -> dict[str, int]:
    """Most images of each pool by its share, which add up to `images`; {ALL: images} without shares.

    Rounded down, then one more for the largest remainders (the first pools where they are equal). A pool
    that has too few good images leaves its part empty: no pool's sample depends on another's size.
    """
    if not pools or pools[0].share is None:
        return {ALL: images}
    total = sum(pool.share or 0 for pool in pools)
    exact = {pool.name: images * (pool.share or 0) / total for pool in pools}
    counts = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: images - sum(counts.values())]:
        counts[name] += 1
    return counts


def choose_images(offers: Iterable[Offer], cfg: Sample, seed: int, spool: TarSpool) -> Choice:
    """Take the first good pictures in the order of `rank`, until `cfg.images` or each pool's part are taken.

    Of equal or nearly equal pictures the first in that order stays. Once enough are taken the rest is
    only counted. The number of workers changes nothing. Rows can be written while `spool` is open.
    """
    ranked = rank(offers, seed)
    repeated = {later.source for first, later in pairwise(ranked) if first.image_id == later.image_id}
    run = _Run(cfg, spool)
    with Lookers(cfg, sum(offer.data is None for offer in ranked), run.task) as lookers:
        offers_in_order = track(ranked, "sample")
        ahead = lookers.in_order(offers_in_order, lambda offer: run.wants(offer) and offer.source not in repeated)
        for offer, look in ahead:
            run.take(offer, look)
    return run.choice


class _Run:
    """What was taken so far."""

    def __init__(self, cfg: Sample, spool: TarSpool) -> None:
        self.cfg, self.spool, self.photos = cfg, spool, Photos(cfg.pools)
        self.left = quotas(cfg.pools, cfg.images)
        self.choice = Choice()
        self.seen: set[str] = set()
        self.hashes = NearDuplicates(cfg.near_duplicate_bits)

    def task(self, offer: Offer) -> Task:
        """What a process needs to look at `offer`; the JPEG must come back where it is not cheap to read again."""
        data, give = offer.data, False
        if offer.packed:
            data, give = self._unpacked(offer), True  # can't be referred to
        elif data is None and self.cfg.embed:
            give = self.photos.pools[offer.pool].kind == "parquet"
        return Task(offer.image_id, offer.pool, offer.member, offer.start, offer.size, data, give)

    def _unpacked(self, offer: Offer) -> bytes:
        try:
            return self.spool.unpacked(offer.packed, offer.start or 0, offer.size or 0)
        except OSError:
            return b""  # gone since it was listed

    def wants(self, offer: Offer) -> bool:
        return self.left.get(ALL, self.left.get(offer.pool, 0)) > 0 and not offer.fault

    def take(self, offer: Offer, look: Callable[[], Look]) -> None:
        part = ALL if ALL in self.left else offer.pool
        if self.left.get(part, 0) == 0:
            self.choice.not_needed += 1
            return
        row = self._examine(offer, look)
        self.choice.rows.append(row)
        if row["status"] == OK:
            self.left[part] -= 1
            self.choice.truth += truth_rows(offer)

    def _examine(self, offer: Offer, look: Callable[[], Look]) -> Row:
        row: Row = dict.fromkeys(("format", "mode", "width", "height", "phash", "image"))
        row |= {"image_id": offer.image_id, "source": offer.source, "status": OK, "reason": ""}
        row |= {"pool": offer.pool, "member": offer.member, "size": offer.size}
        row |= {"start": None if offer.packed else offer.start}
        if offer.image_id in self.seen:  # a copy needs an id of its own to be a row
            return row | {"image_id": f"{offer.image_id}-{make_id(offer.source)}"} | _drop("duplicate")
        self.seen.add(offer.image_id)
        if offer.fault:
            return row | _drop(offer.fault)
        found = look()
        row |= {name: getattr(found, name) for name in ("format", "mode", "width", "height", "phash")}
        if found.reason:
            return row | _drop(found.reason)
        if self.hashes.has_near(found.phash or ""):
            return row | _drop("near_duplicate")
        self.hashes.add(found.phash or "")
        return row | {"image": self._image(offer, found)}

    def _image(self, offer: Offer, found: Look) -> bytes | Callable[[], bytes] | None:
        """What the table holds: nothing where it can refer to the pool; nothing is held in memory that a file has."""
        if found.image is not None:
            return self.spool.keep(found.image)
        if offer.data is not None:
            return offer.data
        if not self.cfg.embed:
            return None
        return partial(self.photos.checked, offer.image_id, offer.pool, offer.member, offer.start, offer.size)


def _drop(reason: str) -> Row:
    return {"status": FAILED if reason in BROKEN else REJECTED, "reason": reason}


def truth_rows(offer: Offer) -> list[Row]:
    """What a rendered scene shows (records.TRUTH). Nothing but the audit may read it."""
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


def summarise(offers: Sequence[Offer], choice: Choice) -> dict[str, Any]:
    """Offers and kept images of each pool, offers not looked at, and the median size."""
    kept = [row for row in choice.rows if row["status"] == OK]
    offered = Counter(offer.pool for offer in offers)
    taken = Counter(row["pool"] for row in kept)
    return {
        "pools": {pool: {"offered": offered[pool], "ok": taken[pool]} for pool in offered},
        "not_needed": choice.not_needed,
        "median_width": median(row["width"] for row in kept) if kept else None,
        "median_height": median(row["height"] for row in kept) if kept else None,
    }
