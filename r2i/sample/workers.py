"""Looks at many pictures in processes: in order, a bounded number ahead of what is taken."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from types import TracebackType
from typing import Self

from r2i.core.errors import R2IError
from r2i.core.params import Sample
from r2i.core.photos import Photos
from r2i.sample.look import Look, Task, look
from r2i.sample.pools import Offer

AHEAD = 8  # pictures looked at ahead, for each process
PASSED = 4096  # offers that may wait behind them, looked at or not
WORTH = 64  # pictures from which processes are worth their start

Pair = tuple[Offer, Future[Look] | None]


class Lookers:
    """`cfg.workers` processes; none where there are few `pictures`, or one worker. The looks are the same."""

    def __init__(self, cfg: Sample, pictures: int, task: Callable[[Offer], Task]) -> None:
        self.cfg, self.task, self.photos = cfg, task, Photos(cfg.pools)
        self.pool: ProcessPoolExecutor | None = None
        if cfg.workers > 1 and pictures >= WORTH:
            forks = "forkserver" in multiprocessing.get_all_start_methods()
            context = multiprocessing.get_context("forkserver" if forks else "spawn")
            if forks:
                context.set_forkserver_preload(["imagehash", "scipy.fftpack", "r2i.sample.look"])
            self.pool = ProcessPoolExecutor(cfg.workers, context, _start, (cfg,))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.pool:
            self.pool.shutdown(cancel_futures=True)

    def in_order(
        self, offers: Iterable[Offer], wanted: Callable[[Offer], bool]
    ) -> Iterator[tuple[Offer, Callable[[], Look]]]:
        """Each offer, with a function that gives its look.

        Those that are `wanted` when they come near are looked at ahead; the others when the function is
        called. Raises R2IError (from that function) where a process was killed.
        """
        ahead: deque[Pair] = deque()
        looking = 0
        for offer in offers:
            future = self._submit(offer) if self.pool and wanted(offer) else None
            ahead.append((offer, future))
            looking += future is not None
            while looking > AHEAD * self.cfg.workers or len(ahead) > (PASSED if looking else 0):
                looking -= ahead[0][1] is not None
                yield self._take(ahead)
        while ahead:
            yield self._take(ahead)

    def _take(self, ahead: deque[Pair]) -> tuple[Offer, Callable[[], Look]]:
        offer, future = ahead.popleft()
        return offer, lambda: self._look(offer, future)

    def _look(self, offer: Offer, future: Future[Look] | None) -> Look:
        if not self.pool:
            return look(self.task(offer), self.photos, self.cfg)
        try:
            return (future or self._submit(offer)).result()
        except BrokenProcessPool as error:
            raise _killed(offer) from error

    def _submit(self, offer: Offer) -> Future[Look]:
        assert self.pool
        try:
            return self.pool.submit(_look, self.task(offer))
        except BrokenProcessPool as error:
            raise _killed(offer) from error


def _killed(offer: Offer) -> R2IError:
    return R2IError(
        f"a process that decodes pictures was killed, near {offer.source}",
        "memory may be short: lower sample.workers in params.yaml; if it happens again, take that picture away",
    )


# In the worker processes

_photos: Photos
_cfg: Sample


def _start(cfg: Sample) -> None:
    """Ctrl-C is for the stage, which ends its workers; a stage that is killed takes them with it."""
    global _photos, _cfg
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _photos, _cfg = Photos(cfg.pools), cfg
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _look(task: Task) -> Look:
    return look(task, _photos, _cfg)
