"""Whether each row is what its columns say: ids that hash to what they name, labels, votes, pictures."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any

import pyarrow.parquet as pq

from r2i.core.catalogue import ANSWERS, BENCHMARK, IMAGES, QUESTIONS, REGIONS, TRAIN, VOTES, Listed
from r2i.core.choices import LETTERS, is_open
from r2i.core.errors import ImageError, TableError
from r2i.core.ids import make_id
from r2i.core.images import read_size
from r2i.core.records import OK
from r2i.core.tables import Row
from r2i.core.text import normalise
from r2i.tools.verify import Finding

NAMED = 3  # rows that a finding names
READ = 4096  # rows at once
Rule = tuple[str, list[str], Callable[[Row], bool]]  # what is wrong, columns, whether a row is right


def check_rows(min_agreement: int | None = None, left_out: Collection[str] = ()) -> Iterator[Finding]:
    """Every rule over every table that is here. `min_agreement`: what the vote was run with; `left_out`: stages whose
    tables are not looked at."""
    for table, rules in _rules(min_agreement).items():
        if table.stage in left_out:
            continue
        try:
            yield from _broken(table, rules)
        except TableError:
            continue  # r2i.tools.verify.tables says so
    with suppress(TableError):
        yield from _check_pictures(left_out)


def _rules(min_agreement: int | None) -> dict[Listed, list[Rule]]:
    label = ["options", "answer", "label", "status"]
    votes: list[Rule] = [
        ("its groups do not add up to its counts", ["groups", "agree", "valid", "asked", "answer"], _votes_add_up)
    ]
    if min_agreement is not None:
        votes.append((f"is ok with fewer than {min_agreement} that agree", ["agree", "status"],
                      lambda row: row["status"] != OK or row["agree"] >= min_agreement))  # fmt: skip
    return {
        REGIONS: [("is not the hash of image and box", ["region_id", "image_id", "box", "status"], _region_id)],
        QUESTIONS: [("is not the hash of region and question", ["region_id", "question", "status"], _question_id)],
        ANSWERS: [
            ("is not the hash of question, teacher and sample", ["question_id", "teacher", "sample"], _answer_id)
        ],
        VOTES: votes,
        TRAIN: [
            ("is not the hash of question and view", ["question_id", "view"], _row_id),
            ("its label does not name its answer", label, _label_names_answer),
        ],
        BENCHMARK: [("its label does not name its answer", label, _label_names_answer)],
    }


def _broken(table: Listed, rules: list[Rule]) -> Iterator[Finding]:
    """One finding for each rule that some row breaks."""
    columns = sorted({table.key, *(column for _, columns, _ in rules for column in columns)})
    broken: list[list[str]] = [[] for _ in rules]
    for batch in table.batches(columns):
        for start in range(0, batch.num_rows, READ):
            for row in batch.slice(start, READ).to_pylist():
                for (_, _, is_right), names in zip(rules, broken, strict=True):
                    if not is_right(row):
                        names.append(str(row[table.key]))
    for (what, _, _), names in zip(rules, broken, strict=True):
        if names:
            yield _finding(table, names, what)


def _finding(table: Listed, names: list[str], what: str) -> Finding:
    shown = ", ".join(names[:NAMED]) + ", …" * (len(names) > NAMED)
    return Finding("table", str(table.folder), f"{table.key} {what}: {len(names):,} rows ({shown})")


def _region_id(row: Row) -> bool:
    return row["status"] != OK or row["region_id"] == make_id(row["image_id"], tuple(row["box"] or ()))


def _question_id(row: Row) -> bool:
    """Only of rows that are ok: two others of one region may hold the same text."""
    return row["status"] != OK or row["question_id"] == make_id(row["region_id"], normalise(row["question"]))


def _answer_id(row: Row) -> bool:
    return bool(row["answer_id"] == make_id(row["question_id"], row["teacher"], row["sample"]))


def _row_id(row: Row) -> bool:
    return bool(row["row_id"] == make_id(row["question_id"], row["view"]))


def _label_names_answer(row: Row) -> bool:
    """The option of that letter; without options there is nothing to name."""
    if row["status"] != OK or is_open(row):
        return True
    return dict(zip(LETTERS, row["options"], strict=False)).get(row["label"]) == row["answer"]


def _votes_add_up(row: Row) -> bool:
    counts = [group["count"] for group in row["groups"]]
    first = row["groups"][0] if counts else {"answer": "", "count": 0}
    totals = sum(counts) == row["valid"] <= row["asked"] and counts == sorted(counts, reverse=True)
    return totals and (first["answer"], first["count"]) == (row["answer"], row["agree"])


def _check_pictures(left_out: Collection[str]) -> Iterator[Finding]:
    """A crop and a train row's picture are there just where the row is ok; a crop is a whole multiple of its box."""
    for table, column, fits in ((REGIONS, "crop", _crop_fits), (TRAIN, "image", None)):
        if table.stage in left_out:
            continue
        there: list[str] = []
        wrong: list[str] = []
        for row in _pictured(table, [table.key, "status", "box", column]):
            if (row[column] is not None) != (row["status"] == OK):
                there.append(row[table.key])
            elif row[column] is not None and fits and not fits(row, row[column]):
                wrong.append(row[table.key])
        if there:
            yield _finding(table, there, f"has no {column} and is ok, or has one and is not")
        if wrong:
            yield _finding(table, wrong, f"has a {column} that is not of its box's size")
    if IMAGES.stage in left_out:
        return
    embedded = [row["image_id"] for row in _pictured(IMAGES, ["image_id", "status", "image"])
                if row["image"] is not None and row["status"] != OK]  # fmt: skip
    if embedded:
        yield _finding(IMAGES, embedded, "has an image and is not ok")


def _pictured(table: Listed, columns: list[str]) -> Iterator[Row]:
    """Rows with pictures, a row group in memory."""
    for path in table.parts():
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for group in range(file.num_row_groups):
                yield from file.read_row_group(group, columns=columns).to_pylist()


def _crop_fits(row: Mapping[str, Any], data: bytes) -> bool:
    """Both sides of the crop are the box's, times one whole number."""
    left, top, right, bottom = row["box"]
    try:
        width, height = read_size(data)
    except ImageError:
        return False
    return width % (right - left) == 0 and width // (right - left) * (bottom - top) == height
