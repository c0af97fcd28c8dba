"""Every table of a run, and its rows by an id: no more than a row group in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from r2i.core import paths, records
from r2i.core.errors import TableError
from r2i.core.tables import Row, table_parts

BATCH = 2**16  # ids read at once


@dataclass(frozen=True)
class Listed:
    """A table. `stage`: the one that writes it."""

    name: str
    folder: Path
    schema: pa.Schema
    stage: str

    def __hash__(self) -> int:
        return hash(self.folder)

    @property
    def key(self) -> str:
        return str(self.schema.names[0])

    @property
    def light(self) -> list[str]:
        """Columns without pictures and masks."""
        heavy = {"mask", *(field.name for field in self.schema if pa.types.is_binary(field.type))}
        return [name for name in self.schema.names if name not in heavy]

    def parts(self) -> list[Path]:
        """The shards. Raises TableError where there is no such table, or one is a pipe or the like."""
        if strange := next((path for path in self.folder.glob("*.parquet") if not path.is_file()), None):
            raise TableError(f"{strange} is no file", f"remove it, then `dvc checkout {self.folder}`")
        return table_parts(self.folder, self.schema, self.stage)

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """All rows, of a few columns. Raises TableError."""
        try:
            for path in self.parts():
                with pq.ParquetFile(path) as file:
                    yield from file.iter_batches(BATCH, columns=columns)
        except (pa.ArrowException, OSError) as error:
            raise TableError(
                f"{self.folder} can't be read ({error})", "`r2i verify` names the command that brings it back"
            ) from error

    def find(self, column: str, value: str, columns: list[str] | None = None) -> list[Row]:
        """The rows whose `column` is `value`, with `columns` (`light` unless told). Raises TableError.

        The one column is read through; of the others, those row groups that hold such a row.
        """
        found: list[Row] = []
        try:
            for path in self.parts():
                with pq.ParquetFile(path, pre_buffer=False) as file:
                    for group in _groups_with(file, column, value):
                        names = list(dict.fromkeys([column, *(columns or self.light)]))
                        rows = file.read_row_group(group, columns=names)
                        found += rows.filter(pc.equal(rows[column], value)).to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise TableError(
                f"{self.folder} can't be read ({error})", "`r2i verify` names the command that brings it back"
            ) from error
        return sorted(found, key=lambda row: str(row.get(self.key, "")))


IMAGES = Listed("images", paths.IMAGES, records.IMAGES, "sample")
TRUTH = Listed("truth", paths.TRUTH, records.TRUTH, "sample")
REGIONS = Listed("regions", paths.REGIONS, records.REGIONS, "crop")
QUESTIONS = Listed("questions", paths.QUESTIONS, records.QUESTIONS, "question")
ANSWERS = Listed("answers", paths.ANSWERS, records.ANSWERS, "answer")
VOTES = Listed("votes", paths.VOTES, records.VOTES, "vote")
TRAIN = Listed("train rows", paths.TRAIN, records.TRAIN, "overlay")
BENCHMARK = Listed("benchmark items", paths.BENCHMARK, records.BENCHMARK, "benchmark")
PIPELINE = (IMAGES, REGIONS, QUESTIONS, ANSWERS, VOTES, TRAIN)
TABLES = (*PIPELINE, BENCHMARK)


def predictions() -> list[Listed]:
    """Of every model that was evaluated here."""
    folders = sorted(path for path in paths.PREDICTIONS.glob("*") if any(path.glob("part-*.parquet")))
    return [predictions_of(folder.name) for folder in folders]


def predictions_of(model: str) -> Listed:
    return Listed(f"predictions of {model}", paths.PREDICTIONS / model, records.PREDICTIONS, f"evaluate@{model}")


def _groups_with(file: pq.ParquetFile, column: str, value: str) -> list[int]:
    """The row groups that hold a row whose `column` is `value`."""
    ends: list[int] = []
    for group in range(file.num_row_groups):
        ends.append((ends[-1] if ends else 0) + file.metadata.row_group(group).num_rows)
    before, groups = 0, set()
    for batch in file.iter_batches(BATCH, columns=[column]):
        for place in pc.indices_nonzero(pc.equal(batch.column(0), value)).to_pylist():
            groups.add(next(group for group, end in enumerate(ends) if before + place < end))
        before += batch.num_rows
    return sorted(groups)
