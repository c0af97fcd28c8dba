"""Records of files that others wrote, one after the other: Parquet, Arrow (`datasets`), JSONL, JSON, TSV, CSV."""

import ast
import csv
import io
import itertools
import json
import os
import re
import tokenize
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
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
_ABOUT = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")  # beside data, none itself
_SPLITS = {  # words in the names of files and folders -> the split that they mean
    "train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
    "dev": "validation", "test": "test", "testing": "test", "eval": "evaluation", "evaluation": "evaluation",
}  # fmt: skip
_SHARD = re.compile(r"-(\d+)-of-(\d+)\b")
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"  # of Arrow's streams
_LONGEST_FIELD = 2**29  # characters of a field or a line: the largest picture in base64, and a bound for a lost quote

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


@dataclass
class ColumnUse:
    """Which columns the records of a dataset have (`there`), and which names were looked up in them (`asked`)."""

    there: dict[str, None] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)

    @property
    def unused(self) -> list[str]:
        """Columns that nothing was read from, in the order of the file."""
        return [name for name in self.there if name not in self.asked]

    def watch(self, record: Record) -> Record:
        """The record, whose look-ups are noted from now on."""
        self.there |= dict.fromkeys(record.values)
        return replace(record, values=_Watched(record.values, self.asked))


class _Watched(Mapping[str, Any]):
    def __init__(self, values: Mapping[str, Any], asked: set[str]) -> None:
        self.values_of, self.asked = values, asked

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return self.values_of[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_of)

    def __len__(self) -> int:
        return len(self.values_of)


def read_text(cell: Any) -> str:
    """A cell as text: null and NaN are empty, 3.0 is "3"."""
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip()


def read_list(cell: Any) -> list[Any]:
    """A cell that holds a list, or the text of one (JSON or Python's); [] for anything else.

    The text of a numpy array (no commas) is none: Python would join its words.
    """
    if isinstance(cell, str):
        for read in (json.loads, _read_literal):
            try:
                cell = read(cell)
                break
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                continue
    return list(cell) if isinstance(cell, list | tuple) else []


def _read_literal(text: str) -> Any:
    """Raises ValueError (or SyntaxError) also for two texts with nothing between them, which Python joins."""
    value = ast.literal_eval(text)
    tokens = [token.type for token in tokenize.generate_tokens(io.StringIO(text).readline)]
    kinds = [kind for kind in tokens if kind != tokenize.NL]
    if (tokenize.STRING, tokenize.STRING) in itertools.pairwise(kinds):
        raise ValueError("two texts without a comma")
    return value


@dataclass(frozen=True)
class Columns:
    """`needed`: columns without which a file is another dataset, each as its possible names. `wanted`: those that are
    read; None: all. `remedy`: where one is missing."""

    needed: Sequence[Names]
    wanted: Collection[str] | None = None
    remedy: str = REMEDY

    def missing(self, names: Collection[str]) -> list[str]:
        return [" or ".join(either) for either in self.needed if not any(name in names for name in either)]

    def choose(self, file: Path, names: Sequence[str]) -> list[str]:
        """Those of `names` that are read. Raises TableError where a needed one is missing or stands there twice."""
        if missing := self.missing(names):
            raise TableError(
                f"{file} has no column {', '.join(missing)}; it has {', '.join(names) or 'none'}", self.remedy
            )
        read = [name for name in names if self.wanted is None or name in self.wanted]
        if twice := sorted({name for name in read if name and read.count(name) > 1}):
            raise TableError(f"{file} has two columns {', '.join(twice)}", "rename one: nobody knows which is meant")
        return read


def read_records(
    path: Path,
    needed: Sequence[Names],
    wanted: Collection[str] | None = None,
    splits: Literal["all", "one"] = "all",
    remedy: str = REMEDY,
) -> Iterator[Record]:
    """All records of a file, or of the files of one kind below a folder, in order of their names.

    `needed`, `wanted`, `remedy`: see Columns. `splits`: see list_files.
    Memory holds a few records and the Parquet page that they are in. A record that can't be read is one with a fault.
    Raises TableError where there is no record, or where a file lacks a column, is cut, or is not what its name says.
    """
    found = False
    for file in list_files(path, splits):
        for number, values in _read_file(file, Columns(needed, wanted, remedy)):
            found = True
            yield Record(values or {}, file, number, "" if values is not None else TORN)
    if not found:
        raise TableError(f"no rows in {path}", REMEDY)


def list_files(path: Path, splits: Literal["all", "one"]) -> list[Path]:
    """The files that `read_records` reads, in order. Raises TableError where there is none.

    Of a folder only files of one kind are read, the first of READERS that it holds: the same dataset often lies
    beside itself in another form. Of a folder that `datasets` saved, those that belong to it. Caches, hidden files and
    what lies in hidden folders are no data. Several splits are a TableError that asks for one; with `splits` "one" a
    saved DatasetDict is even where it has a single one.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise TableError(f"no file or folder {path}", "look at the path")
    if (path / "dataset_dict.json").is_file():
        saved = [folder for folder in sorted(path.iterdir()) if (folder / "state.json").is_file()]
        if splits == "one" or len(saved) != 1:
            names = ", ".join(folder.name for folder in saved) or "none"
            raise TableError(f"{path} holds the splits {names}", f"name one, for instance {path}/train")
        return _list_saved(saved[0])
    if (path / "state.json").is_file():
        return _list_saved(path)
    inside = [file for file in sorted(path.rglob("*")) if _may_be_data(file.relative_to(path))]
    for suffix in READERS:
        if files := [file for file in inside if file.suffix.lower() == suffix and file.is_file()]:
            chosen = _require_one_split(path, files if suffix != ".arrow" else _without_strays(path, files))
            return _require_all_shards(path, chosen)
    raise TableError(f"no {', '.join(suffix[1:].upper() for suffix in READERS)} in {path}", REMEDY)


def _may_be_data(file: Path) -> bool:
    """`file`: relative to the folder that is read."""
    if any(part.startswith(".") or part == "__MACOSX" for part in file.parts):  # checkpoints of notebooks, `._x.json`
        return False
    return file.name not in _ABOUT and not (
        file.suffix == ".arrow" and file.name.startswith(("cache-", "tmp", "indices"))
    )


def _without_strays(path: Path, files: list[Path]) -> list[Path]:
    """Of Arrow files those that a folder's `state.json` names, where there is one. Raises TableError where several
    folders hold some."""
    folders = sorted({file.parent for file in files})
    saved = [folder for folder in folders if (folder / "state.json").is_file()]
    if saved and len(folders) > 1:
        names = ", ".join(folder.relative_to(path).as_posix() for folder in folders)
        raise TableError(f"{path} holds the saved datasets {names}", f"name one, for instance {saved[0]}")
    return _list_saved(saved[0]) if saved else files


def _require_one_split(path: Path, files: list[Path]) -> list[Path]:
    """`files`, unless their names below `path` say that they are of several splits. Raises TableError."""
    by_split: dict[str, Path] = {}
    for file in files:
        words = re.split(r"[^a-z]+", file.relative_to(path).as_posix().lower())
        by_split.setdefault("+".join(sorted({_SPLITS[word] for word in words if word in _SPLITS})), file)
    if len(by_split) > 1:
        names = ", ".join(f"{split or 'of no name'} ({file.name})" for split, file in sorted(by_split.items()))
        raise TableError(f"{path} holds the splits {names}", "name a file, or a folder that holds one split alone")
    return files


def _require_all_shards(path: Path, files: list[Path]) -> list[Path]:
    """`files`, unless their names (`train-00000-of-00012`) say that others are missing. Raises TableError."""
    there: dict[tuple[str, int], set[int]] = {}
    for file in files:
        if shard := _SHARD.search(file.name):
            series = str(file.with_name(file.name[: shard.start()])), int(shard[2])
            there.setdefault(series, set()).add(int(shard[1]))
    for (name, count), numbers in there.items():
        if len(numbers) < count:
            raise TableError(
                f"{path} holds {len(numbers)} of the {count} files {Path(name).name}-...-of-{count:05d}",
                "download the others, or name one file",
            )
    return files


def _list_saved(folder: Path) -> list[Path]:
    """Of a folder that `Dataset.save_to_disk` wrote."""
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        names = [entry["filename"] for entry in state["_data_files"]]
        if state.get("_indices_data_files"):
            raise TableError(f"{folder} holds a selection of its rows", "save it again after `flatten_indices()`")
        if outside := [name for name in names if Path(name).name != name]:
            raise TableError(f"{folder}/state.json names {outside[0]}, which lies elsewhere", "save it again")
        return [folder / name for name in names]
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
    except (pa.ArrowException, OSError, csv.Error, ValueError, OverflowError, RecursionError) as error:
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
    if not _ends_with(file, _END_OF_STREAM):
        raise OSError("it has no end: cut between two batches, which reads like a whole file")


def _ends_with(file: Path, end: bytes) -> bool:
    with file.open("rb") as data:
        data.seek(-min(len(end), file.stat().st_size), os.SEEK_END)
        return data.read() == end


def _read_lines(file: Path, columns: Columns) -> Iterator[Numbered]:
    with file.open("rb") as data:
        lines = iter(partial(data.readline, _LONGEST_FIELD), b"")
        values = ((number, _parse(line)) for number, line in enumerate(lines, 1) if line.strip())
        yield from _only_objects(file, columns, values)


def _read_json(file: Path, columns: Columns) -> Iterator[Numbered]:
    """A list of records; an object that holds one, or is one; or, in spite of the name, JSON lines."""
    if _holds_lines(file):
        yield from _read_lines(file, columns)
        return
    value = json.loads(file.read_bytes(), object_pairs_hook=_as_object)
    if isinstance(value, dict):
        value = [value] if not columns.missing(value) else _list_inside(file, columns, value)
    yield from _only_objects(file, columns, enumerate(value if isinstance(value, list) else []))


def _list_inside(file: Path, columns: Columns, value: dict[str, Any]) -> list[Any]:
    """The one list of records in an object; the object itself where there is none. Raises TableError for several."""
    lists = {
        name: part for name, part in value.items() if isinstance(part, list) and any(isinstance(x, dict) for x in part)
    }
    first = {name: next(x for x in part if isinstance(x, dict)) for name, part in lists.items()}
    fitting = [name for name in lists if not columns.missing(first[name])] or list(lists)
    if len(fitting) > 1:
        raise TableError(
            f"{file} holds the lists {', '.join(fitting)}", "write the one that is meant into its own file"
        )
    return lists[fitting[0]] if fitting else [value]


def _as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises ValueError for two values of one name: nobody knows which is meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"two values of {max(names, key=names.count)!r} in one object")
    return found


def _holds_lines(file: Path) -> bool:
    with file.open("rb") as data:
        filled = (line for line in iter(partial(data.readline, _LONGEST_FIELD), b"") if line.strip())
        first, second = next(filled, b""), next(filled, b"")
    return bool(second) and isinstance(_parse(first), dict)


def _parse(line: bytes) -> Any:
    try:
        return json.loads(line, object_pairs_hook=_as_object)
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
        csv.field_size_limit(_LONGEST_FIELD)
        with file.open(encoding="utf-8-sig", newline="") as text:
            rows = csv.reader(text, delimiter=delimiter, strict=True)
            header = next(rows, [])
            columns.choose(file, header)
            number, line = 0, rows.line_num + 1
            while (fields := _next_fields(rows, file, line)) is not None:
                if _holds_rows(fields, len(header), delimiter):
                    raise TableError(f"{file}, line {line}: a quote goes on over further rows", _QUOTES)
                if fields:
                    yield number, dict(zip(header, fields, strict=True)) if len(fields) == len(header) else None
                    number += 1
                line = rows.line_num + 1

    return read


_QUOTES = 'a field that begins with " needs one at its end, and "" for each inside; or write JSON lines'


def _next_fields(rows: Iterator[list[str]], file: Path, line: int) -> list[str] | None:
    """The next row, None at the end. `line`: where it begins. Raises TableError for quotes that don't close."""
    try:
        return next(rows, None)
    except csv.Error as error:
        raise TableError(f"{file}, line {line}: {error}", _QUOTES) from error


def _holds_rows(fields: list[str], columns: int, delimiter: str) -> bool:
    """Whether a field holds the end of one row and the beginning of another: two quotes were lost that fit together.

    Commas are common in text: there both parts must have some.
    """
    for place, text in enumerate(fields):
        if "\n" not in text:
            continue
        before = text[: text.index("\n")].count(delimiter)
        after = text[text.rindex("\n") :].count(delimiter)
        if (before, after) == (columns - 1 - place, place) and (delimiter == "\t" or (before and after)):
            return True
    return False


READERS: dict[str, Callable[[Path, Columns], Iterator[Numbered]]] = {
    ".parquet": _read_parquet,
    ".arrow": _read_arrow,
    ".jsonl": _read_lines,
    ".ndjson": _read_lines,
    ".json": _read_json,
    ".tsv": _read_table("\t"),
    ".csv": _read_table(","),
}
