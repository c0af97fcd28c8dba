"""Each region's questions: written on the crop, then checked on the full image, without waiting for other regions."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from r2i.core.catalogue import IMAGES, QUESTIONS, REGIONS
from r2i.core.metrics import count_statuses, histogram
from r2i.core.params import Endpoint, Question
from r2i.core.photos import Photos
from r2i.core.records import OK
from r2i.core.shards import Counts, Shard
from r2i.core.tables import Row
from r2i.endpoint.base import Model, Picture
from r2i.endpoint.flow import Job
from r2i.endpoint.pictures import read_images, read_pictures, sort_by_picture
from r2i.endpoint.shard_jobs import JobWork
from r2i.question.check import apply_check, build_check_request
from r2i.question.reply import CHECKS
from r2i.question.write import build_write_request, read_questions

REGION = ["region_id", "image_id", "box", "status"]  # not the crops


class QuestionWork(JobWork[list[Row]]):
    """Images and regions → questions, by the teacher of the section `question`."""

    stage, inputs, needed, output = "question", (IMAGES, REGIONS), REGIONS, QUESTIONS

    def endpoints(self) -> dict[str, Endpoint]:
        return {"teacher": self.params.chosen.question.teacher}

    def start(self, shard: Shard) -> Iterable[Job[list[Row]]]:
        params = self.params.chosen.question
        regions = shard.ok_rows(REGIONS, REGION)
        image_ids, region_ids = ([region[name] for region in regions] for name in ("image_id", "region_id"))
        images = read_images(Photos.of(self.params), image_ids, params.max_pixels, shard.files[IMAGES.name])
        crops = read_pictures(shard.files[REGIONS.name], REGIONS.schema, "crop", "crop", region_ids, params.max_pixels)
        return question_jobs(regions, crops, images, self.models["teacher"], params, self.params.seed)

    def finish(self, shard: Shard, results: Sequence[list[Row]]) -> tuple[list[Row], Counts]:
        rows = [row for result in results for row in result]
        return rows, count_questions(rows)


def question_jobs(
    regions: Sequence[Row],
    crops: Mapping[str, Picture],
    images: Mapping[str, Picture],
    model: Model,
    params: Question,
    seed: int,
) -> Iterator[Job[list[Row]]]:
    """For each of `regions` (rows of REGIONS that are ok) its rows of QUESTIONS, checked if `params.validate_`.

    Every region has a row: one whose reply holds no question has a single row with question "".
    `crops`: by region_id; `images`: the originals by image_id, in whose order the regions are processed.
    """
    for region in sort_by_picture(regions, images, lambda region: region["image_id"]):
        yield question_job(region, crops[region["region_id"]], images[region["image_id"]], model, params, seed)


def question_job(
    region: Row, crop: Picture, image: Picture, model: Model, params: Question, seed: int
) -> Job[list[Row]]:
    """The rows of one region: one call writes its questions, then a call for each of them checks it."""
    request = build_write_request(region, image if params.view == "full" else crop, image, params, seed)
    ((reply,),) = yield [(model, request)]
    rows = read_questions(region, request, reply, params)
    written = [place for place, row in enumerate(rows) if row["status"] == OK]
    if not params.validate_ or not written:
        return rows
    requests = [build_check_request(rows[place], image, crop, params, seed) for place in written]
    replies = yield [(model, request) for request in requests]
    for place, request, (reply,) in zip(written, requests, replies, strict=True):
        rows[place] = apply_check(rows[place], request, reply, params)
    return rows


def count_questions(rows: Sequence[Row]) -> Counts:
    """The metrics of the stage, of one shard or of all.

    The funnel; questions per region (a histogram that counts 0) and by dimension, of those that are ok; questions that
    each check rejects; questions with a repaired reply.
    """
    per_region = Counter({row["region_id"]: 0 for row in rows})
    per_region.update(row["region_id"] for row in rows if row["status"] == OK)
    return {
        **count_statuses(rows),
        "regions": len(per_region),
        "questions_per_region": histogram(per_region.values()),
        "by_dimension": dict(Counter(row["dimension"] for row in rows if row["status"] == OK)),
        "check_said_no": {
            check: sum(1 for row in rows if row["checks"] and not row["checks"][place])
            for place, check in enumerate(CHECKS)
        },
        "repaired": sum(row["repaired"] for row in rows),
    }
