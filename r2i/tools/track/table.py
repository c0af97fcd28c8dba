"""Experiments side by side: the headline of each, under the names that it has in MLflow, and the params that differ."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from r2i.core import paths
from r2i.core.errors import R2IError
from r2i.core.params import load_params
from r2i.core.tracking import numbers
from r2i.repo.commands import ask_dvc
from r2i.repo.profile import PARAMS, read_run_of, read_run_or_none
from r2i.tools.track.finished import chosen_values
from r2i.tools.track.headline import headline

COLUMNS = 12
HIDDEN = ("boxed.", "full_gain")  # of the headline
WORKSPACE = "workspace"
READ = (str(paths.metrics("evaluate")), str(paths.metrics("overlay")))


@dataclass(frozen=True)
class Experiment:
    """A row. `level`: 0 of the workspace and commits, 1 of the experiments that began there; `left_out`: why it shows
    no numbers, "" where it does."""

    name: str
    level: int
    created: str
    state: str
    numbers: Mapping[str, float]
    params: Mapping[str, Any]
    left_out: str


def read_experiments() -> list[Experiment]:
    """The workspace, its commit, and the experiments of that. Raises R2IError where DVC can't tell."""
    told = ask_dvc("exp", "show", "--json")
    if told.returncode:
        raise R2IError(f"`dvc exp show` failed: {told.stderr.strip()[-500:]}", "see its message")
    return list(_rows(json.loads(told.stdout)))


def _rows(shown: Sequence[Mapping[str, Any]]) -> Iterator[Experiment]:
    for commit in shown:
        yield _read(commit, commit.get("name") or _short(commit["rev"]), 0, "")
        found = [
            _read(experiment["revs"][0], experiment.get("name") or _short(experiment["revs"][0]["rev"]), 1, state)
            for experiment in commit.get("experiments") or []
            if experiment.get("revs")
            for state in [str((experiment.get("executor") or {}).get("state") or "")]
        ]
        yield from sorted(found, key=_gap)


def _gap(row: Experiment) -> float:
    """Of the last model that has one; without one a row comes last."""
    return [*(value for name, value in row.numbers.items() if name.startswith("gap.")), float("inf")][-2:][0]


def _read(row: Mapping[str, Any], name: str, level: int, state: str) -> Experiment:
    data = row.get("data") or {}
    params = chosen_values((data.get("params", {}).get(str(PARAMS)) or {}).get("data") or {})
    metrics = {path: found.get("data") or {} for path, found in (data.get("metrics") or {}).items()}
    run = read_run_or_none() if row["rev"] == WORKSPACE else read_run_of(row["rev"])
    left_out = ""
    if run and (strange := [path for path in READ if path in metrics and run.writers.get(path) in run.leftovers]):
        left_out = f"not of profile {run.profile}: {run.told(run.writers[path] for path in strange)}"
        metrics = {path: found for path, found in metrics.items() if path not in strange}
    scores, overlay = (numbers(metrics.get(path, {})) for path in READ)
    created = str(data.get("timestamp") or "").replace("T", " ")[:16]
    failed = "" if data or state else "failed"
    return Experiment(
        name, level, created, state or failed, headline(scores, overlay, load_params().model_names), params, left_out
    )


def table_text(rows: Sequence[Experiment]) -> list[str]:
    """The table, and lines on what was left out and on params for which there is no room."""
    states = any(row.state not in ("", "success") for row in rows)
    fullest = sorted(rows, key=lambda row: -len(row.numbers))
    found = dict.fromkeys(key for row in fullest for key in row.numbers)
    names = [name for name in found if not name.startswith(HIDDEN)]
    keys = dict.fromkeys(key for row in rows for key in row.params)
    differing = [key for key in keys if len({str(row.params.get(key)) for row in rows if row.params}) > 1]
    room = max(COLUMNS - 2 - states - len(names), 1)
    table = [["experiment", "created", *["state"] * states, *names, *differing[:room]]]
    for row in rows:
        values = [_shown(name, row.numbers.get(name)) for name in names]
        values += [str(row.params.get(key, "-")) for key in differing[:room]]
        table.append(["  " * row.level + row.name, row.created, *[row.state] * states, *values])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    left = 2 + states
    lines = [
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in table
    ]
    lines += [f"left out: numbers of {row.name}, {row.left_out}" for row in rows if row.left_out]
    if more := differing[room:]:
        lines.append(f"{len(more)} more params differ: `dvc exp diff` and `dvc params diff` name them")
    return lines


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if name == "train_rows" else f"{100 * value:.1f}"


def _short(revision: str) -> str:
    return revision if revision == WORKSPACE else revision[:7]
