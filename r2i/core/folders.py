"""Folders that appear whole: written beside their place, then moved."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from r2i.core.disk import clear_remains, replace_folder


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into, which takes the place of `folder` when the block ends well."""
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    clear_remains(folder)
    part.mkdir(parents=True)
    try:
        yield part
        replace_folder(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
