"""A scripted model behind the one seam, `complete`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from r2i.endpoint.base import Model, Picture, Reply, Request, sample_key

Script = Callable[[Request, int], str | Reply]


class FakeModel:
    """Replies with `script(request, sample)`: a text, or a Reply as made by `failed`. Keeps the requests."""

    kind, price, loaded = "local", None, None

    def __init__(self, script: Script, name: str = "fake") -> None:
        self.script, self.name = script, name
        self.asked: list[Request] = []

    def complete(self, requests: Sequence[Request]) -> list[list[Reply]]:
        self.asked += requests
        return [[self._reply(request, sample) for sample in range(request.n)] for request in requests]

    def _reply(self, request: Request, sample: int) -> Reply:
        said = self.script(request, sample)
        return said if isinstance(said, Reply) else ok(said, sample_key(request.key(self.name), sample), self.name)


def connecting(model: Model) -> Callable[[object], AbstractContextManager[Model]]:
    """What stands for r2i.endpoint.connect: every endpoint is `model`."""

    @contextmanager
    def connect(_: object) -> Iterator[Model]:
        yield model

    return connect


def sent(request: Request) -> tuple[bytes, ...]:
    """The bytes of a request's images."""
    return tuple(picture.load() for picture in request.images)


def pictures(blobs: Mapping[str, bytes]) -> dict[str, Picture]:
    return {name: Picture.of(data) for name, data in blobs.items()}


def ok(text: str, key: str = "key", model: str = "fake") -> Reply:
    return Reply(text, "ok", "", key, model)


def failed(reason: str, text: str = "") -> Reply:
    return Reply(text, "failed", reason, "key", "fake")
