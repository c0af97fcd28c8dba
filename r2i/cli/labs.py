"""What this lab has for the others and they for it, and whether dvc.lock is true: push, pull, fresh, mend, accept."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from r2i.core.stage import explained

app = typer.Typer(help=__doc__)


@app.command()
def push() -> None:
    """Pack replies; send data, run-cache and archive to the default remote."""
    from r2i.repo.commands import require_remote
    from r2i.repo.git import uncommitted_files
    from r2i.tools import labs
    from r2i.tools.replies.share import pack_replies
    from r2i.tools.replies.text import packed_text

    with explained():
        require_remote()
        packed = pack_replies()
        print(packed_text(packed) if packed else "replies are kept in $R2I_REPLIES: not shared by DVC", flush=True)
        if line := labs.push():
            print(line)
        if open_files := uncommitted_files():
            print(f"commit, so that others find it: {shlex.join(open_files)}")


@app.command()
def pull(
    targets: Annotated[list[str] | None, typer.Argument(help="Stages or paths; everything unless told.")] = None,
) -> None:
    """Bring run-cache, data and archive of this commit from the default remote; set up the merging of archives."""
    from r2i.tools import labs

    with explained():
        if line := labs.pull(targets or ()):
            print(line)


@app.command()
def fresh() -> None:
    """Say whether dvc.lock is of this commit and whether the remote has what it names; brings nothing."""
    from r2i.tools import labs

    with explained():
        print(labs.fresh())


@app.command("merge-lock", hidden=True)
def merge_lock(ancestor: Path, ours: Path, theirs: Path) -> None:
    """Merge dvc.lock stage by stage: git's merge driver, set up by `make repro` and `make pull`."""
    from r2i.repo.lock import DAG, frozen_stages
    from r2i.repo.lock_merge import merge_files

    with explained():
        if again := merge_files(ancestor, ours, theirs, frozen_stages(DAG.read_text(encoding="utf-8"))):
            print(f"dvc.lock: both sides ran {', '.join(again)}: `dvc repro` runs them again")


@app.command()
def reproduced() -> None:
    """Say which outputs of this run have the bytes that the committed dvc.lock names, which have not, and why."""
    from r2i.repo.reproduced import describe_run

    with explained():
        print("\n".join(describe_run()))


@app.command()
def mend() -> None:
    """Put a dvc.lock aside that a kill cut off; `dvc repro` then goes on from the committed one and the run-cache."""
    from r2i.repo.commands import take_settings
    from r2i.repo.git import install_merge_driver
    from r2i.repo.lock_repair import mend_lock

    with explained():
        install_merge_driver()
        take_settings()
        if aside := mend_lock():
            print(f"dvc.lock was cut off by a kill: its rest is {aside} now; `dvc repro` goes on from the run-cache")


@app.command()
def accept(
    stage: Annotated[str, typer.Argument(help="As `dvc stage list` names it: answer, train@dapo.")],
    why: Annotated[str, typer.Option(help="What was changed, and how the outputs were proven to be the same.")],
) -> None:
    """Take changed code over into dvc.lock for a stage whose outputs stay as they are, and keep the reason in git."""
    from r2i.core import paths
    from r2i.repo.accept import accept

    with explained():
        accepted = accept(stage, why)
    counts = ", ".join(f"{len(names)} {what}" for what, names in (accepted.files or {}).items())
    print(f"{stage} is up to date{f' (code: {counts})' if counts else ''}; commit dvc.lock and {paths.ACCEPTED}")


if __name__ == "__main__":
    app()
