"""What was asked of each model: `Ledger` for the metrics of a stage, `CallLog` for what a run really paid.

The ledger is a pure function of requests and replies: a reply from the store counts like one that was just paid for,
so that a replay has the metrics of the live run. The call log counts calls alone: a replay leaves no line in it.
"""

import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2i.core.errors import EndpointError
from r2i.core.params import IN_PROCESS, Endpoint, Price
from r2i.core.records import OK
from r2i.endpoint.base import Model, Reply, Request, cost_of
from r2i.endpoint.faults import NO_REPLY
from r2i.endpoint.origin import are_identical
from r2i.endpoint.record import is_storable

if TYPE_CHECKING:
    from r2i.endpoint.chat import Completion
    from r2i.endpoint.faults import Failure
    from r2i.endpoint.limit import AdaptiveLimit

CALL_LOG = "calls.jsonl"
FEW = 0.9  # share of samples with an answer below which a stage warns
REMEDIES = {
    "connection": "see that the server is up and base_url is its address",
    "timeout": "raise timeout_s or lower concurrency",
    "rate_limited": "lower concurrency, or set rpm and tpm to what the account may",
    "bad_request": "see what the server refuses: docs/endpoints.md lists what servers take",
    "truncated": "raise max_tokens",
}


@dataclass
class Account:
    """Usage of one model. `requests`: prompts, each with its images; `samples`: replies to them.

    `identical`: requests of a served model whose samples, drawn at random, are all one text. Short answers may be;
    where many or long ones are, something between r2i and the model keeps replies. `failed`: samples of a served model
    without an answer, by reason.
    """

    requests: int = 0
    samples: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    identical: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    price: Price | None = None

    def add(self, replies: Sequence[Reply]) -> None:
        """Count one request and its replies."""
        self.requests += 1
        self.samples += len(replies)
        self.tokens_in += sum(reply.tokens_in for reply in replies)
        self.tokens_out += sum(reply.tokens_out for reply in replies)

    def counts(self) -> dict[str, Any]:
        """`{requests, samples, tokens_in, tokens_out}`; `identical` and `failed` unless they are 0."""
        counts: dict[str, Any] = {
            "requests": self.requests,
            "samples": self.samples,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
        }
        if self.identical:
            counts["identical"] = self.identical
        if self.failed:
            counts["failed"] = dict(sorted(self.failed.items()))
        return counts

    def metrics(self) -> dict[str, Any]:
        """`counts`, and `cost` where the price is known."""
        counts = self.counts()
        cost = cost_of(self.tokens_in, self.tokens_out, self.price)
        return counts if cost is None else counts | {"cost": cost}


class Ledger:
    """Accounts by model name, for a stage's metrics. `passing`: replies of servers that another run may get better."""

    def __init__(self) -> None:
        self.accounts: defaultdict[str, Account] = defaultdict(Account)
        self.passing = 0

    @classmethod
    def of(cls, counts: Mapping[str, Mapping[str, Any]], prices: Mapping[str, Price | None]) -> "Ledger":
        """The ledger that gave `counts`; `prices` by model name."""
        ledger = cls()
        for name, account in counts.items():
            failed = Counter(account.get("failed", {}))
            ledger.accounts[name] = Account(**{**account, "failed": failed}, price=prices.get(name))
        return ledger

    def add(self, model: Model, request: Request, replies: Sequence[Reply]) -> None:
        """Count one request to `model`, with all its replies."""
        account = self.accounts[model.name]
        account.price = model.price
        account.add(replies)
        account.identical += model.kind not in IN_PROCESS and are_identical(request, replies)
        if model.loaded is None:
            self.passing += sum(not is_storable(reply) for reply in replies)
            account.failed.update(reply.reason for reply in replies if reply.status != OK)

    def include(self, other: "Ledger") -> None:
        """Count what `other` counted, too."""
        for name, more in other.accounts.items():
            account = self.accounts[name]
            account.price = account.price or more.price
            account.failed.update(more.failed)
            for count in ("requests", "samples", "tokens_in", "tokens_out", "identical"):
                setattr(account, count, getattr(account, count) + getattr(more, count))
        self.passing += other.passing

    def require_replies(self, stage: str, ok_rows: int) -> None:
        """Raises EndpointError where a served model gave no reply at all, or where calls without one left no row ok.

        `ok_rows`: of the stage. Warns where a call got no reply, and where many samples have no answer.
        """
        for name, account in sorted(self.accounts.items()):
            if not account.failed:
                continue
            failed, silent = account.failed.total(), sum(account.failed[reason] for reason in NO_REPLY)
            reasons = ", ".join(f"{count} {reason}" for reason, count in account.failed.most_common())
            told = f"{failed:,} of {account.samples:,} samples of {name} failed ({reasons})"
            remedy = next((REMEDIES[reason] for reason, _ in account.failed.most_common() if reason in REMEDIES), "")
            if silent == account.samples or (silent and not ok_rows):
                what = "there was no reply at all" if silent == account.samples else "no row is ok"
                remedy = remedy or "see the server's log"
                raise EndpointError(
                    f"{what}: {told}", f"{remedy}; then `dvc repro {stage}`: replies that came are kept"
                )
            if silent or account.samples - failed < FEW * account.samples:
                again = f"`dvc repro --force --single-item {stage}` asks them again" if silent else remedy
                print(f"warning: {told}{f'; {again}' if again else ''}", file=sys.stderr)

    def counts(self) -> dict[str, dict[str, int]]:
        """Accounts by model name, without costs."""
        return {name: account.counts() for name, account in self.accounts.items()}

    def metrics(self) -> dict[str, Any]:
        """`Account.metrics` by model name, in order of names."""
        return {name: account.metrics() for name, account in sorted(self.accounts.items())}


class CallLog:
    """Calls to one model in one run: for the progress line, and a line in CALL_LOG beside the store.

    It is part of no result.
    """

    def __init__(self, params: Endpoint, store: Path) -> None:
        """`store`: root of the store of replies."""
        self.params, self.file = params, store.parent / CALL_LOG
        self._clear()

    def _clear(self) -> None:
        self.started: float | None = None  # monotonic; None: no call was made
        self.started_unix = 0.0
        self.requests = self.replayed = self.calls = self.samples = self.tokens_in = self.tokens_out = 0
        self.seconds = 0.0
        self.errors: Counter[str] = Counter()
        self.refused_options: Counter[str] = Counter()  # calls that were made again without one
        self.given_up: dict[str, tuple[int, str]] = {}  # by reason: requests, and what the last one's failure said

    def start(self, limit: "AdaptiveLimit") -> None:
        """Note that the first call is about to be made."""
        self.started, self.started_unix = time.monotonic(), time.time()
        limit.peak = limit.in_flight

    def add_request(self, replayed: int) -> None:
        """Count a request of which so many samples were in the store."""
        self.requests += 1
        self.replayed += replayed

    def add_failure(self, failure: "Failure") -> None:
        """Count a call that failed, or that is made again without an option."""
        if failure.option:
            self.refused_options[failure.option] += 1
        else:
            self.errors[failure.reason] += 1

    def add_given_up(self, failure: "Failure") -> None:
        """Count a request that failed for good."""
        count, _ = self.given_up.get(failure.reason, (0, ""))
        self.given_up[failure.reason] = count + 1, failure.detail

    def add_call(self, completion: "Completion") -> None:
        """Count a call that brought a completion."""
        self.calls += 1
        self.samples += len(completion.choices)
        self.tokens_in += completion.tokens_in
        self.tokens_out += completion.tokens_out
        self.seconds += completion.seconds

    def describe(self, limit: "AdaptiveLimit") -> str:
        """`m: 120 calls, 8.1/s, 64 in flight of 96, 3 rate_limited; 1.20 M tokens in, 0.10 M out, cost 0.84`."""
        if self.started is None:
            return ""
        rate = self.calls / max(time.monotonic() - self.started, 1e-6)
        text = (
            f"{self.params.model}: {self.calls} calls, {rate:.1f}/s, {limit.in_flight} in flight of {int(limit.limit)}"
        )
        text += "".join(f", {count} {reason}" for reason, count in sorted(self.errors.items()))
        text += "".join(f", {n} x {name} refused, asked again" for name, n in sorted(self.refused_options.items()))
        text += f", {self.replayed:,} more replies from the store" if self.replayed else ""
        text += f"; {self.tokens_in / 1e6:.2f} M tokens in, {self.tokens_out / 1e6:.2f} M out"
        cost = self._cost()
        return text if cost is None else f"{text}, cost {cost:.2f}"

    def write(self, limit: "AdaptiveLimit") -> None:
        """Append this run to the file, if it made a call, and start anew. Warns where the file can't be written."""
        if self.started is not None:
            entry = {
                "stage": Path(sys.argv[0]).stem,
                "model": self.params.model,
                "kind": self.params.kind,
                "started": round(self.started_unix, 1),
                "seconds": round(time.monotonic() - self.started, 3),
                "requests": self.requests,
                "replayed": self.replayed,
                "calls": self.calls,
                "samples": self.samples,
                "tokens_in": self.tokens_in,
                "tokens_out": self.tokens_out,
                "cost": self._cost(),
                "peak_in_flight": limit.peak,
                "limit": int(limit.limit),
                "mean_latency_s": round(self.seconds / self.calls, 3) if self.calls else None,
                "errors": dict(self.errors),
                "refused_options": dict(self.refused_options),
            }
            self._append(json.dumps(entry, sort_keys=True) + "\n")
        elif self.replayed:
            told = f"all {self.replayed:,} replies came from the store, which files them under the served name"
            print(f"{self.params.model}: {told}; the server was not asked", file=sys.stderr)
        for reason, (count, detail) in sorted(self.given_up.items()):
            print(f"{self.params.model}: {count:,} requests failed, {reason}; the last: {detail}", file=sys.stderr)
        self._clear()

    def _cost(self) -> float | None:
        return cost_of(self.tokens_in, self.tokens_out, self.params.price)

    def _append(self, line: str) -> None:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            if self.file.exists() and not self.file.is_file():  # a pipe would wait for its reader
                raise OSError("not a file")
            with self.file.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            print(f"warning: {self.file} can't be written: {error}", file=sys.stderr)
