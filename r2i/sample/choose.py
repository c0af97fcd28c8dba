"""The seeded choice: go through what the pools offer in an order that depends on ids alone."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from r2i.errors import ImageError
from r2i.ids import make_id
from r2i.images import perceptual_hash, read_image, stored_jpeg
from r2i.params import Sample
from r2i.progress import track
from r2i.records import FAILED, OK, REJECTED
from r2i.sample.pools import Offer
from r2i.tables import Row

BROKEN = {"unreadable", "truncated", "decompression_bomb"}  # could not be processed: failed, not rejected


@dataclass
class Choice:
    """`rows`: records.IMAGES, one for every offer looked at. `not_needed`: offers never looked at."""

    rows: list[Row] = field(default_factory=list)
    truth: list[Row] = field(default_factory=list)  # records.TRUTH, of chosen rendered scenes
    not_needed: int = 0


def choose_images(offers: Iterable[Offer], cfg: Sample, seed: int) -> Choice:
    """Take the first `cfg.images` good pictures in the order of a hash of (seed, image_id).

    The order of `offers` changes nothing. Of equal or nearly equal pictures the first in that order
    stays. Once enough are taken the rest is only counted.
    """
    ranked = sorted(offers, key=lambda offer: (make_id(seed, offer.image_id), offer.source))
    choice = Choice()
    seen: set[str] = set()
    hashes = NearDuplicates(cfg.near_duplicate_bits)
    taken = 0
    for offer in track(ranked, "sample"):
        if taken == cfg.images:
            choice.not_needed += 1
            continue
        row = _examine(offer, cfg, seen, hashes)
        choice.rows.append(row)
        if row["status"] == OK:
            taken += 1
            choice.truth += truth_rows(offer)
    return choice


def _examine(offer: Offer, cfg: Sample, seen: set[str], hashes: "NearDuplicates") -> Row:
    row: Row = dict.fromkeys(("format", "mode", "width", "height", "phash", "image"))
    row |= {"image_id": offer.image_id, "source": offer.source, "status": OK, "reason": ""}
    if offer.image_id in seen:  # a copy needs an id of its own to be a row
        return row | {"image_id": f"{offer.image_id}-{make_id(offer.source)}"} | _drop("duplicate")
    seen.add(offer.image_id)
    try:
        data = offer.load()
        image = read_image(data)
    except OSError:
        return row | _drop("unreadable")
    except ImageError as error:
        return row | _drop(error.cause)
    with Image.open(BytesIO(data)) as header:
        row |= {"format": header.format, "mode": header.mode}
    row |= {"width": image.width, "height": image.height, "phash": perceptual_hash(image)}
    if min(image.size) < cfg.min_side:
        return row | _drop("too_small")
    if max(image.size) > cfg.max_aspect * min(image.size):
        return row | _drop("extreme_aspect")
    if hashes.has_near(row["phash"]):
        return row | _drop("near_duplicate")
    hashes.add(row["phash"])
    return row | {"image": stored_jpeg(data, image)}


def _drop(reason: str) -> Row:
    return {"status": FAILED if reason in BROKEN else REJECTED, "reason": reason}


class NearDuplicates:
    """Perceptual hashes of what was kept, and an exact search within `bits` of 64 (-1: finds nothing)."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self._kept = np.zeros(1024, np.uint64)
        self._count = 0

    def has_near(self, phash: str) -> bool:
        differing = np.bitwise_count(self._kept[: self._count] ^ np.uint64(int(phash, 16)))
        return bool((differing.astype(int) <= self.bits).any())

    def add(self, phash: str) -> None:
        if self._count == len(self._kept):
            self._kept = np.concatenate([self._kept, np.zeros_like(self._kept)])
        self._kept[self._count] = int(phash, 16)
        self._count += 1


def truth_rows(offer: Offer) -> list[Row]:
    """What a rendered scene shows (records.TRUTH). Nothing but the audit may read it."""
    return [
        {
            "thing_id": make_id(offer.image_id, index),
            "image_id": offer.image_id,
            "box": list(thing.box),
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
    pool_of = {offer.source: offer.pool for offer in offers}
    offered = Counter(offer.pool for offer in offers)
    taken = Counter(pool_of[row["source"]] for row in kept)
    return {
        "pools": {pool: {"offered": offered[pool], "ok": taken[pool]} for pool in offered},
        "not_needed": choice.not_needed,
        "median_width": median(row["width"] for row in kept) if kept else None,
        "median_height": median(row["height"] for row in kept) if kept else None,
    }
