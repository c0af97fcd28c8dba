"""The predictions of any revision: from the workspace, or through DVC from cache or remote."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from r2i.core.errors import R2IError
from r2i.core.names import VIEWS
from r2i.core.params import Drawing
from r2i.core.paths import PREDICTIONS, metrics
from r2i.core.records import REJECTED
from r2i.repo.commands import open_tree
from r2i.repo.lock import LOCK, UNREADABLE, parse_lock

Row = dict[str, Any]
Opener = Callable[[str], IO[bytes]]
WORKSPACE = "workspace"
DRAWN = {"crop": "cut", "zoom": "cut", "recut": "cut", "boxed": "outline"}
"""Views that are drawn for the model, and the part of `drawing` that says how."""
NEEDED = ("item_id", "image_id", "view", "sample", "correct", "status", "dimension")
WANTED = (
    "cluster_id",
    "source",
    "question",
    "options",
    "answer",
    "label",
    "prompt_sha256",
    "sampling",
    "verdict",
)  # older revisions have none of these


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
    view: str = "full"
    ways: Mapping[str, str] = field(default_factory=dict)
    """How the model was asked and judged, in words: `protocol`, `decoding`, `judge`; of a view that is drawn, `cut` or
    `outline`."""
    protocol: str = ""
    """Its name; empty where the revision tells none."""


def load_revision(name: str, model: str | None, view: str, root: Path = Path(), prefer: str | None = None) -> Revision:
    """Read what `name` predicted: a git revision, a DVC experiment's name, or `workspace`.

    `name` may end in `:MODEL`, which then stands for `model`, and in `@VIEW`, which stands for `view`. Where neither
    `model` nor that is told, `prefer` is taken if it was evaluated there, else the only model that was. Tracked files
    that are not in DVC's cache are streamed from the remote. Raises CompareError where the revision is unknown, holds
    no predictions of the model or of the view, has several models to choose from, or where its files are neither in
    the cache nor in the remote.
    """
    before, _, last = name.rpartition("@")
    asked, view = (before, last) if before and last in VIEWS else (name, view)
    revision, _, own = asked.partition(":")
    commit, list_folder, opener = _open_revision(revision, root)

    def read(model: str) -> list[Row]:
        paths = [path for path in list_folder(PREDICTIONS / model) if path.endswith(".parquet")]
        return [row for path in paths for row in _read(name, path, opener)]

    told = own or model
    there = [folder for path in list_folder(PREDICTIONS) if not (folder := Path(path).name).startswith(".")]
    chosen, rows = (
        (told, read(told))
        if told
        else _choose(name, f"{revision}:MODEL{name.removeprefix(asked)}", prefer, there, read)
    )
    if not rows:
        cause = (
            f"{name} has no predictions of {chosen} ({PREDICTIONS / chosen})"
            if chosen
            else f"{name} has no predictions"
        )
        others = ", ".join(model for model in there if model != chosen) or "none"
        raise CompareError(cause, f"there are: {others}; or run `dvc repro evaluate` there")
    greedy = {r["item_id"]: r for r in rows if r["view"] == view and r["sample"] == 0 and r["status"] != REJECTED}
    if not greedy:
        found = ", ".join(sorted({row["view"] for row in rows}))
        raise CompareError(f"{name} has no {view} view of {chosen}", f"its views: {found}; choose one with --view")
    protocol = _protocol(chosen, list_folder, opener)
    lock = (root if revision == WORKSPACE else Path()) / LOCK
    ways = _ways(list(greedy.values()), protocol) | _drawn(view, chosen, str(lock), opener)
    return Revision(name, commit, chosen, greedy, view, ways, protocol)


def _ways(rows: Sequence[Row], protocol: str) -> dict[str, str]:
    """How the model was asked and judged, as far as the revision tells."""
    decodings = {text for row in rows if (text := row.get("sampling"))}
    settings = sorted({json.dumps({k: v for k, v in json.loads(text).items() if k not in ("seed", "system")})
                       for text in decodings})  # fmt: skip
    judges = sorted({row["verdict"]["model"] for row in rows if row.get("verdict")})
    prompts = sorted({sha[:12] for row in rows if (sha := row.get("prompt_sha256"))})
    named = [protocol, f"(prompts {', '.join(prompts)})" if prompts else ""]
    return {
        "protocol": " ".join(filter(None, named)),
        "decoding": "; ".join(settings),
        "judge": ", ".join(judges),
    }


def _drawn(view: str, model: str, lock: str, opener: Opener) -> dict[str, str]:
    """How the view's regions were cut or outlined when it was evaluated; `not told` where the lock doesn't say."""
    if view not in DRAWN:
        return {}
    what = DRAWN[view]
    try:
        with opener(lock) as file:
            found = parse_lock(file.read().decode("utf-8"), "")
        locked = found.params(f"evaluate@{model}") | found.params("benchmark").get("drawing", {})
        given = locked.get("drawing.cut") if what == "cut" else locked.get("outline")
        told = json.dumps(getattr(Drawing.model_validate({what: given or {}}), what).model_dump()) if locked else ""
    except (*UNREADABLE, OSError, UnicodeDecodeError, ValueError, AttributeError):
        told = ""
    return {what: told or "not told"}


def _protocol(model: str, list_folder: Callable[[Path], list[str]], opener: Opener) -> str:
    """The name of the protocol in the metrics of the evaluation; empty where they tell none."""
    from dvc.exceptions import DvcException

    wanted = metrics(f"evaluate-{model}")
    try:
        path = next(path for path in list_folder(wanted.parent) if Path(path).name == wanted.name)
        with opener(path) as file:
            told = json.load(file).get("protocol")
    except (DvcException, OSError, ValueError, AttributeError, StopIteration):
        return ""
    return str(told.get("name", "")) if isinstance(told, dict) else ""


def _choose(
    name: str, form: str, prefer: str | None, there: Sequence[str], read: Callable[[str], list[Row]]
) -> tuple[str, list[Row]]:
    """A model, with its rows, where nobody told one; ("", []) where none has any. `form`: how to tell one."""
    if prefer is not None and prefer in there and (rows := read(prefer)):
        return prefer, rows
    found = {model: rows for model in there if model != prefer and (rows := read(model))}
    if len(found) > 1:
        raise CompareError(
            f"{name} has predictions of several models: {', '.join(found)}",
            f"say which: `{form}`, or --model for all revisions",
        )
    return next(iter(found.items()), ("", []))


def _open_revision(revision: str, root: Path) -> tuple[str, Callable[[Path], list[str]], Opener]:
    """Its commit, how to list a folder ([] where there is none), and how to open a file."""
    from dvc.exceptions import DvcException
    from dvc_data.index import DataIndexDirError

    if revision == WORKSPACE:
        return "", lambda folder: sorted(map(str, (root / folder).glob("*"))), _open_local
    try:
        commit, tree = open_tree(revision, root)
    except DvcException as error:
        raise CompareError(
            f"no revision {revision!r} here ({error})",
            "`git log` and `dvc exp list -A` name those there are; others: `git fetch`, `dvc exp pull REMOTE NAME`",
        ) from error

    def list_folder(folder: Path) -> list[str]:
        try:
            return sorted(tree.ls(folder.as_posix(), detail=False))
        except FileNotFoundError:
            return []
        except DataIndexDirError as error:
            raise _absent(folder.as_posix(), revision) from error

    return commit, list_folder, tree.open


def _open_local(path: str) -> IO[bytes]:
    return Path(path).open("rb")


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
