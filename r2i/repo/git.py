"""What git and `dvc exp` say about a run: its commit, branch, experiment, and what differs from the commit."""

import os
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True)
class Experiment:
    """One of `dvc exp`: a commit that git keeps under refs/exps, beside the branches."""

    name: str
    revision: str
    baseline: str  # the commit that was checked out when it ran


def git(*told: str, given: str = "") -> str:
    """What git prints; "" where it fails, or there is no git or repository."""
    try:
        done = subprocess.run(["git", *told], input=given, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip("\n") if done.returncode == 0 else ""


def list_experiments() -> list[Experiment]:
    """All of this repository, the newest first. Git has them as refs/exps/<2>/<38 of the baseline>/<name>."""
    form = "--format=%(objectname) %(refname)"
    found = []
    for line in git("for-each-ref", "--sort=-creatordate", form, "refs/exps/").splitlines():
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
    lock = git("hash-object", "dvc.lock")
    if not lock or lock == git("rev-parse", "-q", "--verify", "HEAD:./dvc.lock"):
        return None
    known = list_experiments()
    return next((x for x in known if git("rev-parse", "-q", "--verify", f"{x.revision}:./dvc.lock") == lock), None)


def branch_of(commit: str) -> str:
    """The branch that is checked out, if `commit` is its last one, else the first that holds it; "" if none."""
    if commit == git("rev-parse", "-q", "--verify", "HEAD") and (here := git("symbolic-ref", "-q", "--short", "HEAD")):
        return here
    return git("for-each-ref", "--contains", commit, "--format=%(refname:short)", "refs/heads").partition("\n")[0]


def changed_files(commit: str, revision: str = "") -> list[str]:
    """Files below the current directory that differ between `commit` and `revision`, or the workspace."""
    return git("diff", "--name-only", "--relative", commit, *([revision] if revision else []), "--").splitlines()
