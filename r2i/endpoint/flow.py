"""Many small conversations with models at once, each written as a generator.

A job yields lists of `(model, request)` and gets the replies back, in that order; what it returns is its
result. While one job waits, the others go on: there is no barrier between the questions of a stage, nor
between its endpoints. Models in process are asked in batches: all that the jobs want of one model, once
nothing else can go on, so that a batch never depends on the order in which a server's replies come.
"""

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from r2i.endpoint.base import Model, Reply, Request
from r2i.endpoint.ledger import Ledger
from r2i.endpoint.progress import tell

T = TypeVar("T")
Ask = tuple[Model, Request]
Job = Generator[list[Ask], list[list[Reply]], T]

LIVE = 2048  # jobs under way at once: more than any limit of calls, few enough to hold in memory
GRACE_S = 10.0  # for calls in flight when a stage ends by an error: they are paid for
HASTE_S = 1.0  # the same after Ctrl-C or SIGTERM


@dataclass
class _Parked(Generic[T]):
    """A job that waits for models in process. `replies[i]` is None until `asks[i]` is answered."""

    place: int
    job: Job[T]
    asks: list[Ask]
    replies: list[list[Reply] | None]


def run_jobs(jobs: Iterable[Job[T]], ledger: Ledger | None = None, total: int | None = None) -> list[T]:
    """The results of `jobs`, in order. `ledger` counts what was asked; `total`: jobs, for the progress line.

    Raises what a job or a model raises, once calls in flight have come home (GRACE_S) and are stored;
    KeyboardInterrupt after Ctrl-C or SIGTERM, within 2 s.
    """
    return asyncio.run(_Run(jobs, ledger or Ledger(), total).go())


class _Run(Generic[T]):
    def __init__(self, jobs: Iterable[Job[T]], ledger: Ledger, total: int | None) -> None:
        self.fresh: Iterator[tuple[int, Job[T]]] = iter(enumerate(jobs))
        self.ledger, self.total = ledger, total if total is not None else _length(jobs)
        self.results: dict[int, T] = {}
        self.parked: list[_Parked[T]] = []
        self.models: dict[int, Any] = {}  # behind servers, by identity
        self.seen: list[Model] = []  # in process, in order of first use
        self.interrupted = False

    async def go(self) -> list[T]:
        self.workers = asyncio.ensure_future(self._work_all())
        voice = asyncio.ensure_future(tell(self.models, self.results, self.total))
        self._catch_signals(True)
        grace = GRACE_S
        try:
            await self.workers
        except asyncio.CancelledError:
            grace = HASTE_S
            if self.interrupted:
                raise KeyboardInterrupt from None
            raise
        finally:
            voice.cancel()
            await self._settle(grace)
            self._catch_signals(False)
        return [self.results[place] for place in sorted(self.results)]

    def _catch_signals(self, on: bool) -> None:
        """Let SIGINT and SIGTERM cancel the workers in place of what they do otherwise."""
        if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
            return
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            if on:
                loop.add_signal_handler(name, self._stop, name)
            else:
                loop.remove_signal_handler(name)

    def _stop(self, name: signal.Signals) -> None:
        self.interrupted = True
        asyncio.get_running_loop().remove_signal_handler(name)  # the second one ends the process as usual
        self.workers.cancel()

    async def _settle(self, grace: float) -> None:
        await asyncio.gather(*(model.settle(grace) for model in self.models.values()))

    async def _work_all(self) -> None:
        """Drive all jobs as far as servers take them, then ask models in process, until all are done."""
        ready: list[_Parked[T]] = []
        while True:
            queue = iter(ready)
            await self._together(lambda: next(queue, None))  # noqa: B023 - awaited before it changes
            await self._together(self._start)
            if not self.parked:
                return
            ready = self._ask_in_process()

    async def _together(self, take: Callable[[], _Parked[T] | None]) -> None:
        """Workers that each take a job at a time until there is none."""

        async def work() -> None:
            while (state := take()) is not None:
                await self._drive(state)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(LIVE if self.total is None else min(LIVE, self.total)):
                    group.create_task(work())
        except BaseExceptionGroup as errors:
            raise _first(errors) from None

    def _start(self) -> _Parked[T] | None:
        """The next job that has not begun, as far as its first asks."""
        for place, job in self.fresh:
            state = self._resume(_Parked(place, job, [], []), None)
            if state is not None:
                return state
        return None

    def _resume(self, state: _Parked[T], replies: list[list[Reply]] | None) -> _Parked[T] | None:
        """Give a job its replies; None when that was its last step."""
        try:
            state.asks = next(state.job) if replies is None else state.job.send(replies)
        except StopIteration as end:
            self.results[state.place] = end.value
            return None
        state.replies = [None] * len(state.asks)
        for model, _ in state.asks:
            if hasattr(model, "ask"):
                self.models.setdefault(id(model), model)
            elif not any(model is known for known in self.seen):
                self.seen.append(model)
        return state

    async def _drive(self, state: _Parked[T]) -> None:
        """Take one job through servers' replies until it ends or needs a model in process."""
        current: _Parked[T] | None = state
        while current is not None:
            waiting = [i for i, reply in enumerate(current.replies) if reply is None]
            remote = [i for i in waiting if hasattr(current.asks[i][0], "ask")]
            if len(remote) == 1:
                await self._ask(current, remote[0])
            elif remote:
                async with asyncio.TaskGroup() as group:
                    for i in remote:
                        group.create_task(self._ask(current, i))
            if len(remote) < len(waiting):
                self.parked.append(current)
                return
            current = self._resume(current, [reply for reply in current.replies if reply is not None])

    async def _ask(self, state: _Parked[T], place: int) -> None:
        model, request = state.asks[place]
        replies = await model.ask(request)  # type: ignore[attr-defined]
        self.ledger.add(model, request, replies)
        state.replies[place] = replies

    def _ask_in_process(self) -> list[_Parked[T]]:
        """Ask the first model, in order of first use, all that parked jobs want of it; the jobs that can go on."""
        left = [state.asks[i][0] for state in self.parked for i, reply in enumerate(state.replies) if reply is None]
        model = next(known for known in self.seen if any(known is other for other in left))
        wanted = [
            (state, i)
            for state in sorted(self.parked, key=lambda state: state.place)
            for i, (of, _) in enumerate(state.asks)
            if of is model and state.replies[i] is None
        ]
        self._catch_signals(False)  # the loop stands still, and Ctrl-C must not wait for it
        replies = model.complete([state.asks[i][1] for state, i in wanted])
        self._catch_signals(True)
        for (state, i), given in zip(wanted, replies, strict=True):
            self.ledger.add(model, state.asks[i][1], given)
            state.replies[i] = given
        ready = [state for state in self.parked if None not in state.replies]
        self.parked = [state for state in self.parked if None in state.replies]
        return ready


def _length(jobs: Iterable[Any]) -> int | None:
    return len(jobs) if isinstance(jobs, Sized) else None


def _first(errors: BaseExceptionGroup) -> BaseException:
    """The error itself, out of groups in groups."""
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
