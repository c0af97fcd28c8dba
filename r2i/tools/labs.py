"""Sharing with other labs through a DVC remote: data, the run-cache and the archive of replies.

DVC does the work, as the command that a person would type; here is the order, and what must not get lost. dvc.lock may
hold stages of another profile, whose data nobody here needs: DVC is given the names of the others, and they are told.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from r2i.core.errors import R2IError
from r2i.repo.commands import cache_folder, check_fresh, require_remote, run_dvc
from r2i.repo.git import install_merge_driver
from r2i.repo.incoming import bring_checked
from r2i.repo.lock import FOLDER, Entry, Lock, object_path, read_manifest, tracked_entries
from r2i.repo.profile import Run, read_run_or_none
from r2i.tools.replies.share import ARCHIVE, POINTER, segments_here, segments_named


def push() -> str:
    """Send to the remote what lock and pointers of this workspace name, and the run-cache. Raises R2IError.

    Returns a line about stages whose data is not here, so that it was not sent; "" where all of it was.
    """
    require_remote()
    install_merge_driver()
    run = read_run_or_none()
    cache = cache_folder()
    absent = [name for name in run.lock.stages if cache and not _is_cached(cache, run.lock, name)] if run else []
    if run is None or not absent:
        run_dvc("push", "--run-cache")  # copies every entry of the run-cache each time: they are small
        return ""
    run_dvc("push", "--run-cache", *_targets(run.lock, absent))
    return f"not sent, since their data is not here: {run.told(absent)}"


def pull(targets: Sequence[str] = ()) -> str:
    """Bring the remote's run-cache, and what lock and pointers of this commit name; or of `targets` alone.

    Returns a line about stages of dvc.lock that are not of the chosen params and were left where they are; "" where
    there are none. Raises R2IError where the archive holds segments that no other lab has (before anything is
    changed), and where the remote lacks what the lock names.
    """
    require_remote()
    install_merge_driver()
    here = set() if targets else segments_here()
    if unshared := here and here - segments_named():
        raise R2IError(
            f"{ARCHIVE}/ holds {len(unshared)} segments that {POINTER} does not name: a pull would remove them",
            "`make push` first: it adds them; commit replies.dvc, then pull",
        )
    if targets:
        run_dvc("pull", "--run-cache", *targets)
        return ""
    run = read_run_or_none()
    if run is None or not run.leftovers:
        run_dvc("pull", "--run-cache", "--allow-missing")  # a lock of some stages is a lock: the others have no outputs
    elif names := _targets(run.lock, run.leftovers):
        run_dvc("pull", "--run-cache", "--allow-missing", *names)
    else:
        bring_checked(run_cache=True)
    if lost := [entry for entry in named_entries(run) if not Path(entry.path).exists()]:
        stages = ", ".join(dict.fromkeys(entry.stage for entry in lost))
        raise R2IError(
            f"the remote lacks what this commit names of {stages}: {_some(entry.path for entry in lost)}",
            "have the lab that committed it run `make push`, or run `dvc repro`",
        )
    return f"not brought: {run.told(run.leftovers)}; `dvc repro` makes what is missing" if run and run.leftovers else ""


def fresh() -> str:
    """Whether dvc.lock is what this commit gives, as far as its stages ran with the chosen profile, and whether the
    remote has what it names. Returns what to tell; raises R2IError with the stage or the outputs that are missing."""
    run = read_run_or_none()
    if run and run.leftovers and not run.ran:
        raise R2IError(
            f"dvc.lock has no stage of profile {run.profile}, but {run.told(run.leftovers)}",
            "`dvc repro`, then commit dvc.lock",
        )
    foreign = run.foreign if run else []
    lacking = check_fresh(list(run.familiar.stages) if run and foreign else ())
    if run:
        lacking = [name for name in lacking if run.writers.get(name.rstrip("/")) not in foreign]
    if lacking:
        raise R2IError(
            f"the remote lacks {len(lacking)} outputs that dvc.lock names: {_some(lacking)}",
            "the lab that committed it runs `make push`",
        )
    if run and foreign:
        return f"dvc.lock is of this commit, as far as profile {run.profile} ran; not run with it: {run.told(foreign)}"
    return "dvc.lock is of this commit"


def named_entries(run: Run | None) -> list[Entry]:
    """Outputs of the stages in dvc.lock that are of the chosen params, and folders and files of `dvc add`."""
    outs = run.own.outs() if run else []
    return [entry for entry in [*outs, *tracked_entries()] if "://" not in entry.path]


def _targets(lock: Lock, left_out: Iterable[str]) -> list[str]:
    """For DVC: the stages of which it shares outputs, but those, and the files of `dvc add`."""
    skipped = set(left_out)
    stages = [name for name in lock.stages if name not in skipped and lock.shared_outs(name)]
    return [*stages, *dict.fromkeys(entry.stage for entry in tracked_entries())]


def _is_cached(cache: Path, lock: Lock, stage: str) -> bool:
    """Whether DVC's cache holds all that it shares of a stage."""
    return all(_holds(cache, entry.md5) for entry in lock.shared_outs(stage))


def _holds(cache: Path, md5: str) -> bool:
    if not md5.endswith(FOLDER):
        return object_path(cache, md5).is_file()
    manifest = read_manifest(cache, md5)
    return manifest is not None and all(object_path(cache, name).is_file() for name in manifest.values())


def _some(names: Iterable[str]) -> str:
    first, *rest = names
    return ", ".join([first, *rest][:3]) + (f" and {len(rest) - 2} more" if len(rest) > 2 else "")
