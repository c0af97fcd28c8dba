"""`execution.executor: ray`: the same rows by Ray Data, a finder on every GPU there is, else on every core.

What goes to a worker is an image's id; it reads the image itself. So the repository's folder and the pools
must be visible under the same path on every node. What comes back is the finished image's record.
"""

import os
import pickle
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from r2i.core.errors import R2IError
from r2i.core.params import Crop, Cut
from r2i.core.ray_tasks import connected_ray, plain_error
from r2i.crop.worker import Stored, Task, Worker, died

TASK_IMAGES = 8  # that a worker gets at once, and most that are lost with the driver, for each worker
STRIKES = 3  # workers that die over one image before it is given up


def records_by_ray(
    tasks: list[Task], open_pictures: Callable[[], Mapping[str, Stored]], params: Crop, cut: Cut, folder: Path
) -> Iterator[bytes]:
    """The record of each task, in the order in which they are finished.

    `folder`, on a disk that all nodes see, takes notes about images under way. Ray starts a worker that died
    again and repeats its images; one that STRIKES workers died over becomes a failed row. Raises R2IError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tries-", dir=folder) as tries, connected_ray() as ray:
        import ray.data

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars, context.raise_original_map_exception = False, True
        rows = [{"task": pickle.dumps(tuple(task))} for task in tasks]
        offered = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // TASK_IMAGES))
        places, count = _places(ray, params, len(rows))
        texts = (params.model_dump_json(by_alias=True), cut.model_dump_json())
        given = (*texts, open_pictures, str(Path.cwd()), tries, count)
        finished = offered.map_batches(
            _Actor, fn_constructor_args=given, batch_size=None, batch_format="pyarrow", **places
        )
        try:
            batches: Any = finished.iter_batches(batch_size=None, batch_format="pyarrow")
            for batch in batches:
                yield from batch.column("record").to_pylist()
        except Exception as error:  # Ray's own, and what a worker raised, wrapped
            raise plain_error(error) from error


class Tries:
    """Counts tries that have not ended well, in a folder that outlives the workers: a byte for each in a file."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def begin(self, name: str, most: int) -> bool:
        """Count one more; False, and nothing counted, after `most`."""
        with (self.folder / name).open("ab") as file:
            allowed = file.tell() < most
            file.write(b"x" * allowed)
        return allowed

    def end(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)


class _Actor:
    """A worker in a process of Ray's, one of `count`."""

    def __init__(
        self,
        params: str,
        cut: str,
        open_pictures: Callable[[], Mapping[str, Stored]],
        folder: str,
        tries: str,
        count: int,
    ) -> None:
        os.chdir(folder)  # paths in params are relative to the repository
        self.tries = Tries(tries)
        if not self.tries.begin("start", STRIKES * count):
            raise R2IError("workers die while they load the finder", "see Ray's logs, or try executor: local")
        self.worker = Worker(Crop.model_validate_json(params), Cut.model_validate_json(cut), open_pictures())
        self.tries.end("start")

    def __call__(self, batch: pa.Table) -> pa.Table:
        records = [self._record(Task(*pickle.loads(data))) for data in batch.column("task").to_pylist()]
        return pa.table({"record": pa.array(records, pa.large_binary())})

    def _record(self, task: Task) -> bytes:
        if not self.tries.begin(task.image_id, STRIKES):
            return died(task)
        record = self.worker.record(task)
        self.tries.end(task.image_id)
        return record


def _places(ray: Any, params: Crop, images: int) -> tuple[dict[str, Any], int]:
    """A worker on every GPU of the cluster; without one, or for contours, on every core. And how many."""
    there = ray.cluster_resources()
    gpus = 0 if params.method == "contours" else int(there.get("GPU", 0))
    count = max(1, min(gpus or int(there.get("CPU", 1)), -(-images // TASK_IMAGES)))
    kind = {"num_gpus": 1} if gpus else {"num_cpus": 1}
    return {**kind, "compute": ray.data.ActorPoolStrategy(size=count)}, count
