"""Strata of a benchmark by how much its crops enlarge their regions."""

NATIVE, TWOFOLD, OTHER, UNKNOWN = "native", "twofold", "other", "unknown"
STRATA = (NATIVE, TWOFOLD, OTHER, UNKNOWN)
_NATIVE, _TWOFOLD = (0.75, 1.5), (1.5, 2.5)  # pixels of the crop for one of the region, along a side


def stratum_of(magnification: float | None) -> str:
    """`unknown`: no crop, no box, or a crop that shows something else than the box."""
    if magnification is None:
        return UNKNOWN
    if _NATIVE[0] <= magnification < _NATIVE[1]:
        return NATIVE
    return TWOFOLD if _TWOFOLD[0] <= magnification < _TWOFOLD[1] else OTHER
