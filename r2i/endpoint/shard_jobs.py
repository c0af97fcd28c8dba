"""Work on shards by asking models: the jobs of one shard are a list, its rows what their results make.

Calls to servers of many shards are under way together. A model in process is asked shard by shard, so that its batches,
and with them the last bits of its logits, are a function of the shard alone.
"""

import gc
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from r2i.core.fingerprint import library_versions, machine
from r2i.core.params import Endpoint, Params
from r2i.core.records import OK
from r2i.core.shards import Counts, MadeShard, Shard, ShardWork
from r2i.endpoint.base import Model, ServedModel
from r2i.endpoint.flow import Job, JobList, run_job_lists
from r2i.endpoint.ledger import Ledger
from r2i.endpoint.turns import PUT_OFF, Turns
from r2i.endpoint.vllm import digest_folder, name_by_weights
from r2i.ocr.engines import LIBRARIES

T = TypeVar("T")
CALLS_OF_A_WORKER = 8  # least calls in flight that are worth a process


class JobWork(ShardWork, Generic[T]):
    """Work whose rows come out of jobs (r2i.endpoint.flow).

    `models`: by the names that `endpoints` gives them, while it runs. Counts have `calls`, the ledger's.
    """

    models: Mapping[str, Model]

    def __init__(self, params: Params, workers: int = 1) -> None:
        super().__init__(params, workers)
        self._weights: dict[str, str] = {}

    @abstractmethod
    def endpoints(self) -> dict[str, Endpoint]:
        """The models that are asked, by a name of ours."""

    @abstractmethod
    def start(self, shard: Shard) -> Iterable[Job[T]]:
        """The jobs of one shard; each is asked for when its turn comes."""

    @abstractmethod
    def finish(self, shard: Shard, results: Sequence[T]) -> tuple[Sequence[Mapping[str, Any]], Counts]:
        """The rows and counts of a shard, out of its jobs' results in their order."""

    def is_settled(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Whether making these rows again, with the same replies, would give the same."""
        return True

    def release(self, shard: Shard) -> None:
        """Forget what was kept of a shard between `start` and the writing of its rows."""

    def run(self, shards: Iterable[Shard], done: Callable[[Shard, MadeShard], None]) -> None:
        from r2i.endpoint import connect

        with ExitStack() as stack:
            shared = {name: share_limits(one, self.workers) for name, one in self.endpoints().items()}
            self.models = {name: stack.enter_context(connect(endpoint)) for name, endpoint in shared.items()}
            turns = Turns(self.models) if self.params.chosen.execution.share_device else None
            if turns and len(turns.sharing) > 1:
                self.models = turns.models
                self._run_in_turns(turns, shards, done)
            else:
                self._run_lists(self._list(shard, done) for shard in shards)
        self.models = {}
        free_memory()

    def _run_lists(self, lists: Iterable[JobList[T]]) -> None:
        if all(isinstance(model, ServedModel) for model in self.models.values()):
            run_job_lists(lists)
        else:
            for each in lists:
                run_job_lists([each])

    def _run_in_turns(self, turns: Turns, shards: Iterable[Shard], done: Callable[[Shard, MadeShard], None]) -> None:
        """All shards in every turn, until each has come to its end."""
        left = list(shards)
        for _ in turns:
            ended: set[str] = set()

            def note(shard: Shard, made: MadeShard, ended: set[str] = ended) -> None:
                done(shard, made)
                ended.add(shard.name)

            self._run_lists(self._list(shard, note, turns) for shard in left)
            left = [shard for shard in left if shard.name not in ended]
            if not left:
                return

    def _list(self, shard: Shard, done: Callable[[Shard, MadeShard], None], turns: Turns | None = None) -> JobList[T]:
        ledger, jobs = Ledger(), self.start(shard)
        return JobList(turns.as_far(jobs) if turns else jobs, partial(self._finish, shard, ledger, done), ledger)

    def _finish(
        self, shard: Shard, ledger: Ledger, done: Callable[[Shard, MadeShard], None], results: Sequence[T]
    ) -> None:
        try:
            if any(result is PUT_OFF for result in results):
                return
            rows, counts = self.finish(shard, results)
            settled = not ledger.passing and self.is_settled(rows)
            done(shard, MadeShard(rows, {**counts, "calls": ledger.counts()}, settled))
        finally:
            self.release(shard)

    def depends_on(self, shard: Shard) -> Any:
        """The weights of models that lie here; where one is in process the machine too, by which last bits differ."""
        here = [one for one in self.endpoints().values() if one.kind != "openai"]
        folders = sorted({one.model for one in here})
        for folder in folders:
            if folder not in self._weights:
                self._weights[folder] = digest_folder(Path(folder)) if Path(folder).is_dir() else ""
        known = [{folder: self._weights[folder] for folder in folders}] if here else None
        readers = sorted({name for one in here if one.kind == "ocr" for name in LIBRARIES[one.model]})
        local = [machine()] if any(one.in_process for one in here) else []
        return [*known, *([library_versions(readers)] if readers else []), *local] if known else None

    def most_workers(self) -> int | None:
        """One where a vLLM is started here; with servers, as many as have CALLS_OF_A_WORKER in flight."""
        endpoints = self.endpoints().values()
        if any(one.kind == "vllm" for one in endpoints):
            return 1
        limits = [one.concurrency // CALLS_OF_A_WORKER for one in endpoints if one.kind == "openai"]
        return max(1, min(limits)) if limits else None

    def gpus(self) -> int:
        return int(any(one.kind == "local" for one in self.endpoints().values()))

    def keys(self) -> list[str]:
        return sorted({one.api_key_env for one in self.endpoints().values() if one.api_key_env})

    def require_made(self, counts: Counts) -> None:
        Ledger.of(counts.get("calls", {}), {}).require_replies(self.stage, counts.get("status", {}).get(OK, 0))

    def ledger(self, counts: Counts) -> Ledger:
        """What was asked, out of the counts of all shards."""
        prices = {name_by_weights(one).name: one.price for one in self.endpoints().values()}
        return Ledger.of(counts.get("calls", {}), prices)

    def call_metrics(self, counts: Counts) -> dict[str, Any]:
        """`calls` of the stage's metrics, out of the counts of all shards."""
        return self.ledger(counts).metrics()


def free_memory() -> None:
    """Give up a model that was in process: a GPU has room for one, and others may follow."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def share_limits(endpoint: Endpoint, workers: int) -> Endpoint:
    """The endpoint for one of `workers` processes: its part of the limits."""
    if workers == 1 or endpoint.in_process:
        return endpoint
    shared = {name: value and max(1, value // workers) for name in ("concurrency", "rpm", "tpm")
              for value in [getattr(endpoint, name)]}  # fmt: skip
    return endpoint.model_copy(update=shared)
