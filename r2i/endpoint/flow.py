"""Many small conversations with models at once, each written as a generator.

A job yields lists of `(model, request)` and is sent the replies, in that order; what it returns is its result. While
one job waits, the others go on: there is no barrier between the questions of a stage, nor between its endpoints.
Models in process are asked in batches: all that the jobs want of one model, once nothing else can go on, so that a
batch never depends on the order in which a server's replies come.

Jobs come in job lists (those of a shard). Lists follow one another without a barrier: the next one begins while the
last jobs of the one before still wait, and a list whose jobs have all ended is handed over and leaves memory.
"""

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Sized
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from r2i.endpoint.base import Model, Reply, Request, ServedModel
from r2i.endpoint.ledger import Ledger

T = TypeVar("T")
ModelRequest = tuple[Model, Request]
Job = Generator[list[ModelRequest], list[list[Reply]], T]

MAX_JOBS = 2048  # under way at once: more than any limit of calls, few enough to hold in memory
GRACE_S = 10.0  # for calls in flight when a stage ends by an error: they are paid for
INTERRUPTED_GRACE_S = 1.0  # the same after Ctrl-C or SIGTERM
PROGRESS_S = 5.0  # between two progress lines


@dataclass
class JobList(Generic[T]):
    """Jobs whose results belong together.

    `ledger` counts what they ask; `done` is called once with their results, in the order of `jobs`, in a thread: it may
    write files. A job starts when its turn comes, so `jobs` may be a generator.
    """

    jobs: Iterable[Job[T]]
    done: Callable[[list[T]], None]
    ledger: Ledger = field(default_factory=Ledger)


@dataclass
class _OpenList(Generic[T]):
    """A job list that was begun. `waiting`: jobs under way; `exhausted`: all were started."""

    jobs: JobList[T]
    unstarted: Iterator[tuple[int, Job[T]]]
    results: dict[int, T] = field(default_factory=dict)
    waiting: int = 0
    exhausted: bool = False

    def write(self) -> None:
        results, self.results = self.results, {}
        self.jobs.done([results[place] for place in sorted(results)])


@dataclass
class _Waiting(Generic[T]):
    """A job and what it asked for last. `replies[i]` is None until `requests[i]` is answered.

    `place`: (number of its list, its number therein).
    """

    open_list: _OpenList[T]
    place: tuple[int, int]
    job: Job[T]
    requests: list[ModelRequest]
    replies: list[list[Reply] | None]

    def unanswered(self) -> list[int]:
        return [i for i, replies in enumerate(self.replies) if replies is None]


def run_jobs(jobs: Iterable[Job[T]], ledger: Ledger | None = None, total: int | None = None) -> list[T]:
    """The results of `jobs`, in order. `ledger` counts what was asked; `total`: number of jobs, for the progress line.

    Raises what a job or a model raises, once calls in flight are stored or GRACE_S have passed; KeyboardInterrupt
    within 2 s of Ctrl-C or SIGTERM.
    """
    results: list[T] = []
    total = total if total is not None else len(jobs) if isinstance(jobs, Sized) else None
    run_job_lists([JobList(jobs, results.extend, ledger or Ledger())], total)
    return results


def run_job_lists(lists: Iterable[JobList[T]], total: int | None = None) -> None:
    """Run the jobs of all `lists`, a few lists at a time; `total`: number of jobs in all. Raises as `run_jobs` does.

    A list is taken from `lists` when the jobs of the one before have all been started and what has ended is handed
    over. With a model in process the lists' jobs would be batched together: run such lists one by one.
    """
    asyncio.run(_Run(lists, total).go())


class _Run(Generic[T]):
    """One call of `run_job_lists`."""

    def __init__(self, lists: Iterable[JobList[T]], total: int | None) -> None:
        self.lists, self.total = iter(enumerate(lists)), total
        self.current: tuple[int, _OpenList[T]] | None = None
        self.ended: list[_OpenList[T]] = []  # to be handed over
        self.done = 0  # jobs
        self.parked: list[_Waiting[T]] = []  # jobs that wait for a model in process
        self.served: dict[int, ServedModel] = {}  # by identity
        self.local: list[Model] = []  # in process, in order of first use
        self.interrupted = False

    async def go(self) -> None:
        self.opening, self.writing = asyncio.Lock(), asyncio.Lock()
        self.workers = asyncio.ensure_future(self._work_all())
        printer = asyncio.ensure_future(self._print_progress())
        self._catch_signals(True)
        grace = GRACE_S
        try:
            await self.workers
            for model in self.served.values():
                model.check_end()
        except asyncio.CancelledError:
            grace = INTERRUPTED_GRACE_S
            if self.interrupted:
                raise KeyboardInterrupt from None
            raise
        finally:
            printer.cancel()
            await asyncio.gather(*(model.settle(grace) for model in self.served.values()))
            self._catch_signals(False)

    async def _print_progress(self) -> None:
        """A line on stderr for each model behind a server every few seconds, until it is cancelled."""
        started = time.monotonic()
        while True:
            await asyncio.sleep(PROGRESS_S)
            lines = [line for model in self.served.values() if (line := model.progress())]
            if lines:
                lines[-1] += "; " + _describe_progress(self.done, self.total, time.monotonic() - started)
                print("\n".join(lines), file=sys.stderr, flush=True)

    def _catch_signals(self, on: bool) -> None:
        """Let SIGINT and SIGTERM cancel the workers instead of what they do by default."""
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

    async def _work_all(self) -> None:
        """Drive all jobs as far as servers take them, then ask models in process, until all are done."""
        ready: list[_Waiting[T]] = []
        while True:
            queue = iter(ready)
            await self._together(_from(queue))
            await self._together(self._start)
            await self._hand_over()
            if not self.parked:
                return
            ready = self._ask_in_process()

    async def _together(self, take: Callable[[], Awaitable[_Waiting[T] | None]]) -> None:
        """Workers that each take a job at a time until there is none; one that finds its first starts two more."""
        started = 0
        most = MAX_JOBS if self.total is None else min(MAX_JOBS, self.total)

        def start(count: int) -> None:
            nonlocal started
            for _ in range(min(count, most - started)):
                started += 1
                group.create_task(work())

        async def work() -> None:
            is_new = True
            while (waiting := await take()) is not None:
                if is_new:
                    start(2)
                    is_new = False
                await self._drive(waiting)
                del waiting  # while this worker waits for its next job, the last one's list may end

        try:
            async with asyncio.TaskGroup() as group:
                start(1)
        except BaseExceptionGroup as errors:
            raise _first(errors) from None

    async def _start(self) -> _Waiting[T] | None:
        """The next job that has not started, up to its first requests."""
        while True:
            if self.current is None and not await self._open_next():
                return None
            if self.current is None:  # another worker has started its last job meanwhile
                continue
            number, opened = self.current
            for place, job in opened.unstarted:
                opened.waiting += 1
                waiting = self._resume(_Waiting(opened, (number, place), job, [], []), None)
                if waiting is not None:
                    return waiting
            self.current, opened.exhausted = None, True
            self._note_end(opened)

    async def _open_next(self) -> bool:
        """Whether there is a list to start jobs from. What has ended is handed over first, so that memory is free."""
        async with self.opening:
            if self.current is None:
                await self._hand_over()
                following = await asyncio.to_thread(next, self.lists, None)
                if following is None:
                    return False
                number, jobs = following
                self.current = number, _OpenList(jobs, iter(enumerate(jobs.jobs)))
            return True

    async def _hand_over(self) -> None:
        async with self.writing:
            while self.ended:
                await asyncio.to_thread(self.ended.pop(0).write)

    def _note_end(self, opened: _OpenList[T]) -> None:
        if opened.exhausted and not opened.waiting:
            self.ended.append(opened)

    def _resume(self, waiting: _Waiting[T], replies: list[list[Reply]] | None) -> _Waiting[T] | None:
        """Send a job its replies; None when that was its last step."""
        try:
            waiting.requests = next(waiting.job) if replies is None else waiting.job.send(replies)
        except StopIteration as end:
            opened = waiting.open_list
            opened.results[waiting.place[1]] = end.value
            opened.waiting -= 1
            self.done += 1
            self._note_end(opened)
            return None
        waiting.replies = [None] * len(waiting.requests)
        for model, _ in waiting.requests:
            if isinstance(model, ServedModel):
                self.served.setdefault(id(model), model)
            elif not any(model is known for known in self.local):
                self.local.append(model)
        return waiting

    async def _drive(self, waiting: _Waiting[T]) -> None:
        """Take one job through servers' replies until it ends or needs a model in process."""
        current: _Waiting[T] | None = waiting
        while current is not None:
            unanswered = current.unanswered()
            served = [i for i in unanswered if isinstance(current.requests[i][0], ServedModel)]
            if len(served) == 1:
                await self._ask(current, served[0])
            elif served:
                async with asyncio.TaskGroup() as group:
                    for i in served:
                        group.create_task(self._ask(current, i))
            if len(served) < len(unanswered):
                self.parked.append(current)
                return
            current = self._resume(current, [replies for replies in current.replies if replies is not None])

    async def _ask(self, waiting: _Waiting[T], place: int) -> None:
        model, request = waiting.requests[place]
        assert isinstance(model, ServedModel)
        replies = await model.ask(request)
        waiting.open_list.jobs.ledger.add(model, request, replies)
        waiting.replies[place] = replies

    def _ask_in_process(self) -> list[_Waiting[T]]:
        """Ask the first model, in order of first use, all that parked jobs want of it; the jobs that can go on."""
        wanted = [waiting.requests[i][0] for waiting in self.parked for i in waiting.unanswered()]
        model = next(known for known in self.local if any(known is other for other in wanted))
        places = [
            (waiting, i)
            for waiting in sorted(self.parked, key=lambda waiting: waiting.place)
            for i in waiting.unanswered()
            if waiting.requests[i][0] is model
        ]
        self._catch_signals(False)  # the loop stands still, and Ctrl-C must not wait for it
        answers = model.complete([waiting.requests[i][1] for waiting, i in places])
        self._catch_signals(True)
        for (waiting, i), replies in zip(places, answers, strict=True):
            waiting.open_list.jobs.ledger.add(model, waiting.requests[i][1], replies)
            waiting.replies[i] = replies
        ready = [waiting for waiting in self.parked if not waiting.unanswered()]
        self.parked = [waiting for waiting in self.parked if waiting.unanswered()]
        return ready


def _from(queue: Iterator[_Waiting[T]]) -> Callable[[], Awaitable[_Waiting[T] | None]]:
    async def take() -> _Waiting[T] | None:
        return next(queue, None)

    return take


def _describe_progress(done: int, total: int | None, spent_s: float) -> str:
    """`120 of 400 done, 9 s left`."""
    if not total:
        return f"{done} done"
    left = f", {(total - done) / (done / spent_s):.0f} s left" if done and spent_s > 0 else ""
    return f"{done} of {total} done{left}"


def _first(errors: BaseExceptionGroup) -> BaseException:
    """The error itself, out of groups in groups."""
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
