"""What was asked of each model and what it came to: a pure function of requests and replies.

A reply from the store counts like one that was just paid for, so that the metrics of a replay are those
of the live run. What a run really paid is in the store's history (`r2i replies stats`).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from r2i.core.params import Price
from r2i.endpoint.base import Model, Reply, Request, cost_of


@dataclass
class Account:
    """Of one model. `requests`: prompts, each with its images; `samples`: replies to them."""

    requests: int = 0
    samples: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    price: Price | None = None

    def add(self, replies: Sequence[Reply]) -> None:
        self.requests += 1
        self.samples += len(replies)
        self.tokens_in += sum(reply.tokens_in for reply in replies)
        self.tokens_out += sum(reply.tokens_out for reply in replies)

    def values(self) -> dict[str, Any]:
        counts = {name: getattr(self, name) for name in ("requests", "samples", "tokens_in", "tokens_out")}
        cost = cost_of(self.tokens_in, self.tokens_out, self.price)
        return counts if cost is None else counts | {"cost": cost}


class Ledger:
    """Accounts by model name, for a stage's metrics."""

    def __init__(self) -> None:
        self.accounts: defaultdict[str, Account] = defaultdict(Account)

    def add(self, model: Model, request: Request, replies: Sequence[Reply]) -> None:
        account = self.accounts[model.name]
        account.price = getattr(model, "price", None)
        account.add(replies)

    def metrics(self) -> dict[str, Any]:
        """`{model: {requests, samples, tokens_in, tokens_out, cost where its price is known}}`."""
        return {name: account.values() for name, account in sorted(self.accounts.items())}
