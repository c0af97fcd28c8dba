"""Whether a folder may be written to: one that holds anything but what we write is left alone."""

from fnmatch import fnmatch
from pathlib import Path

from r2i.core.errors import TableError

ABOUT = "about.json"
TABLE = ("part-*.parquet", ABOUT)  # what an import writes
EXPORT = ("train-*.parquet",)


def require_free(folder: Path, ours: tuple[str, ...], source: Path) -> None:
    """Raise TableError where `folder` holds anything but files named like `ours`, or where it is what is read."""
    if folder.exists() and not folder.is_dir():
        raise TableError(f"{folder} is a file", "name a new folder")
    inside = [path.name for path in sorted(folder.iterdir())] if folder.is_dir() else []
    foreign = [name for name in inside if not any(fnmatch(name, pattern) for pattern in ours)]
    if foreign:
        raise TableError(f"{folder} holds {foreign[0]}, which would be lost", "name a new folder")
    here, there = folder.resolve(), source.resolve()
    if here == there or here in there.parents or (there in here.parents and there.is_dir()):
        raise TableError(f"{folder} and {source} lie in each other", "name a new folder elsewhere")
