"""Limits of one server: calls in flight, requests and tokens a minute."""

import asyncio
from collections import deque
from contextlib import suppress

from aiolimiter import AsyncLimiter

START = 64  # calls in flight before anything is known
STEP = 4.0  # more calls in flight for each window without congestion
CUT_ERROR, CUT_SLOW = 0.7, 0.8  # factor of the limit after an overload, after a rise of latency
MARGIN = 1.5  # times the calls that carry a server's rate at its best latency: what stays after a slow window
TOLERANCE = 2.0  # times the best latency: a window above it is slow
GAIN = 1.1  # times the last window's throughput that makes up for a slower window
FORGET = 1.05  # the best latency grows by this factor each window: the workload changes


class AdaptiveLimit:
    """Calls in flight: additive increase, multiplicative decrease (AIMD), at most `maximum`.

    A window is as many calls as the limit was at its start. From START on the limit doubles with each window until the
    first sign of congestion; from then on it grows by STEP. Signs: a response that says so (429, 503, a
    time-out), and latency. vLLM queues instead of refusing: a window that took over TOLERANCE times the
    best latency without more throughput than the last one is a server that is full. Latency alone proves nothing,
    since a larger batch is slower and still worth it.
    """

    def __init__(self, maximum: int, start: int = START) -> None:
        self.maximum = maximum
        self.limit = float(min(start, maximum))
        self.in_flight = self.peak = 0
        self.is_doubling = True
        self.epoch = 0  # cuts so far: calls that began before a cut can't cause another
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.best_latency = self.last_rate = 0.0
        self.count, self.total_s, self.began_s = 0, 0.0, 0.0  # of the window
        self.window = max(8, int(self.limit))

    async def acquire(self) -> int:
        """Wait for a slot, first come first served; the epoch, for `note_overload`."""
        if self.waiting or self.in_flight >= int(self.limit):
            place = asyncio.get_running_loop().create_future()
            self.waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self.release()
                else:
                    with suppress(ValueError):
                        self.waiting.remove(place)
                raise
        else:
            self._enter()
        return self.epoch

    def release(self) -> None:
        """Free the slot of a call that has ended."""
        self.in_flight -= 1
        self._admit()

    def note_success(self, latency_s: float, now_s: float) -> None:
        """Note a call that took `latency_s` and ended at `now_s` of a monotonic clock. Call it before `release`."""
        if self.in_flight >= int(self.limit):  # else the limit holds nobody back, and says nothing
            self.limit = min(self.maximum, self.limit + (1.0 if self.is_doubling else STEP / self.limit))
        self.count += 1
        self.total_s += latency_s
        if self.began_s == 0.0:
            self.began_s = now_s
        if self.count >= self.window:
            self._end_window(now_s)
        self._admit()

    def note_overload(self, epoch: int) -> None:
        """Note a call of that epoch that failed by overload. Only the first of an epoch cuts the limit."""
        if epoch == self.epoch:
            self._cut(CUT_ERROR)

    def _end_window(self, now_s: float) -> None:
        mean = self.total_s / self.count
        rate = self.count / max(now_s - self.began_s, 1e-6)
        best = self.best_latency * FORGET
        self.best_latency = mean if best == 0.0 else min(best, mean)
        if mean > TOLERANCE * self.best_latency and rate < GAIN * self.last_rate:
            needed = MARGIN * rate * self.best_latency / self.limit  # by Little's law, as a share of the limit
            self._cut(min(CUT_SLOW, max(0.5, needed)))
        self.last_rate = rate
        self.count, self.total_s, self.began_s = 0, 0.0, now_s
        self.window = max(8, int(self.limit))

    def _cut(self, factor: float) -> None:
        self.limit = max(1.0, self.limit * factor)
        self.is_doubling = False
        self.epoch += 1

    def _enter(self) -> None:
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)

    def _admit(self) -> None:
        while self.waiting and self.in_flight < int(self.limit):
            place = self.waiting.popleft()
            if not place.done():
                self._enter()
                place.set_result(None)


class RateLimit:
    """Requests (`rpm`) and tokens (`tpm`) a minute, spread evenly: no burst of a minute's worth at once.

    A call's tokens are not known before: they are estimated from its size at first, then as the mean of past calls.
    """

    def __init__(self, rpm: int | None, tpm: int | None) -> None:
        self.requests = None if rpm is None else AsyncLimiter(max(1.0, rpm / 60), max(1.0, 60 / rpm))
        self.tokens = None if tpm is None else AsyncLimiter(tpm / 12, 5.0)
        self.calls = self.spent = 0

    async def wait(self, estimate: float) -> None:
        """Wait until one more call of about `estimate` tokens keeps within both rates."""
        if self.requests is not None:
            await self.requests.acquire()
        if self.tokens is not None:
            tokens = self.spent / self.calls if self.calls >= 8 else estimate
            await self.tokens.acquire(min(max(tokens, 1.0), self.tokens.max_rate))

    def note_tokens(self, tokens: int) -> None:
        """Note the tokens of a call that has ended."""
        self.calls += 1
        self.spent += tokens
