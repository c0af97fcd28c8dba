"""The repository as git sees it: the commit, its branch and experiments, what differs from them."""

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass

from r2i.core.errors import R2IError
from r2i.repo.guarded_dvc import COMMAND

SHARED = ("dvc.lock", "params.yaml", "*.dvc", "*.gitignore", "metrics")  # say what was shared


@dataclass(frozen=True)
class Experiment:
    """One of `dvc exp`: a commit that git keeps under refs/exps, beside the branches."""

    name: str
    revision: str
    baseline: str  # the commit that was checked out when it ran


def run_git(*command: str) -> bytes:
    """What git prints. Raises R2IError where it fails, or there is no git or repository."""
    try:
        return subprocess.run(["git", *command], capture_output=True, check=True).stdout
    except FileNotFoundError as error:
        raise R2IError("there is no git here", "install it") from error
    except subprocess.CalledProcessError as error:
        cause = error.stderr.decode(errors="replace").strip() or f"exit code {error.returncode}"
        raise R2IError(f"`git {shlex.join(command)}` failed: {cause}", "run it by hand to see why") from error


def ask_git(*command: str) -> str:
    """What git prints, without the newlines around it; "" where it fails, or there is no git or repository."""
    try:
        return run_git(*command).decode(errors="replace").strip("\n")
    except R2IError:
        return ""


def in_git() -> bool:
    """Whether the current directory is in a repository, and git is installed."""
    return ask_git("rev-parse", "--git-dir") != ""


def list_files(*patterns: str, with_new: bool = False) -> list[str]:
    """Files below the current directory that git tracks, of `patterns` alone where there are some; [] outside of git.

    `with_new`: also those that it neither tracks nor ignores.
    """
    which = ("-co", "--exclude-standard") if with_new else ("-c",)
    return [name for name in ask_git("ls-files", "-z", *which, "--", *patterns).split("\0") if name]


def head_commit() -> str:
    """The commit that is checked out; `none` outside of a repository or before its first commit."""
    return ask_git("rev-parse", "--verify", "-q", "HEAD") or "none"


def list_experiments() -> list[Experiment]:
    """All of this repository, the newest first. Git has them as refs/exps/<2>/<38 of the baseline>/<name>."""
    form = "--format=%(objectname) %(refname)"
    found = []
    for line in ask_git("for-each-ref", "--sort=-creatordate", form, "refs/exps/").splitlines():
        revision, _, ref = line.partition(" ")
        start, _, rest = ref.removeprefix("refs/exps/").partition("/")
        end, _, name = rest.partition("/")
        if name and len(start + end) == len(revision):
            found.append(Experiment(name, revision, start + end))
    return found


def find_by_lock() -> Experiment | None:
    """The experiment that wrote the dvc.lock of the current directory; None where the commit itself did."""
    if running := os.environ.get("DVC_EXP_NAME"):  # called by a stage of it: git knows it only afterwards
        return Experiment(running, "", os.environ.get("DVC_EXP_BASELINE_REV", ""))
    lock = ask_git("hash-object", "dvc.lock")
    if not lock or lock == ask_git("rev-parse", "-q", "--verify", "HEAD:./dvc.lock"):
        return None
    known = list_experiments()
    return next((x for x in known if ask_git("rev-parse", "-q", "--verify", f"{x.revision}:./dvc.lock") == lock), None)


def branch_of(commit: str) -> str:
    """The branch that is checked out, if `commit` is its last one, else the first that holds it; "" if none."""
    head = ask_git("rev-parse", "-q", "--verify", "HEAD")
    if commit == head and (here := ask_git("symbolic-ref", "-q", "--short", "HEAD")):
        return here
    branches = ask_git("for-each-ref", "--contains", commit, "--format=%(refname:short)", "refs/heads")
    return branches.partition("\n")[0]


def changed_files(commit: str, revision: str = "") -> list[str]:
    """Files below the current directory that differ between `commit` and `revision`, or the workspace."""
    names = ask_git("diff", "--name-only", "-z", "--relative", commit, *([revision] if revision else []), "--")
    return [name for name in names.split("\0") if name]


def uncommitted_files() -> list[str]:
    """Files that say what was shared and that git has not committed: others see nothing before they are."""
    # without -z git writes names that are not ASCII in quotes and octal; without renames an entry is one name
    entries = ask_git("status", "--porcelain", "--no-renames", "-z", "--", *SHARED).split("\0")
    return sorted(entry[3:] for entry in entries if entry)


def install_merge_driver() -> None:
    """Let git merge `.dvc` files of folders by the union of their files, and dvc.lock stage by stage (.gitattributes).

    For folders DVC's own driver, after a fetch of what the commits to be merged name: it fails without their listings.
    No hooks, as `dvc install` would set: they break git where dvc is not on the PATH. Raises R2IError.
    """
    if not in_git():
        return
    dvc = shlex.join(COMMAND)
    driver = f"{dvc} fetch --quiet --all-commits %P; {dvc} git-hook merge-driver --ancestor %O --our %A --their %B"
    drivers = {
        "dvc.name": "union of the files of a folder that DVC tracks",
        "dvc.driver": driver,
        "dvc-lock.name": "dvc.lock, stage by stage",
        "dvc-lock.driver": f"{shlex.quote(sys.executable)} -m r2i.cli.main merge-lock %O %A %B",
    }
    for key, value in drivers.items():
        run_git("config", f"merge.{key}", value)
