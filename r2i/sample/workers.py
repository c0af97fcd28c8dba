"""Inspect many images in worker processes: in order, a bounded number ahead of the consumer."""

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
from typing import NamedTuple, Self

from r2i.core.errors import R2IError
from r2i.core.params import Sample
from r2i.core.photos import Photos
from r2i.sample.inspection import Inspection, InspectionTask, inspect_image
from r2i.sample.pools import Offer

AHEAD = 8  # images inspected ahead, for each process
QUEUED = 4096  # offers that may wait behind them, inspected or not
MIN_IMAGES = 64  # fewer images are not worth the start of processes


class _Queued(NamedTuple):
    """An offer, and its inspection where that was started ahead."""

    offer: Offer
    future: Future[Inspection] | None


class InspectedOffer(NamedTuple):
    """An offer, and a function that waits for its inspection, or inspects it now."""

    offer: Offer
    inspect: Callable[[], Inspection]


class InspectionPool:
    """`params.workers` processes; none for few `images`, or for one worker. The inspections are the same."""

    def __init__(self, params: Sample, images: int, task: Callable[[Offer], InspectionTask]) -> None:
        self.params, self.task, self.photos = params, task, Photos(params.pools)
        self.pool: ProcessPoolExecutor | None = None
        if params.workers > 1 and images >= MIN_IMAGES:
            forks = "forkserver" in multiprocessing.get_all_start_methods()
            context = multiprocessing.get_context("forkserver" if forks else "spawn")
            if forks:
                context.set_forkserver_preload(["imagehash", "scipy.fftpack", "r2i.sample.inspection"])
            self.pool = ProcessPoolExecutor(params.workers, context, _start, (params,))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.pool:
            self.pool.shutdown(cancel_futures=True)

    def inspect_in_order(self, offers: Iterable[Offer], wanted: Callable[[Offer], bool]) -> Iterator[InspectedOffer]:
        """Each offer, in order, with a function that returns its inspection.

        Those that are `wanted` when they come near are inspected ahead; the others when the function is
        called. Raises R2IError (from that function) where a process was killed.
        """
        ahead: deque[_Queued] = deque()
        inspecting = 0
        for offer in offers:
            future = self._submit(offer) if self.pool and wanted(offer) else None
            ahead.append(_Queued(offer, future))
            inspecting += future is not None
            while inspecting > AHEAD * self.params.workers or len(ahead) > (QUEUED if inspecting else 0):
                inspecting -= ahead[0].future is not None
                yield self._take(ahead)
        while ahead:
            yield self._take(ahead)

    def _take(self, ahead: deque[_Queued]) -> InspectedOffer:
        offer, future = ahead.popleft()
        return InspectedOffer(offer, lambda: self._inspect(offer, future))

    def _inspect(self, offer: Offer, future: Future[Inspection] | None) -> Inspection:
        if not self.pool:
            return inspect_image(self.task(offer), self.photos, self.params)
        try:
            return (future or self._submit(offer)).result()
        except BrokenProcessPool as error:
            raise _killed(offer) from error

    def _submit(self, offer: Offer) -> Future[Inspection]:
        assert self.pool
        try:
            return self.pool.submit(_inspect, self.task(offer))
        except BrokenProcessPool as error:
            raise _killed(offer) from error


def _killed(offer: Offer) -> R2IError:
    return R2IError(
        f"a process that decodes images was killed, near {offer.source}",
        "it may have run out of memory: lower sample.workers in params.yaml; if it happens again, remove that image",
    )


# In the worker processes

_photos: Photos
_params: Sample


def _start(params: Sample) -> None:
    """Leave Ctrl-C to the stage, which ends its workers; end with the stage where that is killed."""
    global _photos, _params
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _photos, _params = Photos(params.pools), params
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _inspect(task: InspectionTask) -> Inspection:
    return inspect_image(task, _photos, _params)
