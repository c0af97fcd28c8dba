"""Sharing with other labs through a DVC remote: data, the run-cache and the archive of replies.

DVC does the work, as the command that a person would type; here is the order, and what must not get lost.
"""

from collections.abc import Sequence
from pathlib import Path

from r2i.core.errors import R2IError
from r2i.repo.commands import require_remote, run_dvc
from r2i.repo.git import install_merge_driver
from r2i.repo.lock import LOCK, read_lock, tracked_entries
from r2i.tools.replies.share import ARCHIVE, POINTER, segments_here, segments_named


def push() -> None:
    """Send to the remote what lock and pointers of this workspace name, and the run-cache. Raises R2IError."""
    require_remote()
    install_merge_driver()
    run_dvc("push", "--run-cache")  # copies every entry of the run-cache each time: they are small


def pull(targets: Sequence[str] = ()) -> None:
    """Bring the remote's run-cache, and what lock and pointers of this commit name; or of `targets` alone.

    Raises R2IError where the archive holds segments that no other lab has (before anything is changed), and
    where the remote lacks what the lock names.
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
        return
    run_dvc("pull", "--run-cache", "--allow-missing")  # a lock of some stages is a lock: the others have no outputs yet
    if lost := [path for path in named_paths() if not Path(path).exists()]:
        raise R2IError(
            f"the remote lacks {', '.join(lost[:3])}{' and more' if lost[3:] else ''}, which this commit names",
            "have the lab that committed it run `make push`, or run `dvc repro`",
        )


def named_paths() -> list[str]:
    """Outputs of the stages in dvc.lock, and folders and files of `dvc add`. Raises R2IError."""
    outs = read_lock().outs() if LOCK.is_file() else []
    return [entry.path for entry in [*outs, *tracked_entries()] if "://" not in entry.path]
