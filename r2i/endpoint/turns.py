"""Servers of r2i's that share a device: each is up in its turn, and has stopped before the next one starts.

What a job asks out of turn is put off: the job ends there and runs again in the next turn, where all that it has asked
before comes from the store. So nothing waits in memory, and its rows are those of servers that are up together.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from r2i.core.records import OK
from r2i.endpoint.base import Model, Reply, Request, ServedModel
from r2i.endpoint.flow import Job

if TYPE_CHECKING:
    from r2i.endpoint.remote import RemoteModel

T = TypeVar("T")
PUT_OFF: Any = object()
"""Result of a job that has to run again in another turn."""


class SharingModel(ServedModel):
    """A model behind a server that shares its device.

    A reply that failed and is not stored stands for the whole run: the server whose call it was may be stopped by the
    time when the job asks again.
    """

    def __init__(self, model: "RemoteModel") -> None:
        self.model, self.name, self.kind, self.price = model, model.name, model.kind, model.price
        self.failed: dict[str, list[Reply]] = {}  # by the request's key

    def complete(self, requests: Sequence[Request]) -> list[list[Reply]]:
        return self.model.complete(requests)

    async def ask(self, request: Request) -> list[Reply]:
        if known := self._known(request):
            return known
        replies = await self.model.ask(request)
        if any(reply.status != OK for reply in replies) and not self.model.is_stored(request):
            self.failed[self.model.key(request)] = replies
        return replies

    def _known(self, request: Request) -> list[Reply] | None:
        return self.failed.get(self.model.key(request)) if self.failed else None

    def is_stored(self, request: Request) -> bool:
        """Whether its replies are known without the server."""
        return self._known(request) is not None or self.model.is_stored(request)

    def progress(self) -> str:
        return self.model.progress()

    def check_end(self) -> None:
        self.model.check_end()

    async def settle(self, grace_s: float) -> None:
        await self.model.settle(grace_s)


class Turns:
    """Whose turn it is of the models whose servers are r2i's. `models`: those of a stage, by its names for them."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        started = {id(model): model for model in models.values() if model.kind == "vllm"}
        sharing = {at: SharingModel(cast("RemoteModel", model)) for at, model in started.items()}
        self.sharing = list(sharing.values())
        self.models: dict[str, Model] = {name: sharing.get(id(model), model) for name, model in models.items()}
        self.current: SharingModel | None = None

    def __iter__(self) -> Iterator[SharingModel]:
        """The turns, in order of names, again and again; the server of a turn stops at its end."""
        while True:
            for model in self.sharing:
                with self._turn(model):
                    yield model

    @contextmanager
    def _turn(self, model: SharingModel) -> Iterator[None]:
        self.current = model
        try:
            yield
        finally:
            self.current = None
            model.model.close()

    def as_far(self, jobs: Iterable[Job[T]]) -> Iterator[Job[T]]:
        """Each job as far as it comes in this turn: its result, or PUT_OFF."""
        return (self._go(job) for job in jobs)

    def _go(self, job: Job[T]) -> Job[T]:
        try:
            requests = next(job)
            while all(self._is_open(*asked) for asked in requests):
                requests = job.send((yield requests))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        job.close()
        if now := [asked for asked in requests if self._is_due(*asked)]:
            yield now
        return PUT_OFF  # type: ignore[no-any-return]

    def _is_due(self, model: Model, request: Request) -> bool:
        return model is self.current and not self.current.is_stored(request)

    def _is_open(self, model: Model, request: Request) -> bool:
        """Whether it can be asked now. Others than those that share can at any time."""
        return not isinstance(model, SharingModel) or model is self.current or model.is_stored(request)
