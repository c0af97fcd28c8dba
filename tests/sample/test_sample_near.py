"""The search for near duplicates is exact, and stays fast."""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r2i.sample import near
from r2i.sample.near import NearDuplicates

WORDS = st.integers(0, 2**64 - 1)


def index(bits: int, words: list[int]) -> NearDuplicates:
    made = NearDuplicates(bits)
    for word in words:
        made.add(f"{word:016x}")
    return made


@pytest.fixture(scope="module", params=[0, 4, 1024])
def tail(request: pytest.FixtureRequest) -> int:
    """How many hashes wait before all are sorted anew."""
    return int(request.param)


@settings(deadline=None)
@given(
    st.integers(-1, 64),
    st.lists(WORDS, max_size=40),
    st.lists(st.tuples(st.integers(0, 39), st.sets(st.integers(0, 63), max_size=12)), max_size=20),
    st.lists(WORDS, max_size=5),
)
def test_it_finds_what_a_comparison_with_every_hash_finds(
    tail: int, bits: int, words: list[int], moved: list[tuple[int, set[int]]], others: list[int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near, "MIN_TAIL", tail)
        made = NearDuplicates(bits)
        for word in words:
            made.add(f"{word:016x}")
    queries = others + [words[i] ^ sum(1 << bit for bit in flips) for i, flips in moved if i < len(words)]
    for query in queries:
        nearest = min(((query ^ word).bit_count() for word in words), default=65)
        assert made.has_near(f"{query:016x}") == (nearest <= bits)


def test_bits_are_counted() -> None:
    # 0b0111 differs from 0b0000 in 3 bits and from 0b1111 in 1 bit
    hashes = index(1, [0b0000])
    assert not hashes.has_near(f"{0b0111:016x}")
    hashes.add(f"{0b1111:016x}")
    assert hashes.has_near(f"{0b0111:016x}")
    assert hashes.has_near("0" * 16) and not hashes.has_near("f" * 16)


@pytest.mark.parametrize("bits", [0, 1, 4, 8, 9])
def test_every_one_of_many_is_found_from_as_far_as_allowed_and_no_further(bits: int) -> None:
    rng = random.Random(bits)
    words = [rng.getrandbits(64) for _ in range(6000)]
    made = index(bits, words)
    assert len(made) == 6000
    for word in rng.sample(words, 300):  # 6 000 random words lie further apart than 10 bits
        for far, found in ((bits, True), (bits + 1, False)):
            flipped = word ^ sum(1 << bit for bit in rng.sample(range(64), far))
            assert made.has_near(f"{flipped:016x}") == found


def test_a_search_among_many_compares_with_few() -> None:
    rng = random.Random(0)
    words = [rng.getrandbits(64) for _ in range(100_000)]
    made = index(4, words)
    started = time.process_time()
    for _ in range(1000):
        made.has_near(f"{rng.getrandbits(64):016x}")
    # 5 bands of 12 bits: 5 * 100 000 / 4096 = 122 comparisons and a tail of 3 000, not 100 000
    assert time.process_time() - started < 1.0
