"""The predictions of any revision: from the workspace, or through DVC from cache or remote."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from r2i.core.errors import R2IError
from r2i.core.paths import PREDICTIONS
from r2i.core.records import REJECTED
from r2i.repo.commands import open_tree

Row = dict[str, Any]
Opener = Callable[[str], IO[bytes]]
WORKSPACE = "workspace"
NEEDED = ("item_id", "image_id", "view", "sample", "correct", "status", "dimension")
WANTED = ("cluster_id", "source", "question", "options", "answer", "label")  # older revisions have none of these


class CompareError(R2IError):
    """Revisions can't be compared: one is unknown, not evaluated or not at hand, or nothing is common."""


@dataclass(frozen=True)
class Revision:
    """The greedy predictions of one model in one view, as a revision has them."""

    name: str
    commit: str
    """Its sha; empty for the workspace."""
    model: str
    rows: dict[str, Row]
    """By item id; a row the item has no such view for is left out."""


def load_revision(name: str, model: str, view: str, root: Path = Path()) -> Revision:
    """Read what `name` predicted: a git revision, a DVC experiment's name, or `workspace`.

    `name` may end in `:MODEL`, which then stands for `model`. Tracked files that are not in DVC's cache
    are streamed from the remote. Raises CompareError where the revision is unknown, holds no predictions
    of the model or of the view, or where its files are neither in the cache nor in the remote.
    """
    revision, _, own = name.partition(":")
    model = own or model
    folder = PREDICTIONS / model
    opener: Opener = _open_local
    if revision == WORKSPACE:
        commit, paths = "", sorted(map(str, (root / folder).glob("*.parquet")))
    else:
        commit, paths, opener = _tracked_files(revision, folder, root)
    if not paths:
        raise CompareError(f"{name} has no predictions of {model} ({folder})", "run `dvc repro evaluate` there")
    rows = [row for path in paths for row in _read(name, path, opener)]
    greedy = {r["item_id"]: r for r in rows if r["view"] == view and r["sample"] == 0 and r["status"] != REJECTED}
    if not greedy:
        found = ", ".join(sorted({row["view"] for row in rows})) or "none"
        raise CompareError(f"{name} has no {view} view of {model}", f"its views: {found}; choose one with --view")
    return Revision(name, commit, model, greedy)


def _open_local(path: str) -> IO[bytes]:
    return Path(path).open("rb")


def _tracked_files(revision: str, folder: Path, root: Path) -> tuple[str, list[str], Opener]:
    """The commit, the Parquet files that it tracks below `folder`, and how to open one."""
    from dvc.exceptions import DvcException
    from dvc_data.index import DataIndexDirError

    try:
        commit, tree = open_tree(revision, root)
    except DvcException as error:
        raise CompareError(
            f"no revision {revision!r} here ({error})",
            "`git log` and `dvc exp list -A` name those there are; others: `git fetch`, `dvc exp pull REMOTE NAME`",
        ) from error
    try:
        found = tree.ls(folder.as_posix(), detail=False)
    except FileNotFoundError:
        found = []
    except DataIndexDirError as error:
        raise _absent(folder.as_posix(), revision) from error
    return commit, sorted(path for path in found if path.endswith(".parquet")), tree.open


def _read(name: str, path: str, opener: Opener) -> list[Row]:
    """Rows of one file, with the columns that its revision knew."""
    from dvc.exceptions import DvcException

    try:
        with opener(path) as file, pq.ParquetFile(file) as table:
            known = [column for column in (*NEEDED, *WANTED) if column in table.schema_arrow.names]
            if missing := sorted(set(NEEDED) - set(known)):
                raise CompareError(f"{path} of {name} has no column {missing[0]!r}", "evaluate that revision anew")
            rows: list[Row] = table.read(columns=known).to_pylist()
    except pa.ArrowInvalid as error:
        raise CompareError(f"{path} of {name} is not a readable Parquet file ({error})", "evaluate anew") from error
    except (DvcException, OSError) as error:
        raise _absent(path, name) from error
    return rows


def _absent(path: str, name: str) -> CompareError:
    return CompareError(
        f"{path} of {name} is neither in DVC's cache nor in a remote that answers",
        "run `dvc fetch --all-commits`, or `dvc exp pull REMOTE NAME` for an experiment",
    )


def fingerprint(row: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """What was asked and what counts as right; None where the revision did not write it down."""
    if row.get("question") is None:
        return None
    return row["question"], tuple(row["options"] or ()), row["answer"], row["label"]
