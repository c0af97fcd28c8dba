"""How calls go, on stderr: rate, in flight, limit, errors, tokens, cost, time left."""

import asyncio
import sys
import time
from collections.abc import Mapping, Sized
from typing import Any

EVERY_S = 5.0


async def tell(models: Mapping[int, Any], results: Sized, total: int | None) -> None:
    """A line for each model behind a server every few seconds, until it is cancelled."""
    began = time.monotonic()
    while True:
        await asyncio.sleep(EVERY_S)
        lines = [line for model in models.values() if (line := model.line())]
        if lines:
            lines[-1] += "; " + whole(len(results), total, time.monotonic() - began)
            print("\n".join(lines), file=sys.stderr, flush=True)


def whole(done: int, total: int | None, spent_s: float) -> str:
    """`120 of 400 done, 9 s left`."""
    if not total:
        return f"{done} done"
    left = f", {(total - done) / (done / spent_s):.0f} s left" if done and spent_s > 0 else ""
    return f"{done} of {total} done{left}"
