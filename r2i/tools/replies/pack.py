"""Pack the live store's records into segments of the archive."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from r2i.endpoint.archive import Archive
from r2i.endpoint.base import differ
from r2i.endpoint.record import write_record
from r2i.endpoint.store import Store
from r2i.tools.replies.scan import scan_store
from r2i.tools.replies.segments import MAX_BYTES, write_segments


@dataclass
class Packed:
    """What was packed. `damaged`: live records that were left out. `differing`: live samples that others shared with
    another reply: each lab keeps its own.
    """

    records: int = 0
    samples: int = 0
    damaged: int = 0
    differing: int = 0
    segments: list[Path] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.segments)


def pack(store: Store, archive: Archive, limit: int = MAX_BYTES) -> Packed:
    """Write what the live store has and the archive lacks into new segments; live records stay.

    Only samples that the archive lacks are written, so that no reply changes by being packed, and only what was paid
    for. Raises R2IError.
    """
    packed = Packed()
    archive.refresh()

    def missing() -> Iterator[tuple[str, bytes]]:
        for scanned in scan_store(store):
            if scanned.record is None:
                packed.damaged += 1
                continue
            live, archived = scanned.record, archive.find(scanned.key)
            packed.differing += sum(differ(live.replies[i], archived[i]) for i in live.replies.keys() & archived.keys())
            new = live.only(live.replies.keys() - archived.keys() - live.unpaid())
            if new.replies:
                packed.records += 1
                packed.samples += len(new.replies)
                yield scanned.key, write_record(new)

    packed.segments = write_segments(archive.folder, missing(), limit)
    archive.refresh()
    return packed
