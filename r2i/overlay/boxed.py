"""The full image with its region's box: drawn once for each item, kept on disk until the train rows are written."""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from r2i.core.boxes import Box
from r2i.core.drawing import make_boxed
from r2i.core.images import read_image, sha256
from r2i.core.params import Outline
from r2i.core.spool import Spool
from r2i.endpoint.base import Picture


class Drawer:
    """Draws in threads of its own, so that a job finds its picture ready when the teacher has replied.

    The pictures lie in a spool in `folder` (r2i.core.spool).
    """

    def __init__(self, folder: Path, outline: Outline) -> None:
        self.spool, self.outline = Spool(folder), outline

    def __enter__(self) -> Self:
        self.pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "draw")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.pool.shutdown(cancel_futures=True)
        self.spool.close()

    def draw(self, image: Picture, box: Box) -> Future[Picture]:
        """The boxed image, some time; its result raises ImageError where `image` can't be read."""
        return self.pool.submit(self._draw, image, box)

    def _draw(self, image: Picture, box: Box) -> Picture:
        data = make_boxed(read_image(image.load()), box, self.outline)
        return Picture(self.spool.keep(data), sha256(data))
