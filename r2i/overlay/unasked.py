"""Questions as train rows as they were asked: without answers, options and tries, and without a call to any model."""

from collections.abc import Callable, Iterable

from r2i.core import paths
from r2i.core.boxes import Box
from r2i.core.catalogue import IMAGES, QUESTIONS, REGIONS, TRAIN
from r2i.core.choices import adapt_prompt
from r2i.core.errors import ImageError
from r2i.core.ids import make_id
from r2i.core.names import TrainView
from r2i.core.photos import Photos
from r2i.core.prompts import load_prompt
from r2i.core.records import FAILED, OK, REJECTED
from r2i.core.shards import MadeShard, Shard, ShardWork
from r2i.core.tables import Row
from r2i.endpoint.base import Picture
from r2i.endpoint.pictures import read_images, read_pictures
from r2i.overlay.boxed import Drawer
from r2i.overlay.rows import NO_VIEW, choose_views, count_train_rows


class UnaskedWork(ShardWork):
    """Images, regions and questions → train rows, where `overlay.source` is `questions`."""

    stage, inputs, needed, output = "overlay", (IMAGES, REGIONS, QUESTIONS), QUESTIONS, TRAIN

    def run(self, shards: Iterable[Shard], done: Callable[[Shard, MadeShard], None]) -> None:
        with Drawer(paths.TRAIN.parent, self.params.chosen.drawing.outline) as drawer:
            for shard in shards:
                rows = self._rows(shard, drawer)
                done(shard, MadeShard(rows, count_train_rows(rows, 0)))

    def _rows(self, shard: Shard, drawer: Drawer) -> list[Row]:
        """A question that drew no view, or whose box can't be drawn, has one row without image."""
        params, seed = self.params.chosen.overlay, self.params.seed
        questions = shard.ok_rows(QUESTIONS)
        boxes = {row["region_id"]: Box(*row["box"]) for row in shard.rows(REGIONS, ["region_id", "box"]) if row["box"]}
        region_ids, image_ids = ([question[name] for question in questions] for name in ("region_id", "image_id"))
        crops = read_pictures(shard.files[REGIONS.name], REGIONS.schema, "crop", "crop", region_ids)
        images = read_images(Photos.of(self.params), image_ids, folder=shard.files[IMAGES.name])
        rows: list[Row] = []
        for question in questions:
            box, image = boxes[question["region_id"]], images[question["image_id"]]
            shown: dict[TrainView, Picture] = {"full": image, "crop": crops[question["region_id"]]}
            views = choose_views(question["question_id"], params, seed)
            try:
                if "boxed" in views:
                    shown["boxed"] = drawer.draw(image, box).result()
            except ImageError as error:
                rows.append(_dropped(question, box, FAILED, error.cause))
                continue
            rows += [_row(question, box, view, shown[view], params.prompts) for view in views]
            rows += [] if views else [_dropped(question, box, REJECTED, NO_VIEW)]
        return rows


def _row(question: Row, box: Box, view: TrainView, image: Picture, style: str) -> Row:
    prompt = load_prompt("answer", "answer", style).fill(question=question["question"])
    shown = {"image": image.load, "prompt": adapt_prompt(prompt, view, style)}
    return _base(question, box, view) | shown | {"status": OK, "reason": ""}


def _dropped(question: Row, box: Box, status: str, reason: str) -> Row:
    """The one row of a question that is not trained on."""
    return _base(question, box, "boxed") | {"image": None, "prompt": "", "status": status, "reason": reason}


def _base(question: Row, box: Box, view: TrainView) -> Row:
    same = ("question_id", "region_id", "image_id", "question", "dimension")
    unasked: Row = {"options": [], "answer": "", "label": "", "agree": None, "right": 0, "tries": 0}
    calls: Row = {"distractor_calls": [], "try_calls": []}
    here = {"row_id": make_id(question["question_id"], view), "view": view, "box": box}
    return {name: question[name] for name in same} | here | unasked | calls
