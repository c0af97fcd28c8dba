"""A shard is the unit of work: one function of its input shards, kept under the digest of all that decides about it.

The tables from images to train rows are cut alike. `sample` decides where: images in the order of their `source` (pool
and path) are cut where a hash of an image's id says so, so that the cut is a function of the images alone and images
that come together, a new folder or a new tar, touch few shards. A shard's name is a hash of its first image.

A finished shard lies in the state folder. A stage that runs again, after a kill too, links what is there and makes the
rest: kept shards are a saving and no part of a result, and may be deleted at any time. One that holds a failure that
may pass is made anew.
"""

import ctypes
import hashlib
import json
import os
import shutil
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from r2i.core import paths
from r2i.core.catalogue import Listed
from r2i.core.disk import new_file, new_folder
from r2i.core.errors import R2IError, TableError
from r2i.core.executors import Task, run_tasks
from r2i.core.fingerprint import code_text, library_versions
from r2i.core.ids import make_id
from r2i.core.images import file_sha256, sha256
from r2i.core.params import Params, load_params
from r2i.core.records import OK
from r2i.core.tables import (
    Row,
    no_ok_row,
    no_rows,
    part_name,
    part_path,
    read_table,
    sort_rows,
    table_parts,
    write_part,
)

LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "pyarrow", "torch", "transformers")
NAME_DIGITS = 12
KEEP_DAYS = 30  # of shards that no run uses
KEEP_GB = 100.0  # of all stages' shards together
SAFE_S = 86400.0  # what was used so lately is never removed: another run may be about to link it
Counts = dict[str, Any]
"""Numbers by name, nested: those of two shards are added (`add_counts`)."""
Amend = Callable[[Path, dict[str, Counts]], None]
"""The table's folder while it is made, and the counts by the shard's name."""


def cut_shards(image_ids: Iterable[str], images: int) -> dict[str, str]:
    """The name of each image's shard, in the given order, which is that of their sources.

    A shard holds `images` in the mean, at least half and at most twice as many, but for the last one. Whether one
    begins with an image depends on the image's id and on how many came since the cut before.
    """
    least, most = max(1, images // 2), 2 * images
    names: dict[str, str] = {}
    name, count = "", 0
    for image_id in image_ids:
        if not name or count >= most or (count >= least and _is_mark(image_id, images - least)):
            name, count = make_id("shard", image_id)[:NAME_DIGITS], 0
        names[image_id] = name
        count += 1
    return names


def _is_mark(image_id: str, one_in: int) -> bool:
    return int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:8], "big") % max(1, one_in) == 0


@dataclass(frozen=True)
class Shard:
    """One key range of a stage's input tables. `files`: by the table's name."""

    name: str
    files: Mapping[str, Path]

    def rows(self, table: Listed, columns: list[str] | None = None) -> list[Row]:
        """The rows of the shard in one of the tables, in order of their id."""
        return read_table(self.files[table.name], table.schema, table.stage, columns, allow_empty=True)

    def ok_rows(self, table: Listed, columns: list[str] | None = None) -> list[Row]:
        return [row for row in self.rows(table, columns) if row["status"] == OK]


class MadeShard(NamedTuple):
    """An output shard. `settled`: making it again would give the same rows; a failure that may pass is not."""

    rows: Sequence[Mapping[str, Any]]
    counts: Counts
    settled: bool = True


class ShardWork(ABC):
    """A stage's work on one shard. Every process builds its own from the params."""

    stage: str
    inputs: tuple[Listed, ...]
    needed: Listed | None
    """The one of `inputs` without whose ok rows there is nothing to do; None: its work is done on any rows."""
    output: Listed | None
    """None: the counts are all that comes of it."""
    which = ""
    """The run or the model, in a stage that has several."""

    def __init__(self, params: Params, workers: int = 1) -> None:
        """`workers`: processes that share the work, and thereby the limits of servers."""
        self.params, self.workers = params, workers

    @abstractmethod
    def run(self, shards: Iterable[Shard], done: Callable[[Shard, MadeShard], None]) -> None:
        """Make each shard and hand it to `done`, which writes it. `shards` is taken from lazily."""

    def require_made(self, counts: Counts) -> None:  # noqa: B027 - most work makes something or raises
        """Raise R2IError where nothing came of the work. `counts`: the sum over all shards of the table."""

    def depends_on(self, shard: Shard) -> Any:
        """What else decides about this shard's rows, as JSON: beside its inputs, the params and the code."""
        return None

    def most_workers(self) -> int | None:
        """Processes that may share the work; None: any number."""
        return None

    def gpus(self) -> int:
        """GPUs of one process, where there are any."""
        return 0

    def keys(self) -> list[str]:
        """Names of the environment's variables with keys that it needs."""
        return []


WorkType = Callable[..., ShardWork]
"""Makes the work out of params and, where several processes share it, their number. It must pickle."""
Due = tuple[Shard, str]
"""A shard that is to be made, and the digest of all that decides about it."""


def make_table(work_type: WorkType, file: Path, amend: Amend | None = None) -> Counts:
    """Write the work's output table, where it has one; the sum of its shards' counts.

    `file`: params.yaml. `amend` may rewrite shards, and count them anew, before the table takes its place: what crosses
    shards. Raises TableError where the inputs are missing, cut differently or without an ok row; what the work raises.
    """
    params = load_params(file)
    work = work_type(params)
    shards = list_shards(work.inputs)
    if work.needed:
        require_ok_rows(work.needed)
    kept = KeptShards(paths.state_folder().absolute() / "shards" / work.stage)
    keys = _keys(work, shards)
    counts = {shard.name: kept.find(keys[shard.name]) for shard in shards}
    due = [(shard, keys[shard.name]) for shard in shards if counts[shard.name] is None]
    if due and len(due) < len(shards):
        print(f"{work.stage}: {len(shards) - len(due)} of {len(shards)} shards were made before", file=sys.stderr)
    given = (work_type, params, kept, str(Path.cwd()))
    run_tasks(Task(work_on, given, due, work.gpus(), work.keys()), params.chosen.execution, work.most_workers())
    counts |= {shard.name: kept.find(key, settled=False) for shard, key in due}
    of_each = {name: found for name, found in counts.items() if found is not None}
    if len(of_each) < len(shards):
        raise R2IError(f"{work.stage}: a shard that was made is gone from {kept.root}", "run again")
    work.require_made(sum_counts(of_each.values()))
    if work.output:
        with new_folder(work.output.folder) as folder:
            for name in of_each:
                kept.link(keys[name], part_path(folder, name))
            if amend:
                amend(folder, of_each)
    remove_unused(kept.root.parent)
    return sum_counts(of_each.values())


def work_on(
    work_type: WorkType, params: Params, kept: "KeptShards", cwd: str, due: Sequence[Due], workers: int
) -> None:
    """Make and keep the shards that are `due`: in this process, or in one of `workers`.

    One that is there is left out: a worker that died had made it, or another run has meanwhile.
    """
    os.chdir(cwd)  # paths in params are relative to the repository
    work, keys = work_type(params, workers), {shard.name: key for shard, key in due}

    def keep(shard: Shard, made: MadeShard) -> None:
        kept.add(keys[shard.name], made, work.output)
        return_memory()

    work.run((shard for shard, key in due if kept.find(key) is None), keep)


def list_shards(tables: Sequence[Listed]) -> list[Shard]:
    """The shards of tables that are cut alike, in order. Raises TableError where they are not."""
    first, *others = [(table, {part_name(path): path for path in table.parts()}) for table in tables]
    for table, parts in others:
        if parts.keys() != first[1].keys():
            raise TableError(
                f"{table.folder} and {first[0].folder} are cut into different shards: they are of different runs",
                f"run `dvc repro {table.stage}`",
            )
    everything = [first, *others]
    return [Shard(name, {table.name: parts[name] for table, parts in everything}) for name in sorted(first[1])]


def require_ok_rows(table: Listed) -> None:
    """Raise TableError where no row of `table` is ok: the next stage has no input."""
    rows = 0
    for path in table_parts(table.folder, table.schema, table.stage):
        status = pq.read_table(path, columns=["status"]).column(0)
        if pc.any(pc.equal(status, OK)).as_py():
            return
        rows += len(status)
    raise (no_ok_row if rows else no_rows)(table.folder, table.stage)


def _keys(work: ShardWork, shards: Iterable[Shard]) -> dict[str, str]:
    """By the shard's name, the digest of all that decides about its rows."""
    columns = work.output.schema.to_string() if work.output else ""
    common = [code_text(work.stage, work.params, work.which), library_versions(LIBRARIES), columns]
    return {shard.name: _digest([*common, _digests(shard), work.depends_on(shard)]) for shard in shards}


def _digests(shard: Shard) -> dict[str, str]:
    return {name: file_sha256(path) for name, path in sorted(shard.files.items())}


def _digest(parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def sum_counts(counts: Iterable[Counts]) -> Counts:
    """`add_counts` of all; {} where there are none."""
    total: Counts = {}
    for each in counts:
        total = add_counts(total, each)
    return total


def add_counts(left: Any, right: Any) -> Any:
    """Numbers summed, mappings key by key."""
    if isinstance(left, Mapping):
        return {key: add_counts(left[key], right[key]) if key in left and key in right else (left | right)[key]
                for key in sorted(left.keys() | right.keys())}  # fmt: skip
    return left + right


class KeptShards:
    """Finished shards of one stage: `<key>.parquet`, where it has rows, and `<key>.json` once that is whole.

    The second is a digest of its own text, then that text: the digest of the first and the counts, as JSON.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def _path(self, key: str, suffix: str) -> Path:
        return self.root / key[:2] / (key + suffix)

    def find(self, key: str, settled: bool = True) -> Counts | None:
        """The counts of a shard that is there and whole; else None. `settled`: if it would not come out otherwise."""
        note, table = self._path(key, ".json"), self._path(key, ".parquet")
        try:
            own, _, text = note.read_text(encoding="utf-8").partition("\n")
            about = json.loads(text) if own == sha256(text.encode()) else {}
            usable = about["settled"] or not settled
            if usable and (about["sha256"] is None or file_sha256(table) == about["sha256"]):
                os.utime(note)  # in use; the table's own time is DVC's
                return dict(about["counts"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return None

    def add(self, key: str, made: MadeShard, table: Listed | None) -> None:
        """Raises DiskError."""
        digest = None
        if table:
            with new_file(self._path(key, ".parquet")) as part:
                write_part(part, sort_rows(made.rows, table.schema, str(table.folder)), table.schema)
                digest = file_sha256(part)
        about = {"sha256": digest, "counts": made.counts, "settled": made.settled}
        text = json.dumps(about, sort_keys=True)
        with new_file(self._path(key, ".json")) as part:
            part.write_text(f"{sha256(text.encode())}\n{text}", encoding="utf-8")

    def link(self, key: str, place: Path) -> None:
        """The shard's file at `place`, without a copy where the disk can: nobody writes into either."""
        path = self._path(key, ".parquet")
        try:
            os.link(path, place)
        except OSError:
            shutil.copyfile(path, place)


def remove_unused(root: Path) -> None:
    """Remove shards that no run has used for KEEP_DAYS, and the longest unused while all take over $R2I_SHARDS_GB.

    `root`: of all stages' kept shards.
    """
    found = []
    for stem in {path.with_suffix("") for path in root.glob("*/??/*") if path.suffix in (".json", ".parquet")}:
        files = [stem.with_suffix(".json"), stem.with_suffix(".parquet")]
        with suppress(OSError, IndexError):  # another run removes it too
            states = [path.stat() for path in files if path.exists()]
            found.append((states[0].st_mtime, sum(state.st_size for state in states), files))
    bound = float(os.environ.get("R2I_SHARDS_GB", KEEP_GB)) * 1e9
    taken, now = sum(size for _, size, _ in found), time.time()
    for used, size, files in sorted(found):
        if now - used > KEEP_DAYS * 86400 or (taken > bound and now - used > SAFE_S):
            for path in files:
                path.unlink(missing_ok=True)
            taken -= size


def return_memory() -> None:
    """Give the system back what a shard's threads have freed: glibc keeps it, in a heap for each thread."""
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def forget_shards() -> None:
    """Remove all kept shards: what they were made of was taken back, e.g. stored replies."""
    shutil.rmtree(paths.state_folder() / "shards", ignore_errors=True)


def rewrite_part(path: Path, rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> None:
    """Other rows for a shard of a table that is being made. The kept shard that it was linked from stays as it is."""
    with new_file(path) as part:
        write_part(part, sort_rows(rows, schema, str(path)), schema)
