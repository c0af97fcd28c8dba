"""A cell that holds a picture -> the bytes of its file."""

import base64
import os
import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from r2i.core.errors import ImageError
from r2i.core.images import MAX_BYTES

LONGEST_PATH = 4096  # characters: what is longer is base64
BESIDE = ("images", "imgs", "image", "img", "data")  # folders beside a dataset's file
_URL = re.compile(r"(?!file:|data:)[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:/")  # of a path on Windows


def read_picture(cell: Any, folder: Path) -> bytes:
    """`PictureFolder.read` of one cell alone."""
    return PictureFolder(folder).read(cell)


def find_file(name: str, folder: Path) -> Path | None:
    """`PictureFolder.find` of one name alone; None also where nobody can tell which file it means."""
    try:
        return PictureFolder(folder).find(name)
    except ImageError:
        return None


class PictureFolder:
    """The pictures that the cells of one dataset hold or name. No file outside of `within` is ever read.

    `folder`: where relative paths start. `within`: the dataset's folder, `folder` or one above it; None: `folder`.
    Threads may share it.
    """

    def __init__(self, folder: Path, within: Path | None = None) -> None:
        self.bases = list(dict.fromkeys([folder, within or folder]))
        self.root = (within or folder).resolve()
        self.inside = [self.root, *_hub_blobs(self.root)]
        self._by_end: dict[str, Path] = {}  # name -> the file that was found by the name's end
        self._names: defaultdict[Path, set[str]] = defaultdict(set)  # file -> such names; "": a name as it stands
        self._tree: dict[str, list[Path]] | None = None  # files below the root by their last part
        self._lock = threading.Lock()

    def read(self, cell: Any) -> bytes:
        """The file's bytes of the one picture in `cell`.

        `cell`: bytes; `{bytes, path}` as `datasets` writes them; a path (see `find`); base64, also as a data URL; or a
        list of one of these. Raises ImageError: `no_image`, `several_images`, `missing_image` (no such file, no
        base64), `image_is_a_url` (nothing is fetched), `outside_folder`, `ambiguous_image` (see `find`),
        `file_too_large`, `unreadable` (a file that can't be opened).
        """
        held = _unwrap(cell)
        if isinstance(held, str) and held.strip():
            return self._read_named(held.strip())
        if isinstance(held, bytes | bytearray) and held:
            return bytes(held)
        raise ImageError("no_image")

    def _read_named(self, text: str) -> bytes:
        if _URL.match(text):
            raise ImageError("image_is_a_url")
        if text.startswith("data:"):
            text = text.partition(",")[2]
        elif file := self.find(text):
            try:
                if file.stat().st_size > MAX_BYTES:
                    raise ImageError("file_too_large")
                return file.read_bytes()
            except OSError as error:
                raise ImageError("unreadable") from error
        try:
            return base64.b64decode("".join(text.split()), validate=True)
        except ValueError as error:
            raise ImageError("missing_image") from error

    def find(self, name: str) -> Path | None:
        """The file that `name` means: the path as it stands, or in a usual folder (BESIDE); else, since names are often
        those of the publisher's machine, the one file whose path ends in the same folder and name, or, of an absolute
        path, the one file of that name.

        None where there is none. Raises ImageError: `outside_folder` (the path, or a link, leads out), and
        `ambiguous_image` (several files fit).
        """
        if len(name) > LONGEST_PATH:
            return None
        try:
            return self._find(_path_of(name), name)
        except (OSError, ValueError):  # a name that is none: too long, or with NUL
            return None

    def _find(self, path: PurePosixPath, name: str) -> Path | None:
        foreign = path.is_absolute() or ".." in path.parts or bool(_DRIVE.match(str(path)))
        stands = next((file for base in self.bases if (file := base / path).is_file()), None)
        leads_out = stands is not None and not self._is_inside(stands.resolve())
        if stands and not (foreign and leads_out):
            return self._meet(self._only([stands]), "", name)
        if not foreign and (beside := self._existing(path)):
            return self._meet(self._only(beside), "", name)
        parts = [part for part in path.parts if part not in (path.anchor, "..")]
        for count in range(len(parts) - (not foreign), 1, -1):
            if ends := self._existing(PurePosixPath(*parts[-count:])):
                return self._meet(self._only(ends), name, name)
        if (path.is_absolute() or _DRIVE.match(str(path))) and (same := self._files_called(path.name)):
            return self._meet(self._only(same), name, name)
        if leads_out:
            raise ImageError("outside_folder")
        return None

    def _existing(self, end: PurePosixPath) -> list[Path]:
        """Files called so in the folders that are looked into."""
        places = (base / beside for base in self.bases for beside in ("", *BESIDE))
        return [file for place in places if (file := place / end).is_file()]  # no pipe: reading one would block

    def _only(self, files: list[Path]) -> Path:
        """The one file, inside of the dataset's folder. Raises ImageError."""
        real = {file.resolve() for file in files}
        if len(real) > 1:
            raise ImageError("ambiguous_image")
        if not self._is_inside(real.pop()):
            raise ImageError("outside_folder")
        return files[0]

    def _is_inside(self, real: Path) -> bool:
        return any(real.is_relative_to(folder) for folder in self.inside)

    def _meet(self, file: Path, by: str, name: str) -> Path:
        with self._lock:
            self._names[file.resolve()].add(by)
            if by:
                self._by_end[name] = file.resolve()
        return file

    def _files_called(self, name: str) -> list[Path]:
        with self._lock:
            if self._tree is None:
                self._tree = {}
                for folder, below, files in os.walk(self.root):
                    below[:] = [inner for inner in below if not inner.startswith(".")]
                    for file in files:
                        self._tree.setdefault(file, []).append(Path(folder) / file)
            return [file for file in self._tree.get(name, ()) if file.is_file()]

    def is_shared(self, name: str) -> bool:
        """Whether `name` led to its file by its end alone, and so did another name, or one that is the file's own: of
        two cameras' `0001.png` one is here, and nobody knows whose. Known once all cells were read."""
        return name in self._by_end and len(self._names[self._by_end[name]]) > 1


def names_in(*cells: Any) -> Iterator[str]:
    """What `PictureFolder.is_shared` is asked about: the paths among `cells`."""
    for cell in cells:
        try:
            held = _unwrap(cell)
        except ImageError:
            continue
        if isinstance(held, str) and len(held) <= LONGEST_PATH:
            yield held.strip()


def _hub_blobs(root: Path) -> list[Path]:
    """Where the files of a snapshot in Hugging Face's cache lie: `snapshots/REVISION/...` are links to `blobs/...`."""
    snapshot = next((folder for folder in (root, *root.parents) if folder.parent.name == "snapshots"), None)
    return [snapshot.parent.parent / "blobs"] if snapshot else []


def _unwrap(cell: Any) -> Any:
    """What a list of one, or `{bytes, path}`, holds. Raises ImageError."""
    if isinstance(cell, list | tuple):
        if len(cell) > 1:
            raise ImageError("several_images")
        cell = cell[0] if cell else None
    if isinstance(cell, Mapping):
        cell = cell.get("bytes") or cell.get("path")
    return cell


def _path_of(name: str) -> PurePosixPath:
    if name.startswith("file://"):
        return PurePosixPath("/" + unquote(name.removeprefix("file://").partition("/")[2]))
    return PurePosixPath(name if "/" in name else name.replace("\\", "/"))
