"""Item by item: wrong answers, the boxed image, the student's tries, without waiting for other items."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any, NamedTuple

from r2i.core import paths
from r2i.core.boxes import Box
from r2i.core.catalogue import IMAGES, REGIONS, TRAIN, VOTES
from r2i.core.errors import ImageError
from r2i.core.params import Endpoint, Overlay, Params
from r2i.core.photos import Photos
from r2i.core.records import FAILED, OK
from r2i.core.shards import Counts, Shard
from r2i.core.tables import Row
from r2i.endpoint.base import Model, Picture
from r2i.endpoint.flow import Job
from r2i.endpoint.pictures import read_images, read_pictures, sort_by_picture
from r2i.endpoint.shard_jobs import JobWork
from r2i.overlay.boxed import Drawer
from r2i.overlay.difficulty import try_student
from r2i.overlay.distractors import add_options
from r2i.overlay.item import Item, hold_out_dimensions, hold_out_images, make_items, still_ok
from r2i.overlay.reviewed import reserve, review_items
from r2i.overlay.rows import count_train_rows, train_rows
from r2i.review.decisions import by_subject, read_decisions
from r2i.review.outcomes import Outcomes


class BegunOverlay(NamedTuple):
    """A shard between its votes and its train rows."""

    items: Sequence[Item]
    crops: Mapping[str, Picture]
    images: Mapping[str, Picture]
    review: Outcomes | None
    drawer: Drawer
    open_files: ExitStack


class OverlayWork(JobWork[None]):
    """Images, regions and votes → train rows, as far as a shard alone decides about them."""

    stage, inputs, needed, output = "overlay", (IMAGES, REGIONS, VOTES), VOTES, TRAIN

    def __init__(self, params: Params, workers: int = 1) -> None:
        super().__init__(params, workers)
        self.begun: dict[str, BegunOverlay] = {}  # by the shard's name
        self.decisions = read_decisions(paths.REVIEWED_QUESTIONS)

    def endpoints(self) -> dict[str, Endpoint]:
        params = self.params.chosen.overlay
        return {"teacher": params.teacher, "student": params.student}

    def depends_on(self, shard: Shard) -> Any:
        """What people decided about the shard's questions, too."""
        about = by_subject(self.decisions.standing())
        if about:
            asked = {row["question_id"] for row in shard.rows(VOTES, ["question_id"])}
            about = {name: decisions for name, decisions in about.items() if name in asked}
        standing = {name: [one.model_dump(mode="json") for one in decisions] for name, decisions in about.items()}
        return [super().depends_on(shard), standing]

    def start(self, shard: Shard) -> Iterable[Job[None]]:
        params, drawing, seed = self.params.chosen.overlay, self.params.chosen.drawing, self.params.seed
        votes = shard.ok_rows(VOTES)
        boxes = {row["region_id"]: Box(*row["box"]) for row in shard.rows(REGIONS, ["region_id", "box"]) if row["box"]}
        region_ids, image_ids = ([vote[name] for vote in votes] for name in ("region_id", "image_id"))
        crops = read_pictures(shard.files[REGIONS.name], REGIONS.schema, "crop", "crop", region_ids)
        images = read_images(Photos.of(self.params), image_ids, folder=shard.files[IMAGES.name])
        items = make_items(votes, boxes)
        review = review_items(items, self.decisions, images, drawing.cut)
        hold_out_dimensions(items, params.held_out_dimensions)
        files = ExitStack()
        drawer = files.enter_context(Drawer(paths.TRAIN.parent, drawing.outline))
        self.begun[shard.name] = BegunOverlay(items, crops, images, review, drawer, files)
        teacher, student = self.models["teacher"], self.models["student"]
        return item_jobs(items, crops, images, drawer, teacher, student, params, seed)

    def finish(self, shard: Shard, results: Sequence[None]) -> tuple[Sequence[Row], Counts]:
        begun, params = self.begun[shard.name], self.params.chosen.overlay
        reserve(begun.items, begun.review)
        hold_out_images(begun.items, params.held_out_images, self.params.seed)
        rows = train_rows(begun.items, begun.crops, begun.images, params, self.params.seed)
        repaired = sum(item.repaired for item in begun.items)
        return rows, {**count_train_rows(rows, params.tries), "repaired": repaired}

    def release(self, shard: Shard) -> None:
        if begun := self.begun.pop(shard.name, None):
            begun.open_files.close()


def item_jobs(
    items: Sequence[Item],
    crops: Mapping[str, Picture],
    images: Mapping[str, Picture],
    drawer: Drawer,
    teacher: Model,
    student: Model,
    params: Overlay,
    seed: int,
) -> Iterator[Job[None]]:
    """Give every item that is ok its options, its boxed image and the student's tries; drop those that fall short.

    `crops`: by region_id; `images`: the full ones by image_id, in whose order the items are gone through.
    """
    for item in sort_by_picture(still_ok(items), images, lambda item: item.vote["image_id"]):
        image, crop = images[item.vote["image_id"]], item.crop or crops[item.vote["region_id"]]
        boxed = drawer.draw(image, item.box)
        yield item_job(item, (crop, image) if params.sees_image else (crop,), boxed, teacher, student, params, seed)


def item_job(
    item: Item,
    shown: tuple[Picture, ...],
    boxed: Future[Picture],
    teacher: Model,
    student: Model,
    params: Overlay,
    seed: int,
) -> Job[None]:
    """One item, as far as it stays ok. `shown`: to the teacher."""
    yield from add_options(item, shown, teacher, params, seed)
    if item.status == OK:
        try:
            item.boxed = boxed.result()
        except ImageError as error:
            item.drop(FAILED, error.cause)
    if item.status == OK:
        yield from try_student(item, student, params, seed)
