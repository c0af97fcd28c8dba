"""A reader of text in process, as a model: asked by the prompts of every other one, sampled by small changes.

Sample i of a request is read with the change that (seed, i) gives (r2i.ocr.reading.vary); greedily, as the picture is.
"""

from collections.abc import Sequence
from importlib.metadata import version

from PIL import Image

from r2i.core.errors import ImageError, R2IError
from r2i.core.images import read_image
from r2i.core.progress import track
from r2i.core.records import FAILED, OK
from r2i.endpoint.base import LoadedModel, Price, Reply, Request, sample_key
from r2i.ocr.engines import LIBRARIES
from r2i.ocr.reading import PLAIN, load_reader, vary
from r2i.ocr.tasks import Misunderstood, reply_to


class OcrModel:
    """The reader of a name of r2i.ocr.engines.LIBRARIES; `name` says its version, too.

    Raises EndpointError where its package is missing.
    """

    kind = "ocr"
    price: Price | None = None
    loaded: LoadedModel | None = None

    def __init__(self, reader: str) -> None:
        self.reader = load_reader(reader)
        self.name = f"{reader}@{version(LIBRARIES[reader][0])}"

    def complete(self, requests: Sequence[Request]) -> list[list[Reply]]:
        """`n` replies for each request, in order. What goes wrong with one request fails that one alone."""
        asked = track(requests, self.name, len(requests)) if len(requests) > 16 else requests
        return [self._answer(request) for request in asked]

    def _answer(self, request: Request) -> list[Reply]:
        try:
            images = [read_image(picture.load()) for picture in request.images]
        except ImageError as error:
            return [self._reply(request, sample, "", error.cause) for sample in range(request.n)]
        return [self._sample(request, images, sample) for sample in range(request.n)]

    def _sample(self, request: Request, images: list[Image.Image], sample: int) -> Reply:
        change = vary(request.seed, sample) if request.sampling.temperature > 0 else PLAIN
        try:
            text = reply_to(self.reader, request.prompt, request.form, images, request.seed, change)
        except Misunderstood:
            return self._reply(request, sample, "", "bad_request")
        except R2IError:
            raise
        except Exception:  # libraries raise anything on pictures that nobody has thought of
            return self._reply(request, sample, "", "reader_error")
        return self._reply(request, sample, text, "")

    def _reply(self, request: Request, sample: int, text: str, reason: str) -> Reply:
        key = sample_key(request.key(self.name), sample)
        return Reply(text, FAILED if reason else OK, reason, key, self.name)
