"""What became of an experiment: its items, kept beside the replies, so that it is never run for its numbers again."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from r2i.core import paths
from r2i.core.disk import new_file
from r2i.core.errors import R2IError
from r2i.repo.commands import open_tree

READ = ["item_id", "cluster_id", "source", "dimension", "view", "sample", "correct", "tokens_in", "tokens_out",
        "vision_forwards", "status"]  # fmt: skip
ITEMS = pa.schema([
    ("model", pa.string()), ("view", pa.string()), ("item_id", pa.string()), ("cluster_id", pa.string()),
    ("source", pa.string()), ("dimension", pa.string()), ("accuracy", pa.float64()), ("coverage", pa.float64()),
    ("tokens", pa.float64()), ("forwards", pa.float64()),
])  # fmt: skip
FACTS = b"r2i.study"  # key in the file's metadata


@dataclass(frozen=True)
class Facts:
    """Of an experiment that ended. `revision`: its commit; `based_on`: by stage, a digest of the code and the profile's
    params that it started from; `models`: that were evaluated; `minutes`: it took."""

    name: str
    revision: str
    commit: str
    based_on: dict[str, str]
    models: list[str]
    minutes: float


def folder() -> Path:
    return paths.state_folder() / "study"


def read_facts(name: str) -> Facts | None:
    """None where the experiment has not ended, or another version of this code kept it."""
    path = folder() / f"{name}.parquet"
    try:
        found = Facts(**json.loads((pq.read_schema(path).metadata or {})[FACTS]))
        return found if isinstance(found.based_on, dict) else None
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError):
        return None


def are_alike(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether the stages that both name had the same code and params."""
    return all(one[stage] == other[stage] for stage in one.keys() & other.keys())


def read_items(name: str) -> pa.Table:
    """A row (ITEMS) for each model, view and item, of an experiment that has facts."""
    return pq.read_table(folder() / f"{name}.parquet")


def read_failure(name: str) -> str:
    """Why the experiment failed when it was last tried; "" where it did not."""
    path = folder() / f"{name}.failed"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def keep_failure(name: str, reason: str) -> None:
    with new_file(folder() / f"{name}.failed") as part:
        part.write_text(reason, encoding="utf-8")


def keep_outcome(facts: Facts) -> None:
    """Read what the experiment's commit predicted and where it looked, and keep it, whole or not at all.

    Raises R2IError where it has no such tables: the experiment didn't come to its end.
    """
    _, tree = open_tree(facts.revision)
    parts = [table for model in facts.models for table in _tables(tree, facts.name, model)]
    found = pa.concat_tables(parts).cast(ITEMS)
    with new_file(folder() / f"{facts.name}.parquet") as part:
        pq.write_table(found.replace_schema_metadata({FACTS: json.dumps(asdict(facts))}), part)
    (folder() / f"{facts.name}.failed").unlink(missing_ok=True)


def _tables(tree: Any, name: str, model: str) -> Iterator[pa.Table]:
    """Greedy rows of one model. Calls that failed are left out, as everywhere in comparisons, and so is a view that
    an item has not."""
    rows = _read(tree, name, paths.PREDICTIONS / model, READ)
    rows = rows.filter(pc.and_(pc.equal(rows["sample"], 0), pc.equal(rows["status"], "ok")))
    looks = _coverage(tree, name, model)
    kept = rows.to_pylist()
    yield pa.Table.from_pylist(
        [
            {
                "model": model, "accuracy": float(row["correct"] is True),
                "coverage": looks.get(row["item_id"]) if row["view"] == "full" else None,
                "tokens": _sum(row["tokens_in"], row["tokens_out"]), "forwards": _sum(row["vision_forwards"]),
                **{column: row[column] for column in ("view", "item_id", "cluster_id", "source", "dimension")},
            }
            for row in kept
        ],
        schema=ITEMS,
    )  # fmt: skip


def _coverage(tree: Any, name: str, model: str) -> dict[str, float]:
    """By item id, mean over the layers that were looked at; {} where attention was not measured."""
    folder = paths.ATTENTION / model
    try:
        rows = _read(tree, name, folder, ["item_id", "coverage", "status"]).to_pylist()
    except R2IError:
        return {}
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["status"] == "ok" and row["coverage"] is not None:
            found.setdefault(row["item_id"], []).append(row["coverage"])
    return {item: sum(values) / len(values) for item, values in found.items()}


def _sum(*values: int | None) -> float | None:
    return None if None in values else float(sum(value or 0 for value in values))


def _read(tree: Any, name: str, folder: Path, columns: Sequence[str]) -> pa.Table:
    """All shards of a table in a commit, of files that git or DVC holds."""
    from dvc.exceptions import DvcException

    try:
        files = sorted(path for path in tree.ls(folder.as_posix(), detail=False) if path.endswith(".parquet"))
        if not files:
            raise FileNotFoundError(folder)
        parts = []
        for path in files:
            with tree.open(path) as file:
                parts.append(pq.read_table(pa.BufferReader(file.read()), columns=list(columns)))
        return pa.concat_tables(parts)
    except (DvcException, OSError, KeyError, pa.ArrowInvalid) as error:
        raise R2IError(
            f"the experiment {name} has no readable {folder} ({error})", f"`dvc exp remove {name}`, then again"
        ) from error
