"""The version of a benchmark's files, which params.yaml may pin (r2i.importing.version)."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from r2i.benchmark.importers import importer_of
from r2i.benchmark.rows import picture_folder, source_path
from r2i.core.errors import ImageError, TableError
from r2i.core.images import file_sha256
from r2i.core.params import BenchmarkSource
from r2i.importing.hash_cache import HashCache, ImageEntry
from r2i.importing.pictures import PictureFolder, names_in
from r2i.importing.version import Entry, Listing, Pinned, list_entries

VARIANT = "file"  # in the cache: the whole file's hash


def pinned_source(source: BenchmarkSource) -> Pinned:
    return Pinned("benchmark", source.name or source.kind, source.version)


def list_source(source: BenchmarkSource, cache: HashCache) -> Listing:
    """The listing of a source's files. `cache`: hashes of files that have not changed since.

    Of a folder all files but hidden ones; of a file that file and the pictures that it names. Raises TableError where
    there is none.
    """
    path = source_path(source)
    if not path.exists():
        raise TableError(f"no file or folder {path}", "look at the source's path in the benchmark section of params")
    root = path if path.is_dir() else path.parent
    files = _files_below(path) if path.is_dir() else {path, *_files_named(source, path)}
    return list_entries(_entry(file, root, cache) for file in files)


def _files_below(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in file.relative_to(folder).parts)
        if not hidden and file.is_file():
            yield file


def _files_named(source: BenchmarkSource, path: Path) -> Iterator[Path]:
    folders: dict[Path, PictureFolder] = {}
    for draft in importer_of(source).read(path, source):
        if draft.folder not in folders:
            folders[draft.folder] = picture_folder(source, draft.folder)
        for name in names_in(draft.image, draft.crop, draft.boxed):
            with suppress(ImageError):  # several files fit, or none that may be read: the item fails
                if file := folders[draft.folder].find(name):
                    yield file
                    yield from (beside for beside in [file.with_suffix(".json")] if beside.is_file())  # V*Bench's boxes


def _entry(file: Path, root: Path, cache: HashCache) -> Entry:
    place = file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name
    try:
        stat = file.stat()
        if known := cache.find(str(file), VARIANT, stat):
            return Entry(place, stat.st_size, known[0].sha256)
        digest = file_sha256(file)
    except OSError:
        return Entry(place, None, "unreadable")
    cache.add(str(file), VARIANT, stat, [ImageEntry("", None, stat.st_size, digest)])
    return Entry(place, stat.st_size, digest)
