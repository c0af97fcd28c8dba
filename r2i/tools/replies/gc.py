"""Garbage collection: remove what the live store need not keep."""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from r2i.core.errors import R2IError
from r2i.core.shards import forget_shards
from r2i.endpoint.archive import Archive, is_intact, segment_names
from r2i.endpoint.base import differ
from r2i.endpoint.record import DamagedRecord, Record, write_record
from r2i.endpoint.store import Store
from r2i.tools.replies.scan import scan_archive

PART_AGE_S = 3600.0  # a younger part file may be in use


@dataclass
class Freed:
    """What was removed, or would be in a dry run.

    `archived`: live records that the archive holds completely; `samples`: live samples removed for their reason;
    `replaced`: live samples removed for others that were shared;
    `parts`: files that a killed process left; `bytes`: of all that. `busy`: records that stay, since a running stage
    asks for them; `in_archive`: samples of the unwanted reasons in the archive, where they stay.
    """

    archived: int = 0
    samples: int = 0
    replaced: int = 0
    parts: int = 0
    bytes: int = 0
    busy: int = 0
    in_archive: int = 0


def collect(
    store: Store, folder: Path, reasons: Collection[str] = (), dry_run: bool = False, take_shared: bool = False
) -> Freed:
    """Remove live records whose every sample is in a whole segment of `folder` as it is here, samples that failed by
    one of `reasons`, and old part files.

    `Store.find` returns what it returned before, but for the samples of `reasons`: they are asked for again.
    `take_shared`: remove also live samples that others shared with another reply, which counts then, so that all labs
    read the same. Where other replies count from now on, kept shards (r2i.core.shards) are forgotten. Raises R2IError
    and OSError.
    """
    freed = Freed()
    archive = Archive(folder, intact_segments(folder))
    for key in store.iter_keys():
        if not (reasons or archive.holds(key)):
            continue
        if dry_run:
            _collect_one(store, key, archive, reasons, freed, dry_run, take_shared)
        elif store.claim(key):
            try:
                _collect_one(store, key, archive, reasons, freed, dry_run, take_shared)
            finally:
                store.release(key)
        else:
            freed.busy += 1
    _remove_parts(store, folder, freed, dry_run)
    if (freed.samples or freed.replaced) and not dry_run:
        forget_shards()
    freed.in_archive = sum(_unwanted(scanned.record, reasons) for scanned in scan_archive(folder)) if reasons else 0
    return freed


def intact_segments(folder: Path) -> list[str]:
    """Names of the segments whose bytes have the sha256 that names them. Raises R2IError."""
    try:
        return [name for name in segment_names(folder) if is_intact(folder / name)]
    except OSError as error:
        raise R2IError(f"the archive {folder} can't be read: {error}", "see R2I_REPLIES") from error


def _collect_one(
    store: Store,
    key: str,
    archive: Archive,
    reasons: Collection[str],
    freed: Freed,
    dry_run: bool,
    take_shared: bool,
) -> None:
    """Remove a live record, or its unwanted samples. A damaged record is left to `verify`."""
    path = store.path(key)
    try:
        record, size = store.read(key), path.stat().st_size
    except (FileNotFoundError, DamagedRecord):
        return
    shared = archive.find(key)
    differing = {i for i, reply in record.replies.items() if i in shared and differ(reply, shared[i])}
    archived = record.replies.keys() & shared.keys() - (set() if take_shared else differing)
    replaced = differing if take_shared else set()
    unwanted = _unwanted(record.only(record.replies.keys() - archived), reasons)
    remaining = record.only(
        [i for i, reply in record.replies.items() if reply.reason not in reasons and i not in replaced]
    )
    if remaining.replies.keys() <= archived:
        freed.archived += not unwanted
        freed.bytes += size
        if not dry_run:
            path.unlink()
    elif unwanted or replaced:
        freed.bytes += size - len(write_record(remaining))
        if not dry_run:
            store.write(key, remaining)
    freed.samples += unwanted
    freed.replaced += len(replaced)


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
