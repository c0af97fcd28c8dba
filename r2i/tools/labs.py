"""Sharing with other labs through a DVC remote: data, the run-cache and the archive of replies.

DVC does the work, as the command that a person would type; here is the order, and what must not get lost.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from r2i.core.errors import R2IError
from r2i.repo.commands import ask_dvc, require_remote, run_dvc
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
    """Outputs of the stages in dvc.lock, and folders and files of `dvc add`."""
    import yaml

    outs: list[str] = []
    if Path("dvc.lock").is_file():
        stages = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))["stages"].values()
        outs = [out["path"] for stage in stages for out in stage.get("outs", [])]
    if _in_git():
        listed = subprocess.run(["git", "ls-files", "*.dvc"], capture_output=True, text=True, check=True).stdout
        outs += [name.removesuffix(".dvc") for name in listed.splitlines()]
    return outs


def check_fresh() -> list[str]:
    """Whether this commit's lock is what its code, params and data give, without fetching any data.

    Returns what the remote lacks of the outputs that the lock names, as far as there is a remote. Raises R2IError,
    naming the first stage that would run.
    """
    dry = ask_dvc("repro", "--allow-missing", "--dry")
    stale = re.search(r"(?:Running stage|failed to reproduce) '([^']+)'", dry.stdout + dry.stderr)
    if stale:
        cause = f"dvc.lock is not of this commit: `dvc repro` would run {stale[1]}"
        raise R2IError(cause, "`make repro`, then commit dvc.lock")
    if dry.returncode:
        raise R2IError(f"`dvc repro --dry` failed: {dry.stderr.strip()[-500:]}")
    try:
        require_remote()
    except R2IError:
        return []
    status = ask_dvc("data", "status", "--not-in-remote", "--json")
    if status.returncode:
        raise R2IError(f"`dvc data status` failed: {status.stderr.strip()[-500:]}", "see that the remote is there")
    return list(json.loads(status.stdout).get("not_in_remote", []))


def install_merge_driver() -> None:
    """Let git merge `.dvc` files of folders by the union of their files, and dvc.lock stage by stage (.gitattributes).

    For folders DVC's own driver, after a fetch of what the commits to be merged name: it fails without their listings.
    No hooks, as `dvc install` would set: they break git where dvc is not on the PATH.
    """
    if not _in_git():
        return
    dvc = f"{shlex.quote(sys.executable)} -m dvc"
    driver = f"{dvc} fetch --quiet --all-commits %P; {dvc} git-hook merge-driver --ancestor %O --our %A --their %B"
    lock = f"{shlex.quote(sys.executable)} -m r2i.cli.main merge-lock %O %A %B"
    for key, value in (
        ("dvc.name", "union of the files of a folder that DVC tracks"),
        ("dvc.driver", driver),
        ("dvc-lock.name", "dvc.lock, stage by stage"),
        ("dvc-lock.driver", lock),
    ):
        subprocess.run(["git", "config", f"merge.{key}", value], check=True)


def uncommitted() -> list[str]:
    """Files that say what was shared and that git has not committed: others see nothing before they are."""
    if not _in_git():
        return []
    command = ["git", "status", "--porcelain", "--", "dvc.lock", "params.yaml", "*.dvc", "*.gitignore", "metrics"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return sorted(line[3:] for line in done.stdout.splitlines())


def _in_git() -> bool:
    inside = ["git", "rev-parse", "--git-dir"]
    return bool(shutil.which("git")) and subprocess.run(inside, capture_output=True, check=False).returncode == 0
