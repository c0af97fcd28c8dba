"""Whether the tables agree with themselves, with each other, and with the metrics: columns of ids alone."""

import json
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from r2i.core import paths
from r2i.core.catalogue import ANSWERS, BENCHMARK, IMAGES, QUESTIONS, REGIONS, TABLES, TRAIN, VOTES, Listed
from r2i.core.catalogue import predictions as prediction_tables
from r2i.core.errors import TableError
from r2i.core.left_out import LEFT_OUT
from r2i.core.records import FAILED, OK, REJECTED
from r2i.tools.verify import Finding

REFERENCES = (  # child, column, parent: an id of a row must be that of a row that was kept
    (REGIONS, "image_id", IMAGES),
    (QUESTIONS, "region_id", REGIONS),
    (QUESTIONS, "image_id", IMAGES),
    (ANSWERS, "question_id", QUESTIONS),
    (VOTES, "question_id", QUESTIONS),
    (VOTES, "region_id", REGIONS),
    (TRAIN, "question_id", VOTES),
    (TRAIN, "region_id", REGIONS),
    (TRAIN, "image_id", IMAGES),
)
FOLLOWED = (  # parent, child, column: every row that was kept must have gone on
    (IMAGES, REGIONS, "image_id"),
    (REGIONS, QUESTIONS, "region_id"),
    (QUESTIONS, ANSWERS, "question_id"),
    (QUESTIONS, VOTES, "question_id"),
    (VOTES, TRAIN, "question_id"),
)
NAMED = 3  # ids that a finding names


def check_tables(left_out: Collection[str] = ()) -> Iterator[Finding]:
    """Statuses, unique ids, references and metrics of every table that is here. `left_out`: stages whose tables are
    not looked at."""
    kept: dict[str, pa.Array] = {}
    for table in [table for table in (*TABLES, *prediction_tables()) if table.stage not in left_out]:
        try:
            yield from _check_table(table, kept)
        except TableError as error:
            if any(table.folder.glob("*")):  # one that is not here at all is missing, which check_outs says
                yield Finding("table", str(table.folder), error.cause)
    for child, column, parent in REFERENCES:
        if child.name in kept and parent.name in kept:
            yield from _strangers(child, column, kept[parent.name], f"a kept row of {parent.folder}")
    for table in prediction_tables():
        if table.name in kept and BENCHMARK.name in kept:
            yield from _strangers(table, "item_id", kept[BENCHMARK.name], f"a kept row of {BENCHMARK.folder}")
    for parent, child, column in FOLLOWED:
        if child.name in kept and parent.name in kept and not _is_left_out(child):
            gone = kept[parent.name].filter(pc.invert(pc.is_in(kept[parent.name], value_set=_column(child, column))))
            if len(gone):
                yield Finding("table", str(child.folder), f"{_count(gone)} kept in {parent.folder} without a row")


def _is_left_out(table: Listed) -> bool:
    """Whether the profile does without the stage that writes it (r2i.core.left_out): then nothing goes on into it."""
    path = _metrics_of(table)
    try:
        return path.is_file() and bool(json.loads(path.read_text(encoding="utf-8")) == LEFT_OUT)
    except (ValueError, RecursionError):
        return False


def _metrics_of(table: Listed) -> Path:
    return paths.metrics(table.stage.replace("@", "-"))


def _check_table(table: Listed, kept: dict[str, pa.Array]) -> Iterator[Finding]:
    """The table by itself; the ids of its rows that are ok go into `kept`."""
    ids: list[pa.Array] = []
    ok: list[pa.Array] = []
    counts: Counter[tuple[str, str]] = Counter()
    for batch in table.batches([table.key, "status", "reason"]):
        keys, status, reason = (batch.column(name) for name in (table.key, "status", "reason"))
        ids.append(keys)
        ok.append(keys.filter(pc.equal(status, OK)))
        counts.update(zip(status.to_pylist(), reason.to_pylist(), strict=True))
    kept[table.name] = pa.chunked_array(ok, pa.string()).combine_chunks()
    where = str(table.folder)
    for status, reason in sorted(counts, key=str):
        if status not in (OK, REJECTED, FAILED) or not isinstance(reason, str) or (status == OK) != (reason == ""):
            yield Finding("table", where, f"{counts[status, reason]:,} rows have status {status!r}, reason {reason!r}")
    yield from _twice(table, pa.chunked_array(ids, pa.string()).combine_chunks())
    yield from _check_metrics(table, counts)


def _twice(table: Listed, ids: pa.Array) -> Iterator[Finding]:
    counts = ids.value_counts()
    twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    if len(twice):
        yield Finding("table", str(table.folder), f"{_count(twice)} stand there more than once")


def _check_metrics(table: Listed, counts: Counter[tuple[str, str]]) -> Iterator[Finding]:
    """The funnel in the stage's metrics against the rows."""
    path = _metrics_of(table)
    if not path.is_file():
        return  # check_outs says so
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(said, dict):
            raise ValueError("no object")
    except (ValueError, RecursionError) as error:
        yield Finding("metrics", str(path), f"no JSON ({error})")
        return
    statuses: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for (status, reason), number in counts.items():
        statuses[status] += number
        if reason:
            reasons[f"{status}: {reason}"] += number
    for name, true in {"rows": counts.total(), "status": dict(statuses), "reason": dict(reasons)}.items():
        if name in said and said[name] != true:
            yield Finding("metrics", str(path), f"{name} is {said[name]}, in {table.folder} it is {true}")


def _strangers(table: Listed, column: str, known: pa.Array, what: str) -> Iterator[Finding]:
    """Ids in `column` that are not among `known`."""
    strange: list[pa.Array] = []
    for batch in table.batches([column]):
        values = batch.column(0)
        strange.append(values.filter(pc.invert(pc.is_in(values, value_set=known))).unique())
    found = pa.chunked_array(strange, pa.string()).unique()
    if len(found):
        yield Finding("table", str(table.folder), f"{column} of {_count(found)} is not that of {what}")


def _column(table: Listed, column: str) -> pa.Array:
    return pa.chunked_array([batch.column(0) for batch in table.batches([column])], pa.string()).unique()


def _count(ids: pa.Array | pa.ChunkedArray) -> str:
    """`12 ids (3f…, 40…, …)`"""
    named = ", ".join(str(name) for name in ids[:NAMED].to_pylist())
    return f"{len(ids):,} id{'s' * (len(ids) != 1)} ({named}{', …' * (len(ids) > NAMED)})"
