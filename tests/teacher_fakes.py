"""A scripted model behind the one seam, `complete`, and small tables for the rooms' tests."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from PIL import Image

from r2i.core.ids import make_id
from r2i.core.images import jpeg_bytes
from r2i.core.provenance import NO_CALL
from r2i.core.tables import Row
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


def picture(shade: int, side: int = 64) -> bytes:
    return jpeg_bytes(Image.new("RGB", (side, side), (shade, shade, shade)))


def region_row(number: int) -> Row:
    """An ok region of image `image-<number>`; its crop is a picture of its own shade."""
    return {
        "region_id": f"region-{number}", "image_id": f"image-{number}", "box": [8, 8, 24, 24], "score": 0.9,
        "area_share": 0.0625, "crop": picture(10 + number, 32), "status": "ok", "reason": "",
    }  # fmt: skip


def image_row(number: int) -> Row:
    return {
        "image_id": f"image-{number}", "source": f"pool/{number}.jpg", "format": "JPEG", "mode": "RGB", "width": 64,
        "height": 64, "phash": "0" * 16, "image": picture(100 + number), "status": "ok", "reason": "",
    }  # fmt: skip


def question_row(number: int, question: str = "what digit is on the red square?") -> Row:
    return {
        "question_id": make_id(f"region-{number}", question), "region_id": f"region-{number}",
        "image_id": f"image-{number}", "question": question, "dimension": "ocr", "checks": [True] * 4,
        "repaired": False, **NO_CALL, "model": "fake", "check": None, "status": "ok", "reason": "",
    }  # fmt: skip


def vote_row(number: int, answer: str = "5") -> Row:
    question = question_row(number)
    same = ("question_id", "region_id", "image_id", "question", "dimension")
    return {name: question[name] for name in same} | {
        "answer": answer, "agree": 8, "valid": 8, "asked": 8, "groups": [{"answer": answer, "count": 8}],
        "judge": None, "status": "ok", "reason": "",
    }  # fmt: skip


def by_reason(rows: Sequence[Row]) -> dict[str, int]:
    """`{"rejected: tie": 2, "ok: ": 1}`."""
    counts: dict[str, int] = {}
    for row in rows:
        name = f"{row['status']}: {row['reason']}"
        counts[name] = counts.get(name, 0) + 1
    return counts
