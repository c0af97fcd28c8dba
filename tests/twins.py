"""Two clones in unlike places run the whole DAG: do they write the same bytes?

`make twins [PROFILE=smoke]`, or `python tests/twins.py PROFILE`. On the profile that the committed dvc.lock is of, the
outs are also compared with that lock. Exit code 1 where anything differs; what differs is named down to the file, for
a table also the columns and the first row. A training on GPUs (`train.engine: openrlhf`) writes no two models alike:
then what follows from it is compared by its accuracies, which may differ by `train.tolerance`.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
from clone import ROOT, clone, run

from r2i.core.params import Train, load_params
from r2i.repo.lock import read_lock

INEXACT = (  # where a GPU trains
    "train@dapo", "train@sft", "train@opd", "evaluate@distilled", "evaluate@sft", "evaluate@opd", "score", "report",
)  # fmt: skip
HOURS = 8
# HF_HUB_OFFLINE=0: the network may be there, and must change nothing
UNLIKE = {
    "TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "0",
}  # fmt: skip


def repro(folder: Path, **env: str) -> None:
    """AssertionError with DVC's last words where a stage fails."""
    done = run(folder, "dvc", "repro", timeout=HOURS * 3600, **env)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def repro_elsewhere(folder: Path, profile: str, *targets: str) -> Path:
    """A clone whose path, locale, clock, hashing, threads, umask, cache and store are unlike those of other clones.

    `targets`: stages that it runs, with all that they need; without any the whole pipeline."""
    other = clone(folder / "elsewhere, déjà vu" / "and deeper" / "r2i", profile)
    for key, value in (("cache.dir", str(folder / "cache of its own")), ("cache.type", "copy")):
        assert run(other, "dvc", "config", "--local", key, value).returncode == 0
    told = ("sh", "-c", 'umask 077; exec dvc repro "$@"', "sh")
    done = run(other, *told, *targets, timeout=HOURS * 3600, R2I_STORE=str(folder / "store of its own"), **UNLIKE)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return other


def outs(folder: Path) -> dict[str, dict[str, str]]:
    """By stage, then by path: the hashes in dvc.lock."""
    lock = read_lock(folder / "dvc.lock")
    return {name: {entry.path: entry.md5 for entry in lock.outs(name)} for name in lock.stages}


def unlike_outs(one: Path, other: Path) -> list[tuple[str, str]]:
    """(stage, path) of the outs that differ between two locks, or that only one of them has."""
    first, second = outs(one), outs(other)
    found = []
    for stage in sorted(first.keys() | second.keys()):
        here, there = first.get(stage, {}), second.get(stage, {})
        found += [(stage, path) for path in sorted(here.keys() | there.keys()) if here.get(path) != there.get(path)]
    return found


def unlike_scores(one: Path, other: Path, tolerance: float) -> list[str]:
    """A line for each accuracy of metrics/evaluate.json, and each gap, that is further apart, or only in one."""
    first, second = (headline(folder) for folder in (one, other))
    if not first:
        return ["metrics/evaluate.json holds no accuracy"]
    return [
        f"{name}: {first.get(name)} and {second.get(name)}: further apart than {tolerance}"
        for name in sorted(first.keys() | second.keys())
        if name not in first or name not in second or abs(first[name] - second[name]) > tolerance + 1e-9
    ]


def headline(folder: Path) -> dict[str, float]:
    """By place in the file: `views.<view>.<model>.accuracy`, `gap.<model>`."""
    found = json.loads((folder / "metrics" / "evaluate.json").read_text(encoding="utf-8"))
    scores = {
        f"views.{view}.{model}.accuracy": cell["accuracy"]
        for view, models in found["views"].items()
        for model, cell in models.items()
    }
    return scores | {f"gap.{model}": found["gap"][model] for model in ("base", "distilled") if model in found["gap"]}


def compare(one: Path, other: Path, train: Train) -> list[str]:
    """What differs though it may not: bytes, and where a GPU trained, accuracies in place of what follows from it."""
    if train.engine != "openrlhf":
        return differences(one, other)
    return differences(one, other, INEXACT) + unlike_scores(one, other, train.tolerance)


def differences(one: Path, other: Path, but: Collection[str] = ()) -> list[str]:
    """A line for each file that differs, below the outs that differ; both clones have their outs checked out.

    `but`: stages whose bytes are not compared.
    """
    lines = []
    for stage, path in unlike_outs(one, other):
        if stage in but:
            continue
        here, there = files(one / path), files(other / path)
        unlike = [name for name in sorted(here.keys() | there.keys()) if here.get(name) != there.get(name)]
        lines += [f"{stage}: {Path(path, name)}: {explain(one / path / name, other / path / name)}" for name in unlike]
    return lines


def files(out: Path) -> dict[str, str]:
    """sha256 by relative path; "." of an out that is a file."""
    paths = [out] if out.is_file() else [path for path in out.rglob("*") if path.is_file()]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def explain(one: Path, other: Path) -> str:
    """How two files that differ do so."""
    if not (one.is_file() and other.is_file()):
        return "only in one"
    if one.suffix == other.suffix == ".parquet":
        return explain_tables(one, other)
    first, second = one.read_bytes(), other.read_bytes()
    at = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second)))
    return f"byte {at} of {len(first)} and {len(second)}"


def explain_tables(one: Path, other: Path) -> str:
    first, second = pq.read_table(one), pq.read_table(other)
    if first.schema.names != second.schema.names:
        return f"columns {sorted(set(first.schema.names) ^ set(second.schema.names)) or 'in another order'}"
    if first.num_rows != second.num_rows:
        return f"{first.num_rows} rows and {second.num_rows}"
    unlike = {name: first_unlike(first[name].to_pylist(), second[name].to_pylist()) for name in first.schema.names}
    told = [f"{name} from row {row}" for name, row in unlike.items() if row is not None]
    return "column " + ", ".join(told) if told else "the same rows in other bytes"


def first_unlike(one: list[Any], other: list[Any]) -> int | None:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), None)


def found_alike(one: Path, train: Train) -> str:
    """What was compared, where nothing differs."""
    stages = {stage: paths for stage, paths in outs(one).items() if train.engine != "openrlhf" or stage not in INEXACT}
    text = f"the same bytes: {sum(map(len, stages.values()))} outs of {len(stages)} stages"
    return text if train.engine != "openrlhf" else f"{text}; accuracies within {train.tolerance}"


def main(profile: str) -> int:
    with tempfile.TemporaryDirectory(prefix="r2i-twins-") as made:
        one = clone(Path(made) / "one", profile)
        repro(one)
        other = repro_elsewhere(Path(made), profile)
        train = load_params(one / "params.yaml").chosen.train
        lines = compare(one, other, train)
        committed = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["profile"]
        if committed == profile:
            unlike = unlike_outs(ROOT, one)
            exact = [out for out in unlike if train.engine != "openrlhf" or out[0] not in INEXACT]
            lines += [f"{stage}: {path}: not as in the committed dvc.lock" for stage, path in exact]
        print("\n".join(lines) or found_alike(one, train))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:] or ["smoke"])))
