"""One image into its region rows: the same code in every executor."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from PIL import Image

from r2i.core.params import Crop, Cut
from r2i.core.records import FAILED
from r2i.crop.finders import Finding, make_finder
from r2i.crop.finished import pack
from r2i.crop.regions import find_regions_of, row_without_box

DIED = "segmenter_died"  # reason of an image that repeatedly killed its worker


class Stored(Protocol):
    """What is used of a picture (r2i.endpoint.base.Picture)."""

    def load(self) -> bytes: ...


class Task(NamedTuple):
    """An image to do. `key`: what its rows are kept under; `listing`: what the teacher listed, if it was asked."""

    image_id: str
    key: str
    listing: Any = None


class Worker:
    """Holds the finder, which is expensive to make. `pictures`: JPEG bytes by image_id."""

    def __init__(self, params: Crop, cut: Cut, pictures: Mapping[str, Stored]) -> None:
        self.params, self.cut, self.pictures = params, cut, pictures
        self.listings: dict[str, Any] = {}  # of the image in hand: the finder looks into it
        self.finder = make_finder(params, cut, self.listings)
        self.note = ""
        if params.method != "contours":
            import torch

            # sums depend on the number of threads in their last bits: one, so that every executor gives the same
            # bytes. GPUs don't care; on CPUs `executor: ray` uses all cores, an image on each
            torch.set_num_threads(1)

    def record(self, task: Task) -> bytes:
        """The finished image, for r2i.crop.finished. Raises R2IError where no image can be done."""
        self.note = ""
        if task.listing is not None:
            self.listings[task.image_id] = task.listing
        try:
            data = self.pictures[task.image_id].load()
            rows = find_regions_of(task.image_id, data, self._find, self.params, self.cut)
        finally:
            self.listings.clear()
        keep = all(row["status"] != FAILED for row in rows)  # failures are tried again by the next run
        return pack(task.key, rows, keep, self.note)

    def _find(self, image_id: str, image: Image.Image) -> Finding:
        try:
            return self.finder(image_id, image)
        except Exception as error:
            self.note = f"{image_id}: {type(error).__name__}: {error}"
            raise


def died(task: Task) -> bytes:
    """The record of an image whose worker did not survive it."""
    row = row_without_box(task.image_id, FAILED, DIED)
    return pack(task.key, [row], keep=False, note=f"{task.image_id}: its worker died")
