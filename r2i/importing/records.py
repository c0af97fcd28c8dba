"""Records of files that others wrote, one after the other: Parquet, Arrow (`datasets`), JSONL, JSON, TSV, CSV."""

import ast
import csv
import json
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from r2i.core.errors import TableError

BATCH = 4  # records decoded at once: a record may hold a photograph of 30 MB
TORN = "torn_record"
REMEDY = "docs/benchmarks.md (benchmarks) and docs/exchange.md (train rows) say which files and columns are read"
NOT_DATA = {  # what a file starts with -> what it is
    b"<": "is HTML or XML, not data: a download that went wrong",
    b"version https://git-lfs": "is a Git LFS pointer: `git lfs pull` brings the file itself",
    b"\x1f\x8b": "is packed with gzip: unpack it first",
    b"PK\x03\x04": "is a zip archive: unpack it first",
}
_ABOUT = (".", "cache-", "dataset_info", "dataset_dict.json", "state.json")  # names of what is no data of a folder

Names = tuple[str, ...]
Numbered = tuple[int, dict[str, Any] | None]


@dataclass(frozen=True)
class Record:
    """One record as it is published. `number`: of its row (from 0), or of its line (from 1) in a file of JSON lines.
    `fault`: why it can't be read; then `values` is empty."""

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


def read_text(cell: Any) -> str:
    """A cell as text: null and NaN are empty, 3.0 is "3"."""
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip()


def read_list(cell: Any) -> list[Any]:
    """A cell that holds a list, or the text of one (JSON or Python's); [] for anything else."""
    if isinstance(cell, str):
        for read in (json.loads, ast.literal_eval):
            try:
                cell = read(cell)
                break
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                continue
    return list(cell) if isinstance(cell, list | tuple) else []


@dataclass(frozen=True)
class Columns:
    """`needed`: columns without which a file is another dataset, each as its possible names. `wanted`: those that are
    read; None: all."""

    needed: Sequence[Names]
    wanted: Collection[str] | None = None

    def missing(self, names: Collection[str]) -> list[str]:
        return [" or ".join(either) for either in self.needed if not any(name in names for name in either)]

    def choose(self, file: Path, names: Sequence[str]) -> list[str]:
        """Those of `names` that are read. Raises TableError where a needed one is missing."""
        if missing := self.missing(names):
            raise TableError(f"{file} has no column {', '.join(missing)}; it has {', '.join(names) or 'none'}", REMEDY)
        return [name for name in names if self.wanted is None or name in self.wanted]


def read_records(
    path: Path,
    needed: Sequence[Names],
    wanted: Collection[str] | None = None,
    splits: Literal["all", "one"] = "all",
) -> Iterator[Record]:
    """All records of a file, or of the files of one kind below a folder, in order of their names.

    `needed`, `wanted`: see Columns. `splits`: whether all splits of a saved DatasetDict are read, or one must be named.
    Memory holds a few records and the Parquet page that they are in. A record that can't be read is one with a fault.
    Raises TableError where there is no record, or where a file lacks a column, is cut, or is not what its name says.
    """
    found = False
    for file in list_files(path, splits):
        for number, values in _read_file(file, Columns(needed, wanted)):
            found = True
            yield Record(values or {}, file, number, "" if values is not None else TORN)
    if not found:
        raise TableError(f"no rows in {path}", REMEDY)


def list_files(path: Path, splits: Literal["all", "one"]) -> list[Path]:
    """The files that `read_records` reads, in order. Raises TableError where there is none.

    Of a folder only files of one kind are read, the first of READERS that it holds: the same dataset often lies
    beside itself in another form. Of a folder that `datasets` saved, those that belong to it: caches lie beside them.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise TableError(f"no file or folder {path}", "look at the path")
    if (path / "dataset_dict.json").is_file():
        saved = [folder for folder in sorted(path.iterdir()) if (folder / "state.json").is_file()]
        if splits == "one":
            names = ", ".join(folder.name for folder in saved)
            raise TableError(f"{path} holds the splits {names}", f"name one, for instance {path}/train")
        return [file for folder in saved for file in _list_saved(folder)]
    if (path / "state.json").is_file():
        return _list_saved(path)
    inside = [
        file
        for file in sorted(path.rglob("*"))
        if file.name not in _ABOUT and not file.name.startswith((".", "cache-"))
    ]
    for suffix in READERS:
        if files := [file for file in inside if file.suffix.lower() == suffix and file.is_file()]:
            return files
    raise TableError(f"no {', '.join(suffix[1:].upper() for suffix in READERS)} in {path}", REMEDY)


def _list_saved(folder: Path) -> list[Path]:
    """Of a folder that `Dataset.save_to_disk` wrote."""
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        return [folder / entry["filename"] for entry in state["_data_files"]]
    except (ValueError, LookupError, TypeError) as error:
        raise TableError(f"{folder}/state.json is not what `datasets` writes ({error!r})", "save it again") from error


def _read_file(file: Path, columns: Columns) -> Iterator[Numbered]:
    """A file of no known suffix is read as Parquet."""
    suffix = file.suffix.lower() if file.suffix.lower() in READERS else ".parquet"
    try:
        with file.open("rb") as head:
            start = head.read(64).lstrip()
        for sign, what in NOT_DATA.items():
            if start.startswith(sign):
                raise TableError(f"{file} {what}", REMEDY)
        yield from READERS[suffix](file, columns)
    except (
        pa.ArrowException, OSError, csv.Error, UnicodeDecodeError, json.JSONDecodeError, RecursionError
    ) as error:  # fmt: skip
        cause = f"{file} can't be read as {suffix[1:].upper()} ({error})"
        raise TableError(cause, "it is cut or damaged: download or write it again") from error


def _read_parquet(file: Path, columns: Columns) -> Iterator[Numbered]:
    with pq.ParquetFile(file, pre_buffer=False, buffer_size=2**20) as parquet:
        names = columns.choose(file, parquet.schema_arrow.names)
        batches = parquet.iter_batches(BATCH, columns=names, use_threads=False)
        yield from enumerate(row for batch in batches for row in batch.to_pylist())


def _read_arrow(file: Path, columns: Columns) -> Iterator[Numbered]:
    with pa.memory_map(str(file)) as mapped, pa.ipc.open_stream(mapped) as stream:
        names = columns.choose(file, stream.schema.names)
        parts = (
            batch.select(names).slice(start, BATCH) for batch in stream for start in range(0, batch.num_rows, BATCH)
        )
        yield from enumerate(row for part in parts for row in part.to_pylist())


def _read_lines(file: Path, columns: Columns) -> Iterator[Numbered]:
    with file.open("rb") as lines:
        values = ((number, _parse(line)) for number, line in enumerate(lines, 1) if line.strip())
        yield from _only_objects(file, columns, values)


def _read_json(file: Path, columns: Columns) -> Iterator[Numbered]:
    """A list of records; an object that holds one, or is one; or, in spite of the name, JSON lines."""
    if _holds_lines(file):
        yield from _read_lines(file, columns)
        return
    value = json.loads(file.read_bytes())
    if isinstance(value, dict):
        whole = not columns.missing(value)
        value = [value] if whole else next((part for part in value.values() if isinstance(part, list)), [value])
    yield from _only_objects(file, columns, enumerate(value if isinstance(value, list) else []))


def _holds_lines(file: Path) -> bool:
    with file.open("rb") as lines:
        filled = (line for line in lines if line.strip())
        first, second = next(filled, b""), next(filled, b"")
    return bool(second) and isinstance(_parse(first), dict)


def _parse(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _only_objects(file: Path, columns: Columns, values: Iterable[tuple[int, Any]]) -> Iterator[Numbered]:
    """None for what is no object. The first object says which columns there are."""
    checked = False
    for number, value in values:
        if isinstance(value, dict) and not checked:
            columns.choose(file, list(value))
            checked = True
        yield number, value if isinstance(value, dict) else None
    if not checked:
        raise TableError(f"no record of {file} is a JSON object", REMEDY)


def _read_table(delimiter: str) -> Callable[[Path, Columns], Iterator[Numbered]]:
    def read(file: Path, columns: Columns) -> Iterator[Numbered]:
        csv.field_size_limit(sys.maxsize)  # a field may be a photograph in base64
        with file.open(encoding="utf-8-sig", newline="") as text:
            rows = csv.DictReader(text, delimiter=delimiter)
            columns.choose(file, rows.fieldnames or [])
            yield from enumerate(rows)

    return read


READERS: dict[str, Callable[[Path, Columns], Iterator[Numbered]]] = {
    ".parquet": _read_parquet,
    ".arrow": _read_arrow,
    ".jsonl": _read_lines,
    ".ndjson": _read_lines,
    ".json": _read_json,
    ".tsv": _read_table("\t"),
    ".csv": _read_table(","),
}
