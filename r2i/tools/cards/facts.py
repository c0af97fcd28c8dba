"""What the cards tell, from tables, metrics, params and dvc.lock; what is missing is None or empty, not guessed."""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from r2i.core import paths
from r2i.core.catalogue import ANSWERS, QUESTIONS, REGIONS, TRAIN, VOTES, Listed
from r2i.core.errors import R2IError, TableError
from r2i.core.params import Params, Pool
from r2i.core.provenance import CALL
from r2i.repo.lock import Lock, lock_commit
from r2i.repo.profile import Run
from r2i.tools.lineage.calls import PROMPTS, prompt_of, prompt_text

if TYPE_CHECKING:
    from datasets import Features

STAGES = ("sample", "crop", "question", "answer", "vote", "overlay")
WHERE = {  # what was asked for -> the table that holds the calls, and their column; "": columns of the table itself
    "list": (REGIONS, "listing"),
    "write": (QUESTIONS, ""),
    "check": (QUESTIONS, "check"),
    "answer": (ANSWERS, ""),
    "judge": (VOTES, "judge"),
    "distractors": (TRAIN, "distractor_calls"),
    "try": (TRAIN, "try_calls"),
}
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
HUB_LICENCES = frozenset(
    "apache-2.0 mit cc0-1.0 cc-by-4.0 cc-by-sa-4.0 cc-by-nc-4.0 cc-by-nc-sa-4.0 cc-by-3.0 odc-by pddl".split()
)
_NAMES = ("model", "endpoint", "prompt_sha256", "sampling")


@dataclass(frozen=True)
class Export:
    """A dataset that was just written. `size`: bytes unpacked; `download`: of its files."""

    what: str
    split: str
    features: "Features"
    rows: int
    size: int
    download: int


@dataclass(frozen=True)
class Asked:
    """One way in which models were asked. `prompt`: what r2i.tools.lineage.calls.prompt_of says of the file."""

    step: str
    model: str
    endpoint: str
    sampling: str
    sha256: str
    prompt: dict[str, Any]

    @property
    def text(self) -> str:
        return prompt_text(self.prompt["file"]) if self.prompt["now"] else ""


def read_metrics(stage: str, run: Run | None = None) -> dict[str, Any]:
    """{} where there are none, or none of the chosen params. Raises R2IError where they are no JSON object."""
    path = paths.metrics(stage)
    if run and not run.owns(path):
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise R2IError(f"{path} is no JSON ({error})", f"run `dvc repro {stage}`") from error
    return found if isinstance(found, dict) else {}


def ways_asked() -> list[Asked]:
    """Every way in which a model was asked, as the rows say; of the tables that are here."""
    found = []
    for step, (table, column) in WHERE.items():
        for model, endpoint, sha256, sampling in sorted(_distinct(table, column)):
            found.append(Asked(step, model, endpoint, sampling, sha256, prompt_of(sha256, step)))
    return found


def _distinct(table: Listed, column: str) -> set[tuple[str, ...]]:
    """(model, endpoint, prompt_sha256, sampling) of the calls in a column."""
    found: set[tuple[str, ...]] = set()
    try:
        for batch in table.batches([column] if column else [field.name for field in CALL]):
            calls = pa.Table.from_batches([batch]) if not column else _calls(batch.column(0))
            for row in calls.select(_NAMES).group_by(list(_NAMES)).aggregate([]).to_pylist():
                if row["model"]:
                    found.add(tuple(row[name] or "" for name in _NAMES))
    except TableError:
        return set()
    return found


def _calls(column: pa.Array) -> pa.Table:
    """A column of calls, or of lists of calls, as a table; nulls left out."""
    values = pc.list_flatten(column) if pa.types.is_list(column.type) else column
    values = values.drop_null()
    return pa.table({name: pc.struct_field(values, name) for name in _NAMES})


def left_out(run: Run | None, names: Iterable[str]) -> str:
    """A line about metrics that are here and not of the chosen params; "" where there are none."""
    return run.left_out(map(paths.metrics, names)) if run else ""


def count_train() -> dict[str, Any]:
    """Rows of the train table that are ok, by view, dimension, label and agreement. Raises TableError."""
    names = ("view", "dimension", "label", "agree")
    counts: dict[str, Counter[Any]] = {name: Counter() for name in names}
    questions: set[str] = set()
    images: set[str] = set()
    rows = 0
    for batch in TRAIN.batches([*names, "status", "question_id", "image_id"]):
        kept = batch.filter(pc.equal(batch.column("status"), "ok"))
        rows += kept.num_rows
        for name in names:
            counts[name].update(kept.column(name).to_pylist())
        questions.update(kept.column("question_id").to_pylist())
        images.update(kept.column("image_id").to_pylist())
    by = {name: dict(sorted(found.items(), key=lambda pair: str(pair[0]))) for name, found in counts.items()}
    return {"rows": rows, "questions": len(questions), "images": len(images), "by": by}


def funnel(run: Run | None) -> Iterator[dict[str, Any]]:
    """Stage by stage: rows, by status and reason."""
    for stage in STAGES:
        found = read_metrics(stage, run)
        if "status" in found:
            yield {"stage": stage, "rows": found["rows"], "status": found["status"], "reason": found["reason"]}


def calls_paid(run: Run | None) -> Iterator[dict[str, Any]]:
    """Of each stage and model: requests, samples, tokens, cost where its price is known."""
    for stage in STAGES:
        for model, sums in sorted(read_metrics(stage, run).get("calls", {}).items()):
            yield {"stage": stage, "model": model, **sums}


def revision(paths_shown: Iterable[str], lock: Lock | None) -> dict[str, Any]:
    """The lock's commit, and the md5s that `lock` names for `paths_shown`."""
    commit, committed = lock_commit()
    md5s = {entry.path: entry.md5 for entry in lock.outs()} if lock else {}
    return {"commit": commit, "committed": committed, "md5": {path: md5s.get(path, "") for path in paths_shown}}


def pools_of(params: Params) -> list[Pool]:
    """Of the chosen profile; none where it samples no images."""
    return params.chosen.sample.pools if params.chosen.has("sample") else []


def licence_of(pool: Pool) -> str:
    """As params say; pictures that this repository draws have its own licence."""
    return pool.licence or (own_licence() if pool.kind == "rendered" else "") or "not stated"


def licence_text(pool: Pool) -> str:
    """`licence_of`, for the table: who drew the pictures where that is this repository."""
    drawn = pool.kind == "rendered" and not pool.licence and own_licence()
    return f"rendered by this repository, {drawn}" if drawn else licence_of(pool)


def own_licence() -> str:
    """Of this repository."""
    file = Path(__file__).parents[3] / "pyproject.toml"
    return str(tomllib.loads(file.read_text(encoding="utf-8"))["project"].get("license", "")) if file.is_file() else ""


def hub_licence(licences: Iterable[str]) -> dict[str, str]:
    """The front matter for these licences: one that the Hub knows, or `other` with its name."""
    names = sorted(set(licences))
    if len(names) == 1 and names[0].lower() in HUB_LICENCES:
        return {"license": names[0].lower()}
    slug = re.sub(r"[^a-z0-9]+", "-", " and ".join(names).lower()).strip("-")
    return {"license": "other", "license_name": slug or "not-stated"}


def size_category(rows: int) -> str:
    return next((name for limit, name in SIZES if rows < limit), "n>1M")


def room_of(step: str) -> str:
    """The stage that asks so: `write` -> `question`."""
    room = PROMPTS[step].split("/")[0]
    return "overlay" if room == "mcq" else room
