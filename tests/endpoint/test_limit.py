import asyncio
import heapq
import random

import pytest

from r2i.endpoint.limit import START, AdaptiveLimit


def simulate(limit: AdaptiveLimit, calls: int, capacity: int, refuse: bool = False, speedup: float = 0.0) -> float:
    """Seconds of a simulated clock that `calls` take on a server of that capacity; it queues, or refuses beyond it.

    `speedup`: how much a full server is slower for each call, as batching makes it (0: not at all).
    """
    rng = random.Random(0)
    now, begun, served, free = 0.0, 0, 0, [0.0] * capacity
    running: list[tuple[float, float, int, bool]] = []  # end, start, epoch, refused
    while served < calls:
        while begun - served < calls and limit.in_flight < int(limit.limit) and begun < calls:
            limit._enter()
            begun += 1
            if refuse and len(running) >= capacity:
                heapq.heappush(running, (now + 0.01, now, limit.epoch, True))
                continue
            load = 1 + speedup * min(len(running), capacity)
            start = max(now, heapq.heappop(free))
            end = start + load * rng.lognormvariate(0, 0.5)
            heapq.heappush(free, end)
            heapq.heappush(running, (end, now, limit.epoch, False))
        now, start, epoch, refused = heapq.heappop(running)
        if refused:
            limit.note_overload(epoch)
            begun -= 1  # it will be tried again
        else:
            served += 1
            limit.note_success(now - start, now)
        limit.release()
    return now


@pytest.mark.parametrize("capacity", [16, 64, 256])
def test_a_queueing_server_is_kept_full(capacity: int) -> None:
    limit = AdaptiveLimit(1024)
    calls = 30 * capacity
    seconds = simulate(limit, calls, capacity)
    assert seconds <= 1.15 * calls * 1.1331 / capacity + 6  # exp(0.125): the mean of the latencies
    assert limit.limit < 4 * max(capacity, START)  # it does not grow without bound where nothing is gained


def test_a_refusing_server_is_kept_busy_without_a_storm_of_refusals() -> None:
    limit = AdaptiveLimit(1024)
    seconds = simulate(limit, 3000, 64, refuse=True)
    assert seconds <= 1.5 * 3000 * 1.1331 / 64 + 6
    assert limit.limit <= 2 * 64


def test_a_server_that_batches_is_worth_more_calls_though_each_is_slower() -> None:
    limit = AdaptiveLimit(512)
    simulate(limit, 8000, 256, speedup=1 / 64)  # five times as slow when full, and still faster in all
    assert limit.peak > 200


def test_only_the_first_failure_of_an_epoch_cuts() -> None:
    limit = AdaptiveLimit(100, start=100)
    for _ in range(50):
        limit.note_overload(0)
    assert limit.limit == 70
    limit.note_overload(1)
    assert limit.limit == pytest.approx(49)


def test_the_limit_never_falls_below_one() -> None:
    limit = AdaptiveLimit(100)
    for epoch in range(100):
        limit.note_overload(epoch)
    assert limit.limit == 1


def test_places_are_given_in_order_and_a_cancelled_wait_takes_none() -> None:
    async def scene() -> list[str]:
        limit, seen = AdaptiveLimit(1), []
        await limit.acquire()

        async def enter(name: str) -> None:
            await limit.acquire()
            seen.append(name)
            limit.release()

        tasks = [asyncio.create_task(enter(name)) for name in "abcd"]
        await asyncio.sleep(0)
        tasks[1].cancel()
        limit.release()
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (limit.in_flight, list(limit.waiting)) == (0, [])
        return seen

    assert asyncio.run(scene()) == ["a", "d"]
