"""Benchmark images among the training images: a model may have learned what it is asked about.

Three findings, the surest first: the same file (sha256), the same pixels (hash of what is decoded), nearly the same
picture (perceptual hash). Only images of training rows count, not all that were sampled. Of rows that came from
elsewhere (train.rows) there are only the pictures that they show: whole, with a box, or a crop.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from r2i.core import paths
from r2i.core.errors import ImageError
from r2i.core.images import jpeg_bytes, perceptual_hash, read_image, read_size
from r2i.core.params import Params
from r2i.core.photos import REFERENCE, Photos
from r2i.core.records import BENCHMARK, IMAGES, OK, TRAIN
from r2i.core.tables import Row, iter_rows

SAME_BITS = 4  # hashes of the same pixels agree but for these: a large photograph is hashed from a reduced decode
_ITEM = ("item_id", "image_id", "image", "phash", "status")
_SIZE = ("image_id", "phash", "width", "height", "status")
Pictures = Callable[[set[str]], Iterable[tuple[str, bytes]]]


@dataclass(frozen=True)
class _Seen:
    """The training images: ids, hashes (N,) with which of them are known (N,), and sizes in pixels (N, 2)."""

    ids: list[str]
    hashes: npt.NDArray[np.uint64]
    hashed: npt.NDArray[np.bool_]
    sizes: npt.NDArray[np.int32]


@dataclass
class _Asked:
    """A benchmark image: its items, how it was found, and what training images may have its pixels."""

    items: list[str]
    nearest: int = 65  # bits to the nearest training image, of 64; more: there is none
    alike: list[str] = field(default_factory=list)
    looks: set[str] = field(default_factory=set)
    found: str = ""


def contamination(run: Params, bits: int, table: Path | None = None) -> dict[str, Any] | None:
    """`overlap` of the benchmark in `data/` with the images of the rows that were trained on.

    `bits`: benchmark.contamination_bits of params. `table`: the one that train.rows names; None: the rows of this run's
    `overlay`, and then the result is None where the profile has no `overlay`, or it has not got so far.

    Raises TableError where a table is missing, or an image that has to be compared can't be read.
    """
    items = iter_rows(paths.BENCHMARK, BENCHMARK, "benchmark", list(_ITEM))
    if table:
        return overlap(items, _shown(table), bits, lambda wanted: (one for one in _pictures(table) if one[0] in wanted))
    if not (run.chosen.has("overlay") and paths.IMAGES.is_dir() and paths.TRAIN.is_dir()):
        return None
    trained = {
        row["image_id"] for row in iter_rows(paths.TRAIN, TRAIN, "overlay", ["image_id", "status"]) if _is_ok(row)
    }

    def images(columns: Iterable[str]) -> Iterable[Row]:
        found = iter_rows(paths.IMAGES, IMAGES, "sample", list(columns))
        return (row for row in found if row["image_id"] in trained)

    photos = Photos.of(run)
    references = list(dict.fromkeys([*REFERENCE, *_SIZE]))

    def pictures(wanted: set[str]) -> Iterable[tuple[str, bytes]]:
        return ((row["image_id"], photos.jpeg(row)) for row in images(references) if row["image_id"] in wanted)

    return overlap(items, images(_SIZE), bits, pictures)


def _pictures(table: Path) -> Iterator[tuple[str, bytes]]:
    """Each picture of a table of train rows once, by its image's id; further pictures of that image have a number."""
    seen: dict[str, dict[bytes, int]] = defaultdict(dict)
    for row in iter_rows(table, TRAIN, "overlay", ["image_id", "image", "status"]):
        if _is_ok(row):
            digest, known = hashlib.sha256(row["image"]).digest(), seen[row["image_id"]]
            if digest not in known:
                known[digest] = len(known)
                yield row["image_id"] + (f"/{known[digest]}" if known[digest] else ""), row["image"]


def _shown(table: Path) -> Iterator[Row]:
    """As rows of records.IMAGES, columns _SIZE; what can't be decoded can't be trained on either."""
    pictures = _pictures(table)
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # decoding leaves Python's lock
        while chunk := list(islice(pictures, 64)):
            yield from (row for row in threads.map(_look_at, chunk) if row)


def _look_at(picture: tuple[str, bytes]) -> Row | None:
    try:
        image = read_image(picture[1])
    except ImageError:
        return None
    size = {"width": image.width, "height": image.height}
    return {"image_id": picture[0], "phash": perceptual_hash(image), **size, "status": OK}


def overlap(
    items: Iterable[Mapping[str, Any]],
    images: Iterable[Mapping[str, Any]],
    bits: int,
    pictures: Pictures,
) -> dict[str, Any]:
    """Which benchmark items show an image that is, or nearly is, a training image.

    `items`: rows of records.BENCHMARK (columns item_id, image_id, image, phash, status). `images`: rows of
    records.IMAGES (image_id, phash, width, height, status). `bits`: perceptual hashes that differ in at most so many
    of 64 bits are one picture; -1: only the same bytes or pixels are. `pictures`: the JPEG of each image_id asked
    for; few are, those whose size and hash agree with an item's.

    Returns `same_bytes`, `same_pixels`, `near`: items by the surest finding, each counted once; `items`: their
    ids, sorted; `share` of the items that were `checked`; `images`: training images looked at.
    """
    seen = _collect_images(images)
    asked = _collect_items(items, seen)
    known = set(seen.ids)
    for image_id, one in asked.items():
        one.found = "same_bytes" if image_id in known else "near" if one.nearest <= bits else ""
    _find_same_pixels(asked, pictures)
    return _report(asked, len({name.partition("/")[0] for name in seen.ids}), bits)


def _is_ok(row: Mapping[str, Any]) -> bool:
    return bool(row["status"] == OK)


def _collect_images(images: Iterable[Mapping[str, Any]]) -> _Seen:
    kept = [(row["image_id"], row["phash"], row["width"], row["height"]) for row in images if _is_ok(row)]
    hashes = np.array([int(phash or "0", 16) for _, phash, _, _ in kept], np.uint64)
    hashed = np.array([bool(phash) for _, phash, _, _ in kept], np.bool_)
    sizes = np.array([size for _, _, *size in kept], np.int32).reshape(-1, 2)
    return _Seen([image_id for image_id, *_ in kept], hashes, hashed, sizes)


def _collect_items(items: Iterable[Mapping[str, Any]], seen: _Seen) -> dict[str, _Asked]:
    """The benchmark's images by id; pictures are let go again."""
    asked: dict[str, _Asked] = {}
    for row in items:
        if not _is_ok(row):
            continue
        if row["image_id"] in asked:
            asked[row["image_id"]].items.append(row["item_id"])
            continue
        one = asked[row["image_id"]] = _Asked([row["item_id"]])
        if not seen.ids:
            continue
        if row["phash"]:
            bits = np.where(seen.hashed, np.bitwise_count(seen.hashes ^ np.uint64(int(row["phash"], 16))), 65)  # (N,)
            one.nearest = int(bits.min())
            alike = bits <= SAME_BITS
        else:  # a plain picture: near to none, but pixels may be the same
            alike = ~seen.hashed
        if alike.any():
            fits = alike & (seen.sizes == read_size(row["image"])).all(axis=1)
            one.alike = [seen.ids[place] for place in np.flatnonzero(fits)]
            one.looks = _looks(row["image"]) if one.alike else set()
    return asked


def _find_same_pixels(asked: Mapping[str, _Asked], pictures: Pictures) -> None:
    """Mark the benchmark's images whose pixels a training image has, unless they are the same file anyway."""
    pairs: dict[str, list[_Asked]] = defaultdict(list)
    for one in asked.values():
        if one.found != "same_bytes":
            for image_id in one.alike:
                pairs[image_id].append(one)
    for image_id, data in pictures(set(pairs)) if pairs else ():
        look = _looks(data)
        for one in pairs[image_id]:
            if look & one.looks:
                one.found = "same_pixels"


def _looks(data: bytes) -> set[str]:
    """Hashes of the pixels of a stored picture, as it is and encoded once more.

    A photograph that came as JPEG is stored as it is, a lossless copy of it as a new JPEG: the second of the one is
    the first of the other.
    """
    image = read_image(data)
    return {_pixel_hash(image), _pixel_hash(read_image(jpeg_bytes(image)))}


def _pixel_hash(image: Image.Image) -> str:
    return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()


def _report(asked: Mapping[str, _Asked], images: int, bits: int) -> dict[str, Any]:
    kinds = ("same_bytes", "same_pixels", "near")
    by_kind = {kind: [item for one in asked.values() if one.found == kind for item in one.items] for kind in kinds}
    overlapping = sorted(item for items in by_kind.values() for item in items)
    checked = sum(len(one.items) for one in asked.values())
    return {
        **{kind: len(items) for kind, items in by_kind.items()},
        "items": overlapping,
        "share": len(overlapping) / checked if checked else 0.0,
        "checked": checked,
        "images": images,
        "bits": bits,
    }
