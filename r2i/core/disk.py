"""What is written appears whole or not at all, and what was there before stays until then.

A disk that takes nothing more is an error with its cause and what to do, never a traceback.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from r2i.core.errors import R2IError

WHAT = {
    errno.ENOSPC: "no space left",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EIO: "the disk fails (input/output error)",
}
REMEDY = {
    errno.ENOSPC: "make space and run `dvc repro` again; replies that came are kept",
    errno.EDQUOT: "make space and run `dvc repro` again; replies that came are kept",
    errno.EIO: "see the system's log, then run `dvc repro` again; replies that came are kept",
}
RIGHTS = "see who may write there, then run `dvc repro` again; replies that came are kept"


class DiskError(R2IError):
    """A file can't be written (or read) for a reason that lies with the disk."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """An OSError of the disk, while `path` is written, becomes a DiskError that names `path`."""
    try:
        yield
    except OSError as error:
        if (found := disk_error(error, f"while writing {path}", path)) is None:
            raise
        raise found from error


def disk_error(error: OSError, doing: str = "", path: Path | None = None) -> DiskError | None:
    """`error` with cause and remedy, None where it is none of WHAT. `path`: where the free space is looked up."""
    if error.errno not in WHAT:
        return None
    where = path or (Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else Path())
    said = " ".join(part for part in (WHAT[error.errno], doing or (f"at {where}" if error.filename else "")) if part)
    free = free_mib(where) if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
    return DiskError(said + (f": {free:,} MiB free" if free is not None else ""), REMEDY.get(error.errno, RIGHTS))


def free_mib(path: Path) -> int | None:
    """MiB that we may still write where `path` is, or would be; None where that can't be said."""
    for folder in (path, *path.absolute().parents):
        with suppress(OSError):
            return shutil.disk_usage(folder).free // 2**20
    return None


def replace_folder(part: Path, folder: Path) -> None:
    """Move `part` to `folder`; what was there goes once the new one is in its place.

    Of several processes that do so at once the last one stays. One that is killed between its two moves leaves
    the old folder as `.<name>.<pid>.old`, which `clear_remains` puts back.
    """
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        while True:
            shutil.rmtree(old, ignore_errors=True)
            with suppress(FileNotFoundError):
                os.replace(folder, old)
            try:
                os.replace(part, folder)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another process was faster
                    raise
    finally:
        if old.exists() and not folder.exists():
            os.replace(old, folder)
        shutil.rmtree(old, ignore_errors=True)


def clear_remains(folder: Path) -> None:
    """Remove what killed processes left beside `folder`; an old folder is put back where there is no other."""
    for left in sorted(folder.parent.glob(f".{folder.name}.*.*")):
        pid, _, what = left.name.removeprefix(f".{folder.name}.").partition(".")
        if what not in ("part", "old") or not pid.isdecimal() or (int(pid) != os.getpid() and _lives(int(pid))):
            continue
        if what == "old" and not folder.exists():
            with suppress(OSError):
                os.replace(left, folder)
        shutil.rmtree(left, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)  # else another user's
    return True
