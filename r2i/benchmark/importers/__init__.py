"""One module for each published benchmark: the columns it needs, its counts, and record -> items."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from r2i.benchmark import table
from r2i.benchmark.importers import (
    babyvision,
    colorbench,
    countqa,
    cvbench,
    fakeclue,
    hallusionbench,
    hrbench,
    mathvision,
    mme_realworld,
    mmstar,
    reference,
    vstar,
    zoombench,
)
from r2i.benchmark.rows import Draft
from r2i.core.params import BenchmarkKind, BenchmarkSource
from r2i.importing.records import ColumnUse, Names, Record, read_records

Counts = dict[str, int]
Drafts = Callable[[Record, BenchmarkSource], Iterable[Draft]]
Records = Callable[[Path], Iterator[Record]]


@dataclass(frozen=True)
class Importer:
    """How one benchmark is read. `published`: the counts of its releases; any of them is complete."""

    records: Records
    drafts: Drafts
    published: tuple[Counts, ...] = ()

    def read(self, path: Path, source: BenchmarkSource, use: ColumnUse | None = None) -> Iterator[Draft]:
        """All items of the benchmark at `path`; a record that can't be read is one item with its fault.

        `use`: learns which columns there are, and which of them are read.
        """
        for record in self.records(path):
            if record.fault:
                yield Draft(image=None, folder=record.folder, question="", answer="", fault=record.fault)
            else:
                yield from self.drafts(use.watch(record) if use else record, source)


def _files(needed: tuple[Names, ...]) -> Records:
    return partial(read_records, needed=needed)


IMPORTERS: dict[BenchmarkKind, Importer] = {
    "zoombench": Importer(_files(zoombench.NEEDED), zoombench.drafts, zoombench.PUBLISHED),
    "vstar": Importer(vstar.records, vstar.drafts, vstar.PUBLISHED),
    "hrbench": Importer(_files(hrbench.NEEDED), hrbench.drafts, hrbench.PUBLISHED),
    "mme_realworld": Importer(_files(mme_realworld.NEEDED), mme_realworld.drafts, mme_realworld.PUBLISHED),
    "cvbench": Importer(_files(cvbench.NEEDED), cvbench.drafts, cvbench.PUBLISHED),
    "countqa": Importer(_files(countqa.NEEDED), countqa.drafts, countqa.PUBLISHED),
    "colorbench": Importer(_files(colorbench.NEEDED), colorbench.drafts, colorbench.PUBLISHED),
    "mmstar": Importer(_files(mmstar.NEEDED), mmstar.drafts, mmstar.PUBLISHED),
    "hallusionbench": Importer(_files(hallusionbench.NEEDED), hallusionbench.drafts, hallusionbench.PUBLISHED),
    "mathvision": Importer(_files(mathvision.NEEDED), mathvision.drafts),
    "babyvision": Importer(_files(babyvision.NEEDED), babyvision.drafts, babyvision.PUBLISHED),
    "fakeclue": Importer(_files(fakeclue.NEEDED), fakeclue.drafts),
    "reference": Importer(_files(reference.NEEDED), reference.drafts),
}


MARKS: tuple[tuple[BenchmarkKind, frozenset[str]], ...] = (
    ("hrbench", frozenset({"cycle_category"})),
    ("mme_realworld", frozenset({"Text", "Ground truth"})),
    ("mme_realworld", frozenset({"multi-choice options"})),
    ("hallusionbench", frozenset({"gt_answer", "set_id"})),
    ("mathvision", frozenset({"decoded_image", "options"})),
    ("babyvision", frozenset({"ansType"})),
    ("fakeclue", frozenset({"label", "conversations"})),
    ("countqa", frozenset({"questions", "answers"})),
    ("zoombench", frozenset({"crop_image"})),
    ("zoombench", frozenset({"query", "response", "image"})),
    ("reference", frozenset({"query", "response", "images"})),
)
"""Columns by which a benchmark is known: first come, first served."""


def guess_kind(path: Path) -> BenchmarkKind:
    """What a benchmark at `path` is, by its folders or the columns of its first record; else a `table`.

    Raises TableError where it can't be read.
    """
    if path.is_dir() and any((path / name).exists() for name in (vstar.QUESTIONS, *vstar.FOLDERS)):
        return "vstar"
    first = next(iter(read_records(path, ())), None)
    columns = set(first.values) if first else set()
    return next((kind for kind, marks in MARKS if marks <= columns), "table")


def importer_of(source: BenchmarkSource) -> Importer:
    """The importer of a source; of `table` it depends on the source's columns. Raises ParamsError."""
    if source.kind != "table":
        return IMPORTERS[source.kind]
    return Importer(partial(table.read_named, source=source), table.drafts)
