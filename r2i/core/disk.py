"""What is written appears whole or not at all, and what was there before stays until then.

A disk that takes nothing more is an error with its cause and what to do, never a traceback.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
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
    """An error of the disk, while `path` is written, becomes a DiskError that names `path`."""
    try:
        yield
    except R2IError:
        raise
    except Exception as error:
        if (found := disk_error(error, f"while writing {path}", path)) is None:
            raise
        raise found from error


def disk_error(error: Exception, doing: str = "", path: Path | None = None) -> DiskError | None:
    """`error` with cause and remedy, None where it is none of WHAT. `path`: where the free space is looked up."""
    number = _errno_of(error)
    if number not in WHAT:
        return None
    name = getattr(error, "filename", None)
    where = path or (Path(os.fsdecode(name)) if isinstance(name, str | bytes) else Path())
    said = " ".join(part for part in (WHAT[number], doing or (f"at {where}" if name else "")) if part)
    free = free_mib(where) if number in (errno.ENOSPC, errno.EDQUOT) else None
    return DiskError(said + (f": {free:,} MiB free" if free is not None else ""), REMEDY.get(number, RIGHTS))


def _errno_of(error: Exception) -> int | None:
    """safetensors and `shutil.copytree` give the system's number in their text alone."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    in_text = re.search(r"(?:os error |\[Errno )(\d+)", str(error))
    return int(in_text[1]) if in_text else None


def free_mib(path: Path) -> int | None:
    """MiB that we may still write where `path` is, or would be; None where that can't be said."""
    for folder in (path, *path.absolute().parents):
        with suppress(OSError):
            return shutil.disk_usage(folder).free // 2**20
    return None


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A file to write, which takes the place of `path` when the block ends well: a reader sees the old or the new one.

    It lies beside `path`, in folders that are made. When the block fails, or its process is killed, `path` stays as it
    was; what a killed process left goes with the next write. Raises DiskError where it can't be written.
    """
    part = _part_of(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_remains(path)
        try:
            yield part
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to write into, which takes the place of `folder` when the block ends well; as `new_file`.

    For a moment there is neither: a process killed just then leaves the old one beside its place, and the next write
    puts it back first. Of several processes that write at once the last one stays.
    """
    part = _part_of(folder)
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _clear_remains(folder)
        try:
            part.mkdir()
            yield part
            _replace_folder(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _part_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _replace_folder(part: Path, folder: Path) -> None:
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    placed = False
    try:
        while not placed:
            shutil.rmtree(old, ignore_errors=True)
            with suppress(FileNotFoundError):
                os.replace(folder, old)
            with _another_was_faster():
                os.replace(part, folder)
                placed = True
    finally:
        if not placed and old.exists() and not folder.exists():
            with _another_was_faster():
                os.replace(old, folder)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _another_was_faster() -> Iterator[None]:
    """Passes over a move to a place where another process has just put its folder."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _clear_remains(path: Path) -> None:
    """Remove what killed processes left beside `path`; an old folder is put back where there is no other."""
    for left in sorted(path.parent.glob(f".{escape(path.name)}.*.*")):
        pid, _, what = left.name.removeprefix(f".{path.name}.").partition(".")
        if what not in ("part", "old") or not pid.isdecimal() or (int(pid) != os.getpid() and is_running(int(pid))):
            continue
        if what == "old" and not path.exists():
            with suppress(OSError):
                os.replace(left, path)
        elif left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def is_running(pid: int) -> bool:
    """Whether a process of this host has the number `pid`."""
    try:
        os.kill(pid, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)  # else another user's
    return True
