"""Progress of long steps: done, rate, time left. A line every few seconds where there is no terminal."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def track(items: Iterable[T], name: str, total: int | None = None, every_s: float = 5.0) -> Iterator[T]:
    """Yield `items`; say on stderr how far it is, how fast, and how long it will take."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    started = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= every_s:
            last = now
            print(progress_line(name, done, total, now - started), file=sys.stderr, flush=True)
    spent = time.monotonic() - started
    print(f"{name}: {done} in {spent:.1f} s", file=sys.stderr, flush=True)


def progress_line(name: str, done: int, total: int | None, spent_s: float) -> str:
    """`vote: 120/400, 40.0/s, 7 s left`."""
    rate = done / spent_s if spent_s > 0 else 0.0
    line = f"{name}: {done}" + (f"/{total}" if total else "") + f", {rate:.1f}/s"
    if total and rate:
        line += f", {(total - done) / rate:.0f} s left"
    return line
