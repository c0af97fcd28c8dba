"""Ids and seeds: pure functions of what they name, never of an order."""

import hashlib


def make_id(*parts: object) -> str:
    """16 hex digits of the sha256 of the parts, joined by NUL."""
    return hashlib.sha256("\0".join(str(part) for part in parts).encode()).hexdigest()[:16]


def seed_of(*parts: object) -> int:
    """A seed below 2**31 that depends on the parts alone."""
    return int(hashlib.sha256("\0".join(str(part) for part in parts).encode()).hexdigest()[:8], 16) >> 1


def unit_of(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone: for seeded choices per row."""
    return int(hashlib.sha256("\0".join(str(part) for part in parts).encode()).hexdigest()[:13], 16) / 16**13
