"""Share the archive between labs: `replies/`, which DVC tracks by `replies.dvc`."""

from pathlib import Path
from typing import Any

from r2i.core import paths
from r2i.core.disk import new_file
from r2i.core.errors import R2IError
from r2i.core.images import file_sha256
from r2i.endpoint.archive import SEGMENT, open_archive
from r2i.endpoint.store import Store
from r2i.repo.commands import open_tree, run_dvc
from r2i.repo.lock import read_dvc_file
from r2i.tools.replies.pack import Packed, pack

ARCHIVE = Path("replies")
POINTER = Path("replies.dvc")  # names the segments that all labs have shared


def pack_replies() -> Packed | None:
    """Pack live replies into new segments and have DVC track them beside all that other labs have shared.

    `dvc add` writes what it finds: a segment that was shared before and is not here would be dropped from the
    pointer, so those are fetched first. Raises R2IError.
    """
    archive = paths.reply_archive()
    if archive.resolve() != ARCHIVE.resolve():
        return None
    missing = segments_named() - segments_here()
    if missing:
        fetch_segments(missing)
    packed = pack(Store(), open_archive(archive))
    if segments_here():
        run_dvc("add", "--quiet", str(ARCHIVE))
    return packed


def segments_here() -> set[str]:
    """Names of the files in the archive's folder, without part files."""
    return {path.name for path in ARCHIVE.glob("*") if path.suffix != ".part"} if ARCHIVE.is_dir() else set()


def segments_named() -> set[str]:
    """Names of the segments in the pointer; their listing is fetched from the remote if need be. Raises R2IError."""
    if not POINTER.is_file():
        return set()
    count = read_dvc_file(POINTER)[0].files
    try:
        names = {Path(name).name for name in _files().ls(ARCHIVE.name, detail=False, dvc_only=True)}
    except Exception as error:  # whatever the remote's client raises
        raise R2IError(
            f"the listing of {POINTER} can't be read: {error}", "check that the remote can be reached"
        ) from error
    if len(names) != count:
        raise R2IError(
            f"{POINTER} names {count} segments, and a listing of {len(names)} was found",
            "have the lab that committed it run `make push` again",
        )
    return names


def fetch_segments(names: set[str]) -> None:
    """Fetch the segments `names` of the pointer into the archive's folder; others stay.

    Raises R2IError, where a segment has other bytes than its name says too: it is not put there.
    """
    run_dvc("fetch", "--quiet", str(POINTER))
    files = _files()
    for name in sorted(names):
        with new_file(ARCHIVE / name) as part:
            files.get_file(f"{ARCHIVE.name}/{name}", str(part))
            if SEGMENT.fullmatch(name) and f"{file_sha256(part)}.sqlite" != name:
                raise R2IError(
                    f"the remote has other bytes for {ARCHIVE / name} than its name says",
                    "have the lab that shared it run `r2i replies verify` and `make push` again",
                )


def _files() -> Any:
    return open_tree()[1]
