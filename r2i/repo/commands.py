"""The repository as DVC sees it: its commands, the remote and the cache that are configured, files of any revision."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from r2i.core.errors import R2IError
from r2i.core.paths import main_worktree
from r2i.repo.guarded_dvc import COMMAND, guard
from r2i.repo.incoming import bring_checked

HOW_TO_SET = "`dvc remote add --local --default shared ssh://host/path` (docs/labs.md: S3, SSH, WebDAV, a folder)"


FETCHING = ("pull", "fetch", "checkout")  # commands that follow what others have listed


def run_dvc(*command: str) -> None:
    """Run a dvc command; it prints for itself. One that fetches does so after what it will follow was checked, and
    finds the run-cache there with `--run-cache`. Raises R2IError where it fails."""
    if command[0] in FETCHING:
        bring_checked("--run-cache" in command)
        command = tuple(word for word in command if word != "--run-cache")
    done = subprocess.run([*COMMAND, *command], env=_environment(), check=False)
    if done.returncode:
        raise R2IError(
            f"`dvc {' '.join(command)}` ended with exit code {done.returncode}",
            "see its message above; run again: what was moved already is not moved twice",
        )


def ask_dvc(*command: str) -> "subprocess.CompletedProcess[str]":
    """A dvc command that prints nothing here."""
    return subprocess.run(
        [*COMMAND, *command], capture_output=True, text=True, encoding="utf-8", env=_environment(), check=False
    )


def _environment() -> dict[str, str]:
    """Names of files are UTF-8 for DVC whatever the locale is, as they are for git."""
    return {**os.environ, "PYTHONUTF8": "1"}


def take_settings() -> Path | None:
    """In a git worktree without local settings of DVC's: write those of the repository that it belongs to, its remotes
    above all, which git does not carry. Returns where they came from; None where nothing was to be done.

    Raises R2IError where they can't be read or written.
    """
    from dvc.config import Config, ConfigError

    main, own = main_worktree(), Path(".dvc/config.local")
    there = main / own if main else None
    if there is None or not there.is_file() or own.exists() or not own.parent.is_dir():
        return None
    try:
        settings = Config(str(there.parent.absolute())).load_one("local")
        with Config(str(own.parent.absolute())).edit("local") as ours:
            ours.update(settings)
        shutil.copymode(there, own)  # it may hold a password
    except (ConfigError, OSError) as error:
        raise R2IError(
            f"the settings in {there} were not taken over: {error}", f"copy what you need to {own}"
        ) from error
    print(f"a git worktree: DVC's settings were taken from {there}", file=sys.stderr)
    return there


def require_remote() -> str:
    """The name of the default remote. Raises R2IError where there is none, or it has no address."""
    from dvc.config import Config, ConfigError

    take_settings()
    try:
        config = Config.from_cwd()
        name = config["core"].get("remote")
        known = config["remote"].get(name, {}) if name else {}
    except ConfigError as error:
        raise R2IError(f"DVC's config can't be read: {error}", "see .dvc/config and .dvc/config.local") from error
    if not name:
        raise R2IError("no remote to share through", HOW_TO_SET)
    if not known.get("url"):
        raise R2IError(f"the remote {name!r} has no address here", HOW_TO_SET.replace("shared", name))
    return str(name)


def check_fresh(stages: Sequence[str] = ()) -> list[str]:
    """Whether this commit's lock is what its code, params and data give, without fetching any data.

    `stages`: these and those before them alone. Returns what the remote lacks of the outputs that the lock names, as
    far as there is a remote. Raises R2IError, naming the first stage that would run.
    """
    dry = ask_dvc("repro", "--allow-missing", "--dry", *stages)
    stale = re.search(r"(?:Running stage|failed to reproduce) '([^']+)'", dry.stdout + dry.stderr)
    if stale:
        cause = f"dvc.lock is not of this commit: `dvc repro` would run {stale[1]}"
        raise R2IError(cause, f"`dvc repro {stale[1]}`, or `make repro` for all, then commit dvc.lock")
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


def cache_folder() -> Path | None:
    """Of DVC's configuration, all levels of it; None where DVC does not say."""
    done = ask_dvc("cache", "dir")
    return Path(done.stdout.strip()) / "files" / "md5" if done.returncode == 0 and done.stdout.strip() else None


def open_tree(revision: str | None = None, root: Path = Path()) -> tuple[str, Any]:
    """The files of `revision`, those that git holds and those that DVC does, as a `dvc.api.DVCFileSystem`.

    With its commit. `revision`: of git, or an experiment's name; None: the workspace, whose commit is "". Files that
    are not in the cache are read from the remote. Raises DvcException where there is no such revision.
    """
    from dvc.api import DVCFileSystem
    from dvc.repo import Repo
    from dvc.scm import SCM, resolve_rev

    guard()
    place = str(root.resolve())
    if revision is None:
        return "", DVCFileSystem(place)
    commit = resolve_rev(SCM(place, search_parent_directories=True), revision)
    return str(commit), DVCFileSystem(repo=Repo(place, rev=commit))
