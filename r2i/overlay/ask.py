"""Item by item: wrong answers, the boxed image, the student's tries, without waiting for other items."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from r2i.core.errors import ImageError
from r2i.core.params import Overlay
from r2i.core.records import FAILED, OK
from r2i.endpoint.base import Model, Picture
from r2i.endpoint.flow import Job, run_jobs
from r2i.endpoint.ledger import Ledger
from r2i.endpoint.pictures import sort_by_picture
from r2i.overlay.boxed import Drawer
from r2i.overlay.difficulty import try_student
from r2i.overlay.distractors import add_options
from r2i.overlay.item import Item, still_ok


def prepare_items(
    items: Sequence[Item],
    crops: Mapping[str, Picture],
    images: Mapping[str, Picture],
    drawer: Drawer,
    teacher: Model,
    student: Model,
    params: Overlay,
    seed: int,
    ledger: Ledger | None = None,
) -> None:
    """Give every item that is ok its options, its boxed image and the student's tries; drop those that fall short.

    `crops`: by region_id; `images`: the full ones by image_id, in whose order the items are gone through.
    """

    def start(item: Item) -> Job[None]:
        boxed = drawer.draw(images[item.vote["image_id"]], item.box)
        crop = item.crop or crops[item.vote["region_id"]]
        return item_job(item, crop, boxed, teacher, student, params, seed)

    ordered = sort_by_picture(still_ok(items), images, lambda item: item.vote["image_id"])
    run_jobs(map(start, ordered), ledger, len(ordered))


def item_job(
    item: Item, crop: Picture, boxed: Future[Picture], teacher: Model, student: Model, params: Overlay, seed: int
) -> Job[None]:
    """One item, as far as it stays ok."""
    yield from add_options(item, crop, teacher, params, seed)
    if item.status == OK:
        try:
            item.boxed = boxed.result()
        except ImageError as error:
            item.drop(FAILED, error.cause)
    if item.status == OK:
        yield from try_student(item, student, params, seed)
