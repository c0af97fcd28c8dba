"""Garbage collection: remove what the live store need not keep."""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from r2i.core.errors import R2IError
from r2i.core.images import file_sha256
from r2i.endpoint.archive import Archive, segment_names
from r2i.endpoint.record import DamagedRecord, Record, write_record
from r2i.endpoint.store import Store
from r2i.tools.replies.scan import scan_archive

PART_AGE_S = 3600.0  # a younger part file may be in use


@dataclass
class Freed:
    """What was removed, or would be in a dry run.

    `archived`: live records that the archive holds completely; `samples`: live samples removed for their reason;
    `parts`: files that a killed process left; `bytes`: of all that. `busy`: records that stay, since a running stage
    asks for them; `in_archive`: samples of the unwanted reasons in the archive, where they stay.
    """

    archived: int = 0
    samples: int = 0
    parts: int = 0
    bytes: int = 0
    busy: int = 0
    in_archive: int = 0


def collect(store: Store, folder: Path, reasons: Collection[str] = (), dry_run: bool = False) -> Freed:
    """Remove live records whose every sample is in a whole segment of `folder`, samples that failed by one of
    `reasons`, and old part files.

    `Store.find` returns what it returned before, but for the samples of `reasons`: they are asked for again.
    Raises R2IError and OSError.
    """
    freed = Freed()
    archive = Archive(folder, intact_segments(folder))
    for key in store.iter_keys():
        if not (reasons or archive.holds(key)):
            continue
        if dry_run:
            _collect_one(store, key, archive, reasons, freed, dry_run)
        elif store.claim(key):
            try:
                _collect_one(store, key, archive, reasons, freed, dry_run)
            finally:
                store.release(key)
        else:
            freed.busy += 1
    _remove_parts(store, folder, freed, dry_run)
    freed.in_archive = sum(_unwanted(scanned.record, reasons) for scanned in scan_archive(folder)) if reasons else 0
    return freed


def intact_segments(folder: Path) -> list[str]:
    """Names of the segments whose bytes have the sha256 that names them. Raises R2IError where one can't be read."""
    try:
        return [name for name in segment_names(folder) if f"{file_sha256(folder / name)}.sqlite" == name]
    except OSError as error:
        raise R2IError(f"the archive {folder} can't be read: {error}", "see R2I_REPLIES") from error


def _collect_one(
    store: Store, key: str, archive: Archive, reasons: Collection[str], freed: Freed, dry_run: bool
) -> None:
    """Remove a live record, or its unwanted samples. A damaged record is left to `verify`."""
    path = store.path(key)
    try:
        record, size = store.read(key), path.stat().st_size
    except (FileNotFoundError, DamagedRecord):
        return
    archived = archive.find(key).keys()
    unwanted = _unwanted(record.only(record.replies.keys() - archived), reasons)
    remaining = record.only([i for i, reply in record.replies.items() if reply.reason not in reasons])
    if remaining.replies.keys() <= archived:
        freed.archived += not unwanted
        freed.bytes += size
        if not dry_run:
            path.unlink()
    elif unwanted:
        freed.bytes += size - len(write_record(remaining))
        if not dry_run:
            store.write(key, remaining)
    freed.samples += unwanted


def _unwanted(record: Record | None, reasons: Collection[str]) -> int:
    return sum(reply.reason in reasons for reply in record.replies.values()) if record else 0


def _remove_parts(store: Store, folder: Path, freed: Freed, dry_run: bool) -> None:
    for path in _parts(store, folder):
        try:
            state = path.stat()
            if time.time() - state.st_mtime < PART_AGE_S:
                continue
            if not dry_run:
                path.unlink()
        except FileNotFoundError:
            continue  # it was in use, and is a record now
        freed.parts += 1
        freed.bytes += state.st_size


def _parts(store: Store, folder: Path) -> Iterator[Path]:
    yield from (path for path in store.iter_files() if path.name.startswith(".") and path.suffix == ".part")
    yield from sorted(folder.glob(".*.part"))
