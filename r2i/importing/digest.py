"""The digest of a table that lies outside the pipeline, and rows that are read only where it still holds."""

import hashlib
from pathlib import Path

from r2i.core import paths
from r2i.core.errors import ParamsError, TableError
from r2i.core.images import file_sha256
from r2i.core.params import Rows
from r2i.core.records import TRAIN
from r2i.core.tables import table_parts

AGAIN = "bring back the table that was meant, or run `r2i rows import --write` anew, which puts both into params.yaml"


def table_files(path: Path) -> list[Path]:
    """The Parquet files of a table: `path` itself, or those below it, in order of their names."""
    return sorted(path.rglob("*.parquet")) if path.is_dir() else [path]


def table_sha256(path: Path) -> str:
    """Of a file, or of a folder's Parquet files: their names in it and their bytes, in order; no other file counts.

    Raises TableError where there is none.
    """
    digest = hashlib.sha256()
    files = table_files(path)
    if not files or not files[0].is_file():
        raise TableError(f"no Parquet in {path}", "look at train.rows.path in params.yaml")
    for file in files:
        name = file.relative_to(path) if path.is_dir() else Path(file.name)
        digest.update(f"{file_sha256(file)}  {name.as_posix()}\n".encode())
    return digest.hexdigest()


def train_table(rows: Rows | None) -> Path:
    """The table that is trained on: the one that train.rows names, else that of `overlay`. Raises TableError as
    `checked_folder` does."""
    return checked_folder(rows) if rows else paths.TRAIN


def checked_folder(rows: Rows) -> Path:
    """Where the table lies, relative to the main workspace if not to this one. Raises TableError where it is gone, or
    its digest is not the one in params, or it is no table of r2i.core.records.TRAIN."""
    path = paths.here_or_main(Path(rows.path))
    found = table_sha256(path)
    if rows.sha256 is None:
        raise TableError(f"params.yaml says no sha256 of train.rows; {path} has {found}", AGAIN)
    if found != rows.sha256:
        raise TableError(f"{path} has the digest {found}, params.yaml says {rows.sha256}", AGAIN)
    try:
        table_parts(path, TRAIN, "import")
    except TableError as error:  # no stage writes this table
        raise TableError(error.cause, "train.rows.path must be a folder that `r2i rows import` wrote") from error
    return path


def pin_rows(file: Path, profile: str, folder: Path, sha256: str) -> None:
    """Name a table as `train.rows` of a profile in params.yaml, which is written as `dvc exp run -S` does.

    Raises ParamsError where the profile has no section train.
    """
    from dvc.utils.serialize import modify_yaml

    with modify_yaml(file) as params:
        train = params["profiles"][profile].get("train")
        if not isinstance(train, dict):
            raise ParamsError(f"{file}: profile {profile} has no section train", "choose another profile, or add it")
        rows = train.get("rows") or {}
        rows |= {"path": folder.as_posix(), "sha256": sha256}
        train["rows"] = rows
