"""A dataset from elsewhere -> a table of train rows, with every row that can't be used and why."""

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from r2i.core.boxes import BoxUnit
from r2i.core.ids import make_id
from r2i.core.images import read_size
from r2i.core.metrics import count_statuses, require_ok, write_metrics
from r2i.core.progress import track
from r2i.core.records import FAILED, OK, REJECTED, TRAIN
from r2i.core.spool import Spool
from r2i.core.tables import Row, write_table
from r2i.core.text import normalise
from r2i.importing.boxes import is_unit_unclear
from r2i.importing.digest import table_sha256
from r2i.importing.pictures import PictureFolder, names_in
from r2i.importing.records import Record, read_records
from r2i.tools.exchange.folder import ABOUT, TABLE, require_free
from r2i.tools.exchange.reference import NEEDED, WANTED, ask, from_reference

SHARD_BYTES = 48 * 2**20  # of pictures: shards stay below 64 MB where rows are spread evenly
NAMED = 5  # rows left out that are named, for each reason
_UNIT = "boxes that are no pixels need --box-unit shares or --box-unit thousandths"
REMEDIES = {  # where no row is left
    "": "docs/exchange.md says what the columns must hold",
    **dict.fromkeys(("bad_box", "box_outside"), _UNIT),
    "box_unit_unclear": "say whether the boxes are --box-unit pixels or --box-unit thousandths",
    "outside_folder": "put the pictures into the dataset's folder: none is read from outside of it, by a link neither",
}
In = TypeVar("In")
Out = TypeVar("Out")


def import_table(source: Path, folder: Path, style: str, unit: BoxUnit | None, licence: str = "") -> dict[str, Any]:
    """Write the rows of `source` to `folder` as records.TRAIN, and `about.json` beside them; returns what stands
    in that: counts by status and reason, the digest, where the rows are from.

    `unit`: of the boxes; None: pixels, unless the numbers allow thousandths as well: then rows with boxes fail.

    Raises TableError where the source can't be read, no row is ok, or `folder` holds something else.
    """
    require_free(folder, TABLE, source)
    ask("", style)  # raises where there is no such style
    with Spool(folder.parent) as spool:
        read = read_rows(source, style, unit, spool)
        require_ok(read.rows, "row", REMEDIES)
        write_table(folder, read.rows, TRAIN, shards=max(1, -(-read.size // SHARD_BYTES)))
    about = {
        **count_statuses(read.rows),
        "first": read.first,
        "sha256": table_sha256(folder),
        "source": source.resolve().name,
        "licence": licence,
        "prompts": style,
        "box_unit": unit or "pixels",
    }
    write_metrics(folder / ABOUT, about)
    return about


@dataclass
class Read:
    """Rows of TRAIN in the source's order, pictures in a spool. `size`: bytes of all pictures. `first`: file and row of
    the first few rows that were left out, by status and reason."""

    rows: list[Row] = field(default_factory=list)
    size: int = 0
    first: dict[str, list[str]] = field(default_factory=dict)

    def add(self, where: str, row: Row) -> None:
        """A row that was read in `where`."""
        self.rows.append(row)
        if row["status"] != OK:
            first = self.first.setdefault(f"{row['status']}: {row['reason']}", [])
            first += [where] if len(first) < NAMED else []


def read_rows(source: Path, style: str, unit: BoxUnit | None, spool: Spool) -> Read:
    """Of rows with one picture and one prompt the first is kept; where their answers differ all fail. Raises TableError
    as `read_records` does."""
    base = source if source.is_dir() else source.parent
    pictures = PictureFolder(base)
    read = partial(_read_row, base=base, pictures=pictures, style=style, unit=unit or "pixels")
    done, seen = Read(), dict[str, Row]()
    records = read_records(source, NEEDED, WANTED, splits="one")
    named: list[tuple[str, Row, list[str]]] = []
    conflicting: list[Row] = []
    boxed: dict[int, tuple[list[int], tuple[int, int]]] = {}  # by the row's number: its box, and its image's size
    for where, row, names in track(in_threads(read, records), "rows import"):
        named.append((where, row, names))
        if row["status"] == OK and (earlier := seen.get(row["question_id"])):
            if normalise(row["answer"]) == normalise(earlier["answer"]):
                row |= {"image": None, "status": REJECTED, "reason": "duplicate"}
            else:  # nobody knows which is right
                row |= _failed("conflicting_answers")
                conflicting.append(earlier)
        if row["status"] == OK:
            seen[row["question_id"]] = row
            done.size += len(row["image"])
            if row["box"] and row["view"] != "crop":
                boxed[len(named) - 1] = row["box"], read_size(row["image"])
            row["image"] = spool.keep(row["image"])
    for row in conflicting:
        row |= _failed("conflicting_answers")
    if unit is None and is_unit_unclear(boxed.values()):
        for number in boxed:
            named[number][1].update(_failed("box_unit_unclear"))
    for where, row, names in named:
        if row["status"] != FAILED and any(map(pictures.is_shared, names)):
            row |= _failed("ambiguous_image")
        done.add(where, row)
    _give_ids(done.rows)
    return done


def _failed(reason: str) -> Row:
    """What changes of a row that was read."""
    return {"image": None, "box": None, "status": FAILED, "reason": reason}


def _read_row(
    record: Record, base: Path, pictures: PictureFolder, style: str, unit: BoxUnit
) -> tuple[str, Row, list[str]]:
    """Where the record stands, its row, and the paths of its picture."""
    row = from_reference(record.values, pictures, style, unit)
    where = f"{record.file.relative_to(base).as_posix()}:{record.number}"
    row |= {"status": FAILED, "reason": record.fault} if record.fault else {}
    return where, row, list(names_in(record.values.get("images")))


def _give_ids(rows: list[Row]) -> None:
    """A row that is left out has an id of its own, even where it says the same as another."""
    again: Counter[str] = Counter()
    for row in rows:
        if row["status"] != OK:
            name = make_id(row["status"], row["reason"], row["image_id"], row["prompt"])
            again[name] += 1
            row["row_id"] = make_id(name, again[name])
            row["question_id"] = row["question_id"] or row["row_id"]


def in_threads(function: Callable[[In], Out], items: Iterable[In]) -> Iterator[Out]:
    """`function` of each item, in order; two for each core are held at once (decoding leaves Python's lock)."""
    workers = min(8, os.cpu_count() or 1)
    held: deque[Future[Out]] = deque()
    with ThreadPoolExecutor(workers, "decode") as pool:
        for item in items:
            held.append(pool.submit(function, item))
            if len(held) >= 2 * workers:
                yield held.popleft().result()
        while held:
            yield held.popleft().result()
