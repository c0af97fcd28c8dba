"""An exact search for near duplicates that stays fast at millions of hashes.

Cut 64 bits into `bits + 1` bands: two hashes that differ in at most `bits` bits agree in at least one
band (pigeonhole). For each band the hashes lie sorted by it, so that a search compares with those of
five short runs instead of all.
"""

import numpy as np
import numpy.typing as npt

MAX_WIDTH = 16  # bits of a band that are looked up
MAX_SHARE = 0.1  # of the hashes that a lookup may return: with narrower bands all are compared at once
MIN_TAIL = 1024  # hashes added before all are sorted again
Hashes = npt.NDArray[np.uint64]


class NearDuplicates:
    """An index of perceptual hashes (16 hex digits) for searches within `bits` of 64 (-1: no match ever)."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        count = bits + 1
        self.width = min(MAX_WIDTH, 64 // count) if 0 < count <= 64 else 0
        bands = range(count if self.width and count / 2**self.width <= MAX_SHARE else 0)
        self.shifts = [np.uint64(band * (64 // count)) for band in bands]
        self.mask = np.uint64(2**self.width - 1)
        self._hashes: Hashes = np.zeros(1024, np.uint64)
        self._count = self._sorted = 0  # hashes added; how many of them are in the bands
        self._bands: list[tuple[Hashes, npt.NDArray[np.int64]]] = []  # sorted by the band; where each value starts

    def __len__(self) -> int:
        return self._count

    def add(self, phash: str) -> None:
        """Add a hash to the index."""
        if self._count == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.zeros_like(self._hashes)])
        self._hashes[self._count] = int(phash, 16)
        self._count += 1
        if self.shifts and self._count - self._sorted > max(MIN_TAIL, self._sorted // 32):
            self._sort()

    def has_near(self, phash: str) -> bool:
        """Whether a hash in the index differs from `phash` by at most `bits` bits."""
        if self.bits < 0:
            return False
        wanted = np.uint64(int(phash, 16))
        if self._within(self._hashes[self._sorted : self._count], wanted):
            return True
        for shift, (hashes, starts) in zip(self.shifts, self._bands, strict=bool(self._bands)):
            value = int(wanted >> shift & self.mask)
            if self._within(hashes[starts[value] : starts[value + 1]], wanted):
                return True
        return False

    def _within(self, hashes: Hashes, wanted: np.uint64) -> bool:
        return len(hashes) > 0 and int(np.bitwise_count(hashes ^ wanted).min()) <= self.bits

    def _sort(self) -> None:
        hashes = self._hashes[: self._count]
        self._bands = []
        for shift in self.shifts:
            values = (hashes >> shift & self.mask).astype(np.uint16)
            counts = np.bincount(values, minlength=2**self.width)
            starts = np.concatenate([[0], np.cumsum(counts)])
            self._bands.append((hashes[np.argsort(values, kind="stable")], starts))
        self._sorted = self._count
