"""Rows of a dataset from elsewhere, one after the other: Parquet, JSON lines, or what `datasets` saved to disk."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from r2i.core.errors import TableError

NEEDED = ("images", "problem", "answer")
KNOWN = (*NEEDED, "bbox", "status", "data_source", "extra_info", "ability")
LINES = (".jsonl", ".ndjson", ".json")
BATCH = 4  # rows decoded at once
REMEDY = f"the source must have the columns {', '.join(NEEDED)}; docs/exchange.md says what goes into them"
NOT_DATA = {  # what a file starts with -> what it is
    b"<": "is HTML or XML, not data: a download that went wrong",
    b"version https://git-lfs": "is a Git LFS pointer: `git lfs pull` brings the file itself",
    b"\x1f\x8b": "is packed with gzip: unpack it first",
    b"PK\x03\x04": "is a zip archive: unpack it first",
}


Numbered = tuple[int, dict[str, Any] | None]


class Found(NamedTuple):
    """One row. `values`: by column; None where the line of a JSON file can't be read. `where`: the file, and the
    number of its row (from 0) or line (from 1)."""

    values: dict[str, Any] | None
    where: str


def read_source(source: Path) -> Iterator[Found]:
    """All rows of a file or folder, files in order of their names; memory holds a few rows and the Parquet page that
    they are in (as large as its writer made it, a row group at most).

    Raises TableError where there is nothing to read, a needed column is missing, or a file is not what its name says
    or was cut. One broken line of a JSON file is a row without values.
    """
    root = source if source.is_dir() else source.parent
    for file in source_files(source):
        name = file.relative_to(root).as_posix()
        yield from (Found(values, f"{name}:{number}") for number, values in _read_file(file))


def source_files(source: Path) -> list[Path]:
    """The files that hold the rows. Raises TableError where there is none."""
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise TableError(f"no file or folder {source}", "look at the path")
    if (source / "dataset_dict.json").is_file():
        splits = ", ".join(path.name for path in sorted(source.iterdir()) if (path / "state.json").is_file())
        raise TableError(f"{source} holds the splits {splits}", f"name one, for instance {source}/train")
    if (source / "state.json").is_file():
        return _saved_files(source)
    files = [path for path in sorted(source.rglob("*")) if path.suffix.lower() in (".parquet", *LINES)]
    files = [path for path in files if path.is_file() and not path.name.startswith((".", "dataset_info"))]
    if not files:
        raise TableError(f"no Parquet, no JSON lines and no saved dataset in {source}", REMEDY)
    return files


def _saved_files(folder: Path) -> list[Path]:
    """Of a folder that `Dataset.save_to_disk` wrote."""
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        return [folder / entry["filename"] for entry in state["_data_files"]]
    except (ValueError, LookupError, TypeError) as error:
        raise TableError(f"{folder}/state.json is not what `datasets` writes ({error!r})", "save it again") from error


def _read_file(file: Path) -> Iterator[Numbered]:
    try:
        with file.open("rb") as head:
            start = head.read(64).lstrip()
        for sign, what in NOT_DATA.items():
            if start.startswith(sign):
                raise TableError(f"{file} {what}", REMEDY)
        if file.suffix.lower() in LINES:
            yield from _read_lines(file)
        elif file.suffix.lower() == ".arrow":
            yield from enumerate(_read_arrow(file))
        else:
            yield from enumerate(_read_parquet(file))
    except (pa.ArrowException, OSError) as error:
        raise TableError(
            f"{file} can't be read ({error})", "it is cut or damaged: download or write it again"
        ) from error


def _read_parquet(file: Path) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(file, pre_buffer=False, buffer_size=2**20) as parquet:
        columns = _known(file, parquet.schema_arrow.names)
        for batch in parquet.iter_batches(BATCH, columns=columns, use_threads=False):
            yield from batch.to_pylist()


def _read_arrow(file: Path) -> Iterator[dict[str, Any]]:
    with pa.memory_map(str(file)) as mapped, pa.ipc.open_stream(mapped) as stream:
        columns = _known(file, stream.schema.names)
        for batch in stream:
            for start in range(0, batch.num_rows, BATCH):
                yield from batch.select(columns).slice(start, BATCH).to_pylist()


def _read_lines(file: Path) -> Iterator[Numbered]:
    """One JSON object a line; a line that is none gives None. The first object says which columns there are."""
    checked = False
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
            except (ValueError, RecursionError):
                values = None
            if not isinstance(values, dict):
                yield number, None
                continue
            if not checked:
                _known(file, list(values))
                checked = True
            yield number, {name: values[name] for name in KNOWN if name in values}
    if not checked:
        raise TableError(f"no line of {file} is a JSON object", REMEDY)


def _known(file: Path, names: list[str]) -> list[str]:
    """The columns to read. Raises TableError where a needed one is missing."""
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise TableError(f"{file} has no column {', '.join(missing)}; it has {', '.join(names) or 'none'}", REMEDY)
    return [name for name in KNOWN if name in names]
