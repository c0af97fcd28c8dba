"""`crop` over many images: one after another here, or on all that Ray has; finished images are never done again."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from r2i.core import paths
from r2i.core.fingerprint import code_digests, library_versions
from r2i.core.ids import make_id
from r2i.core.images import file_sha256, sha256
from r2i.core.params import Crop, Cut, Execution
from r2i.core.progress import track
from r2i.core.records import REGIONS
from r2i.crop.finished import FinishedImages, remove_unused
from r2i.crop.worker import Stored, Task, Worker

LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "pycocotools", "sam2", "torch", "torchvision")
IN_THE_LISTING = {"teacher", "listing", "prompts"}  # what the teacher replied is part of each image's key
WORKER = "r2i.crop.worker"  # one image into its rows, in every executor
NOTES = 5  # failures that are told on stderr; the table has them all


@contextmanager
def regions_of_all(
    open_pictures: Callable[[], Mapping[str, Stored]],
    params: Crop,
    cut: Cut,
    listings: Mapping[str, Any] | None = None,
    execution: Execution = Execution(),
    state: Path | None = None,
) -> Iterator[FinishedImages]:
    """All images done: `FinishedImages.rows()` gives their region rows (records.REGIONS), crops read when asked for.

    `open_pictures` gives the JPEGs by image_id, in the order in which they are best read; it is called in
    every worker, so it must pickle and be true on every node. `listings`: teacher+sam2's, by image_id.
    Raises R2IError where no image can be done.
    """
    pictures = open_pictures()
    tasks = [Task(name, _key(name, listings), (listings or {}).get(name)) for name in pictures]
    root = (state or paths.state_folder().absolute()) / "crop"
    with FinishedImages(root / fingerprint(params, cut), (task.key for task in tasks)) as done:
        missing = [task for task in tasks if task.key not in done]
        if len(missing) < len(tasks):
            print(f"crop: {len(tasks) - len(missing)} of {len(tasks)} images were finished before", file=sys.stderr)
        if missing:
            _keep_all(
                _records(missing, pictures, open_pictures, params, cut, execution, done.folder), len(missing), done
            )
        yield done
    remove_unused(root)


def _key(image_id: str, listings: Mapping[str, Any] | None) -> str:
    """A teacher that lists other objects makes another image of it."""
    return image_id if listings is None else make_id(image_id, repr(listings.get(image_id)))


def _records(
    tasks: list[Task],
    pictures: Mapping[str, Stored],
    open_pictures: Callable[[], Mapping[str, Stored]],
    params: Crop,
    cut: Cut,
    execution: Execution,
    folder: Path,
) -> Iterator[bytes]:
    if execution.executor == "ray":
        from r2i.crop.ray_run import records_by_ray

        yield from records_by_ray(tasks, open_pictures, params, cut, folder)
    else:
        worker = Worker(params, cut, pictures)
        yield from map(worker.record, tasks)


def _keep_all(records: Iterable[bytes], total: int, done: FinishedImages) -> None:
    told = 0
    for record in track(records, "crop", total):
        note = done.add(record)
        if note and (told := told + 1) <= NOTES:
            print(f"crop: an image failed: {note}", file=sys.stderr)


def fingerprint(params: Crop, cut: Cut) -> str:
    """32 hex digits that change with anything that may change a row or a byte of a crop: finished images' folder.

    Names of local files stand for their content. Raises R2IError where a file of the code is missing.
    """
    settings = params.model_dump(mode="json", exclude=IN_THE_LISTING)
    for name in ("sam2_model", "sam2_config"):
        path = Path(settings[name])
        if params.method != "contours" and path.is_file():
            settings[name] = file_sha256(path)
    schema = REGIONS.to_string(show_field_metadata=False)
    parts = [settings, cut.model_dump(mode="json"), schema, code_digests(WORKER), library_versions(LIBRARIES)]
    return sha256(json.dumps(parts, sort_keys=True).encode())[:32]
