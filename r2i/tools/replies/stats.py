"""What the replies are, and what they cost."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r2i.endpoint.history import FILE as HISTORY  # beside the store: a line per model and stage run
from r2i.endpoint.record import Record
from r2i.tools.replies.scan import Item

__all__ = ["HISTORY", "Spent", "Tally", "read_history", "tally"]
COUNTS = ("requests", "calls", "samples", "replayed", "tokens_in", "tokens_out")


@dataclass
class Tally:
    """Records of one model in one place. `samples` by reason, `ok` where there is none; `bytes` as stored."""

    records: int = 0
    samples: Counter[str] = field(default_factory=Counter)
    tokens_in: int = 0
    tokens_out: int = 0
    bytes: int = 0

    def add(self, record: Record, size: int) -> None:
        self.records += 1
        self.bytes += size
        for reply in record.replies.values():
            self.samples[reply.reason or reply.status] += 1
            self.tokens_in += reply.tokens_in
            self.tokens_out += reply.tokens_out


def tally(items: Iterable[Item]) -> tuple[dict[str, Tally], int]:
    """Tallies by model, and how many items are damaged."""
    tallies: defaultdict[str, Tally] = defaultdict(Tally)
    damaged = 0
    for item in items:
        if item.record is None:
            damaged += 1
        else:
            tallies[item.record.model].add(item.record, item.size)
    return dict(sorted(tallies.items())), damaged


@dataclass
class Spent:
    """What all runs of a stage together really paid one model for. `cost`: None where no price was known."""

    runs: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    cost: float | None = None
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, line: Mapping[str, Any]) -> None:
        self.runs += 1
        self.counts.update({name: int(line.get(name) or 0) for name in COUNTS})
        self.seconds += float(line.get("seconds") or 0)
        self.errors.update({str(reason): int(n) for reason, n in (line.get("errors") or {}).items()})
        if line.get("cost") is not None:
            self.cost = (self.cost or 0.0) + float(line["cost"])


def read_history(path: Path) -> dict[tuple[str, str], Spent]:
    """By stage and model, in order; nothing where there is no such file. Raises OSError."""
    spent: defaultdict[tuple[str, str], Spent] = defaultdict(Spent)
    for line in _lines(path):
        spent[str(line.get("stage")), str(line.get("model"))].add(line)
    return dict(sorted(spent.items()))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines that are whole: a run that was killed may have left a torn one."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                value = json.loads(line)
                Spent().add(value)
            except (ValueError, TypeError, AttributeError, RecursionError):
                continue
            yield value
