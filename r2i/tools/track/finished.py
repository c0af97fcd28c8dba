"""A finished run as the tracker reads it: the workspace's, or an experiment's out of git and DVC's cache."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from r2i.core import paths
from r2i.core.errors import R2IError
from r2i.core.images import file_sha256
from r2i.core.names import OBJECTIVES, ModelNames
from r2i.core.params import load_params
from r2i.core.tracking import COMMIT_TAG, LOCK_TAG, flatten
from r2i.core.yaml_text import read_yaml
from r2i.repo.commands import open_tree
from r2i.repo.git import Experiment, ask_git, branch_of, changed_files, find_by_lock, head_commit, list_experiments
from r2i.repo.lock import DAG, LOCK, Lock
from r2i.repo.profile import PARAMS, Run, read_run

PROFILE_TAG = "r2i.profile"  # of a run whose dvc.lock holds stages of another one: that lock is several runs
SHARED = ("seed", "profile", "models")  # params of a run beside those of its profile


@dataclass(frozen=True)
class Finished:
    """What a run left in `folder`, and where it came from. `identity`: tags by which its MLflow run is found again."""

    folder: Path
    name: str
    identity: dict[str, str]
    origin: dict[str, str]  # more tags
    params: dict[str, Any]
    changed: dict[str, str]  # param -> "old → new", against the commit
    models: ModelNames
    run: Run = field(repr=False)  # dvc.lock; stages that are not of these params are left out

    def owned(self, path: Path) -> Path | None:
        """Where a file of the repository lies that is of this run; None where it is missing, or of another."""
        found = self.folder / path
        return found if found.is_file() and self.run.owns(path) else None

    @property
    def left_out(self) -> str:
        """A line that names the stages of dvc.lock that are not of this run; "" where there are none."""
        told = self.run.told(self.run.leftovers)
        return told and f"left out, not of profile {self.run.profile} as {PARAMS} has it: {told}"


def read_workspace() -> Finished:
    """The run in the current directory. Raises R2IError where nothing was run."""
    if not LOCK.is_file():
        raise R2IError("no dvc.lock: nothing has been run here", "run `make repro` first")
    found = find_by_lock()
    if found and not found.revision and found.baseline:  # while it runs DVC may have made a commit of its own
        return _read(Path.cwd(), found.baseline, found, "")
    return _read(Path.cwd(), head_commit(), found, "")


@contextmanager
def restored(name: str) -> Iterator[Finished]:
    """The experiment `name`, its small files in a folder that goes with the block. Raises R2IError if it is unknown."""
    known = list_experiments()
    found = next((one for one in known if name in (one.name, one.revision)), None)
    if not found:
        names = ", ".join(one.name for one in known[:10]) or "none"
        raise R2IError(f"no experiment {name} here; there is {names}", "see `dvc exp list --all-commits`")
    with tempfile.TemporaryDirectory(prefix="r2i-track-") as folder:
        _restore(found, Path(folder))
        yield _read(Path(folder), found.baseline, found, found.revision)


def _restore(experiment: Experiment, folder: Path) -> None:
    from dvc.exceptions import DvcException

    wanted = [LOCK, PARAMS, DAG, paths.REPORT, *(paths.TRAIN_LOGS / f"{run}.json" for run in OBJECTIVES)]
    try:
        _, files = open_tree(experiment.revision)
        wanted += [Path(found) for found in files.find("metrics") if found.endswith(".json")]
        for path in wanted:
            if files.exists(path.as_posix()):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                files.get_file(path.as_posix(), str(folder / path))
    except (DvcException, OSError) as error:
        cause = f"{experiment.name}: what it wrote is neither in the cache nor in a remote ({error})"
        raise R2IError(cause, f"`dvc exp pull REMOTE {experiment.name}`, or run it again") from error


def _read(folder: Path, commit: str, experiment: Experiment | None, revision: str) -> Finished:
    run, settings = read_run(folder), load_params(folder / PARAMS)
    if not run.ran:
        raise R2IError(
            f"nothing of profile {run.profile} as {PARAMS} has it was run: dvc.lock is of {run.told(run.leftovers)}",
            "`dvc repro` first",
        )
    whole = settings.model_dump(by_alias=True)
    params = flatten({name: whole[name] for name in SHARED} | whole["profiles"][settings.profile])
    digest, branch = file_sha256(folder / LOCK), branch_of(commit)
    return Finished(
        folder=folder,
        name=f"{experiment.name if experiment else branch or 'detached'} {run.profile} {digest[:8]}",
        identity={LOCK_TAG: digest, COMMIT_TAG: commit} | ({PROFILE_TAG: run.profile} if run.leftovers else {}),
        origin=_origin(commit, branch, experiment, revision, run.lock),
        params=params,
        changed=_compare(ask_git("show", f"{commit}:./{PARAMS}"), (folder / PARAMS).read_text(encoding="utf-8")),
        models=settings.model_names,
        run=run,
    )


def _origin(commit: str, branch: str, experiment: Experiment | None, revision: str, lock: Lock) -> dict[str, str]:
    written = {entry.path for entry in lock.outs()} | {str(LOCK)}
    changed = changed_files(commit, revision) if revision else _changed_here(commit)
    edited = [path for path in changed if path not in written and not _below(path, written)]
    tags = {"r2i.git_dirty": "true" if edited else "false"}
    if edited:
        tags["r2i.git_edited"] = ", ".join(edited)
    if branch:
        tags["r2i.git_branch"] = branch
    if experiment:
        tags["r2i.dvc_experiment"] = experiment.name
    if experiment and experiment.revision:
        tags["r2i.dvc_revision"] = experiment.revision
    return tags


def _changed_here(commit: str) -> list[str]:
    """By the files' contents: in `dvc exp run --temp` git takes a param for unchanged that has as many characters."""
    with tempfile.TemporaryDirectory(prefix="r2i-index-") as place:
        os.environ["GIT_INDEX_FILE"] = str(Path(place) / "index")
        try:
            ask_git("read-tree", commit)
            return changed_files(commit)
        finally:
            del os.environ["GIT_INDEX_FILE"]


def _below(path: str, folders: set[str]) -> bool:
    return any(path.startswith(folder + os.sep) for folder in folders)


def _compare(before: str, after: str) -> dict[str, str]:
    """Params that differ, of the profile that was run: `{"vote.min_agreement": "6 → 7"}`."""
    old, new = _chosen(before), _chosen(after)
    if not old or old["profile"] != new["profile"]:
        return {"profile": f"{old['profile']} → {new['profile']}"} if old else {}
    names = sorted(old.keys() | new.keys())
    return {name: f"{old.get(name, '-')} → {new.get(name, '-')}" for name in names if old.get(name) != new.get(name)}


def _chosen(text: str) -> dict[str, Any]:
    """The params file `text` as flat names, its chosen profile alone; {} where it is none."""
    try:
        return chosen_values(read_yaml(text))
    except yaml.YAMLError:
        return {}


def chosen_values(raw: Any) -> dict[str, Any]:
    """What a params file holds, as flat names, its chosen profile alone; {} where it is none."""
    try:
        return flatten({name: raw[name] for name in SHARED if name in raw} | raw["profiles"][raw["profile"]])
    except (KeyError, TypeError):
        return {}
