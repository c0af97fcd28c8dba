"""A list of benchmarks -> the rows of one common table."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r2i.benchmark.importers import Importer, importer_of
from r2i.benchmark.rendered import render_items
from r2i.benchmark.rows import RowMaker, source_path
from r2i.benchmark.table import column_help
from r2i.benchmark.version import list_source, pinned_source
from r2i.benchmark.views import describe
from r2i.core import paths
from r2i.core.errors import ParamsError
from r2i.core.ids import make_id
from r2i.core.params import Benchmark, BenchmarkSource, Drawing
from r2i.core.spool import Spool
from r2i.core.tables import Row
from r2i.importing.hash_cache import HashCache
from r2i.importing.records import ColumnUse
from r2i.importing.version import require_version

_FILES = "pictures are looked for beside the file that names them and in the source's folder (docs/benchmarks.md)"
_OPTIONS = 'options are a list of texts, or several columns: `columns: {options: "o1,o2,o3"}`; `[]`: an open question'
REMEDIES = {  # where no item is left
    "": "docs/benchmarks.md says what each reason means, and what a record must hold",
    **dict.fromkeys(("missing_image", "outside_folder", "ambiguous_image", "image_is_a_url"), _FILES),
    **dict.fromkeys(
        ("bad_box", "box_unit_unclear"),
        "say what the boxes are: box_unit, box_form of the source (`r2i bench`: --box-unit, --box-form)",
    ),
    "no_gold_option": "`answer` must be the letter or the text of one of the options",
    **dict.fromkeys(("no_options", "ambiguous_options"), _OPTIONS),
    "no_question_or_answer": "name the columns of question and answer in `columns`",
    "review_rejected": "people rejected them: look at data/review/items.jsonl",
}


@dataclass(frozen=True)
class Items:
    """Rows (records.BENCHMARK; views are bytes or functions that give them), and metrics of each source by name."""

    rows: list[Row]
    sources: dict[str, dict[str, Any]]

    @property
    def warnings(self) -> list[str]:
        """Where what is there is not what was published, or a table has columns that nobody reads."""
        told = []
        for name, found in self.sources.items():
            if found.get("complete") is False:
                expected = " or ".join(map(_counts, found["expected"]))
                told.append(f"{name}: {_counts(found['found'])}, published: {expected}")
            if found["kind"] == "table" and found["unused_columns"]:
                told.append(f"{name}: nothing reads {', '.join(found['unused_columns'])}: {column_help()}")
        return told


@contextmanager
def open_items(cfg: Benchmark, drawing: Drawing, seed: int, scratch: Path = paths.BENCHMARK.parent) -> Iterator[Items]:
    """All items of `cfg.sources`; their views can be read while the block lasts (they lie in `scratch`).

    An item's id names its source, so that two sources may hold the same question; only rendered items, and items
    of a table with an id of their own, have ids without it, and get another where a source before has the same.
    Raises TableError for a source that can't be read, R2IError for one that is not as params pin it, ParamsError for
    two of one name.
    """
    names = [source.name or source.kind for source in cfg.sources]
    if len(set(names)) < len(names):
        raise ParamsError(f"two benchmark sources have the name {max(names, key=names.count)}", "give each a name")
    with Spool(scratch) as spool:
        rows: list[Row] = []
        metrics: dict[str, dict[str, Any]] = {}
        for name, source in zip(names, cfg.sources, strict=True):
            found, metrics[name] = _read(source, drawing, seed, spool)
            taken = {row["item_id"] for row in rows}
            rows += [_renamed(row, name) if row["item_id"] in taken else row for row in found]
        yield Items(rows, metrics)


def _renamed(row: Row, name: str) -> Row:
    return row | {"item_id": make_id(name, row["item_id"])}


def _read(source: BenchmarkSource, drawing: Drawing, seed: int, spool: Spool) -> tuple[list[Row], dict[str, Any]]:
    if source.kind == "rendered":
        rows = render_items(
            source.items or 0, drawing, seed, source.name or source.kind, source.options, source.things == "small"
        )
        return rows, {"kind": source.kind, **describe(rows)}
    importer, path, use = importer_of(source), source_path(source), ColumnUse()
    with HashCache(paths.pool_hashes()) as cache:
        listing = list_source(source, cache)
    require_version(pinned_source(source), listing)
    rows, counts = RowMaker(source, drawing, spool).rows(lambda: importer.read(path, source, use))
    files = {"version": listing.version, "pinned": source.version is not None, "unused_columns": use.unused}
    return rows, {"kind": source.kind, **files, **describe(rows), **_compare(importer, counts)}


def _compare(importer: Importer, counts: dict[str, int]) -> dict[str, Any]:
    if not importer.published:
        return {"found": counts}
    nearest = min(abs(expected["rows"] - counts["rows"]) for expected in importer.published)
    expected = [one for one in importer.published if abs(one["rows"] - counts["rows"]) == nearest]
    return {"found": counts, "expected": expected, "complete": counts in expected}


def _counts(counts: dict[str, int]) -> str:
    kinds = Counter({"multiple choice": counts["multiple_choice"], "open": counts["open"]})
    return f"{counts['rows']:,} rows ({', '.join(f'{count:,} {kind}' for kind, count in kinds.items())})"
