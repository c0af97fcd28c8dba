"""Count the stored replies by outcome, and sum up what runs have paid."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from r2i.endpoint.record import Record
from r2i.tools.replies.scan import ScannedRecord

COUNTS = ("requests", "calls", "samples", "replayed", "tokens_in", "tokens_out")


@dataclass
class ReplyStats:
    """Counts of one model's records. `samples`: by reason, `ok` where there is none; `bytes`: as stored."""

    records: int = 0
    samples: Counter[str] = field(default_factory=Counter)
    tokens_in: int = 0
    tokens_out: int = 0
    bytes: int = 0

    def add(self, record: Record, size: int) -> None:
        """Count a record that takes `size` bytes."""
        self.records += 1
        self.bytes += size
        for reply in record.replies.values():
            self.samples[reply.reason or reply.status] += 1
            self.tokens_in += reply.tokens_in
            self.tokens_out += reply.tokens_out


class StatsByModel(NamedTuple):
    """Counts by model, and the number of damaged records."""

    models: dict[str, ReplyStats]
    damaged: int


def count_replies(records: Iterable[ScannedRecord]) -> StatsByModel:
    """Count the records of a scan."""
    models: defaultdict[str, ReplyStats] = defaultdict(ReplyStats)
    damaged = 0
    for scanned in records:
        if scanned.record is None:
            damaged += 1
        else:
            models[scanned.record.model].add(scanned.record, scanned.size)
    return StatsByModel(dict(sorted(models.items())), damaged)


@dataclass
class Spent:
    """Calls to one model by all runs of a stage together. `cost`: None where no price was known."""

    runs: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    cost: float | None = None
    errors: Counter[str] = field(default_factory=Counter)
    refused_options: Counter[str] = field(default_factory=Counter)

    def add(self, line: Mapping[str, Any]) -> None:
        """Add one line of the call log."""
        self.runs += 1
        self.counts.update({name: int(line.get(name) or 0) for name in COUNTS})
        self.seconds += float(line.get("seconds") or 0)
        for name in ("errors", "refused_options"):
            getattr(self, name).update({str(key): int(n) for key, n in (line.get(name) or {}).items()})
        if line.get("cost") is not None:
            self.cost = (self.cost or 0.0) + float(line["cost"])


def read_call_log(path: Path) -> dict[tuple[str, str], Spent]:
    """What was spent, by stage and model, in order; empty where there is no such file. Raises OSError."""
    spent: defaultdict[tuple[str, str], Spent] = defaultdict(Spent)
    for line in _lines(path):
        spent[str(line.get("stage")), str(line.get("model"))].add(line)
    return dict(sorted(spent.items()))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The complete lines: a run that was killed may have left a torn one."""
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
