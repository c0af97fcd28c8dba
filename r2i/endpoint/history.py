"""What a run really asked and paid: for the progress line, and a line in `calls.jsonl` beside the store."""

import json
import sys
import time
from collections import Counter
from pathlib import Path

from r2i.core.params import Endpoint
from r2i.endpoint.base import cost_of
from r2i.endpoint.chat import Completion
from r2i.endpoint.faults import Failure
from r2i.endpoint.limit import AdaptiveLimit

FILE = "calls.jsonl"


class History:
    """Counts of one model in one run. It is no part of any result: a replay has none."""

    def __init__(self, params: Endpoint, store: Path) -> None:
        self.params, self.file = params, store.parent / FILE
        self._clear()

    def _clear(self) -> None:
        self.began: float | None = None
        self.began_unix = 0.0
        self.requests = self.replayed = self.calls = self.samples = self.tokens_in = self.tokens_out = 0
        self.seconds = 0.0
        self.errors: Counter[str] = Counter()

    def begin(self, limit: AdaptiveLimit) -> None:
        """The first call is about to be made."""
        self.began, self.began_unix = time.monotonic(), time.time()
        limit.peak = limit.in_flight

    def found(self, samples: int) -> None:
        """A request was made of which so many samples were in the store."""
        self.requests += 1
        self.replayed += samples

    def call(self, outcome: Completion | Failure, seconds: float) -> None:
        if isinstance(outcome, Failure):
            self.errors[outcome.reason] += 1
            return
        self.calls += 1
        self.samples += len(outcome.choices)
        self.tokens_in += outcome.tokens_in
        self.tokens_out += outcome.tokens_out
        self.seconds += seconds

    def cost(self) -> float | None:
        return cost_of(self.tokens_in, self.tokens_out, self.params.price)

    def line(self, limit: AdaptiveLimit) -> str:
        """`m: 120 calls, 8.1/s, 64 of 96 in flight, 3 rate_limited; 1.20 M tokens in, 0.10 M out, cost 0.84`."""
        if self.began is None:
            return ""
        rate = self.calls / max(time.monotonic() - self.began, 1e-6)
        text = (
            f"{self.params.model}: {self.calls} calls, {rate:.1f}/s, {limit.in_flight} in flight of {int(limit.limit)}"
        )
        text += "".join(f", {count} {reason}" for reason, count in sorted(self.errors.items()))
        text += f"; {self.tokens_in / 1e6:.2f} M tokens in, {self.tokens_out / 1e6:.2f} M out"
        cost = self.cost()
        return text if cost is None else f"{text}, cost {cost:.2f}"

    def write(self, limit: AdaptiveLimit) -> None:
        """Add this run to the file, if there was a call, and begin anew. A disk that refuses costs a warning."""
        if self.began is not None:
            entry = {
                "stage": Path(sys.argv[0]).stem,
                "model": self.params.model,
                "kind": self.params.kind,
                "started": round(self.began_unix, 1),
                "seconds": round(time.monotonic() - self.began, 3),
                "requests": self.requests,
                "replayed": self.replayed,
                "calls": self.calls,
                "samples": self.samples,
                "tokens_in": self.tokens_in,
                "tokens_out": self.tokens_out,
                "cost": self.cost(),
                "peak_in_flight": limit.peak,
                "limit": int(limit.limit),
                "mean_latency_s": round(self.seconds / self.calls, 3) if self.calls else None,
                "errors": dict(self.errors),
            }
            self._append(json.dumps(entry, sort_keys=True) + "\n")
        self._clear()

    def _append(self, line: str) -> None:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            print(f"warning: {self.file} can't be written: {error}", file=sys.stderr)
