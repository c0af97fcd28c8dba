"""Records of a benchmark's files, one after the other: Parquet, Arrow (`datasets`), JSONL, JSON, TSV, CSV."""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r2i.core.errors import TableError

BATCH = 16  # records decoded at once: a record may hold a photograph of 30 MB
TORN = "torn_record"
_ABOUT = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}  # of `datasets`, no records

Names = tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """One record as it is published. `fault`: why it can't be read; then `values` is empty."""

    values: Mapping[str, Any]
    file: Path
    number: int
    fault: str = ""

    @property
    def folder(self) -> Path:
        """Where relative paths start."""
        return self.file.parent

    def get(self, *names: str) -> Any:
        """The value of the first of `names` that is there and not null, else None."""
        return next((self.values[name] for name in names if self.values.get(name) is not None), None)


def read_records(path: Path, needed: Sequence[Names], pattern: str = "*") -> Iterator[Record]:
    """All records of a file, or of the files below a folder whose names match `pattern`.

    Of a folder only files of one kind are read, the first of READERS that it holds: the same benchmark often lies
    beside itself in another form. `needed`: columns without which a file is not this benchmark, each as its
    possible names. Raises TableError where nothing is found, or a file is unreadable or lacks a column.
    """
    remedy = f"see docs/benchmarks.md for the files that are read, or change the source's path ({path})"
    found = False
    for file in list_files(path, pattern, remedy):
        try:
            records = enumerate(READERS[file.suffix.lower()](file))
            for number, values in records:
                if not found or not number:
                    _check_columns(values, needed, file, remedy)
                found = True
                yield Record(values or {}, file, number, "" if values is not None else TORN)
        except (pa.ArrowException, OSError, csv.Error, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise TableError(f"{file} is not a readable {file.suffix[1:].upper()} file ({error})", remedy) from error
    if not found:
        raise TableError(f"no rows in {path}", remedy)


def list_files(path: Path, pattern: str, remedy: str) -> list[Path]:
    """The files that `read_records` reads, in order. Raises TableError where there is none."""
    if path.is_file() and path.suffix.lower() in READERS:
        return [path]
    inside = [file for file in sorted(path.rglob(pattern)) if file.is_file() and file.name not in _ABOUT]
    for suffix in READERS:
        if files := [file for file in inside if file.suffix.lower() == suffix]:
            return files
    kinds = ", ".join(suffix[1:].upper() for suffix in READERS)
    raise TableError(f"no {kinds} in {path}", remedy)


def _check_columns(values: Mapping[str, Any] | None, needed: Sequence[Names], file: Path, remedy: str) -> None:
    for names in needed:
        if values is not None and not any(name in values for name in names):
            raise TableError(f"{file} has no column {' or '.join(names)}", remedy)


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(BATCH, use_threads=False):
            yield from batch.to_pylist()


def _arrow(path: Path) -> Iterator[dict[str, Any]]:
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
        for batch in stream:
            for start in range(0, batch.num_rows, BATCH):
                yield from batch.slice(start, BATCH).to_pylist()


def _jsonl(path: Path) -> Iterator[dict[str, Any] | None]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                yield _object(line)


def _object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _json(path: Path) -> Iterator[dict[str, Any] | None]:
    value = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(value, dict):  # {"data": [...]}
        value = next((part for part in value.values() if isinstance(part, list)), [value])
    for part in value if isinstance(value, list) else []:
        yield part if isinstance(part, dict) else None


def _table(delimiter: str) -> Callable[[Path], Iterator[dict[str, Any]]]:
    def read(path: Path) -> Iterator[dict[str, Any]]:
        csv.field_size_limit(sys.maxsize)  # a field may be a photograph in base64
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from csv.DictReader(file, delimiter=delimiter)

    return read


READERS: dict[str, Callable[[Path], Iterator[dict[str, Any] | None]]] = {
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".jsonl": _jsonl,
    ".json": _json,
    ".tsv": _table("\t"),
    ".csv": _table(","),
}
