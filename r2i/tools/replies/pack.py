"""From the live store into the archive."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from r2i.endpoint.archive import Archive
from r2i.endpoint.record import write_record
from r2i.endpoint.store import Store
from r2i.tools.replies.scan import scan_store
from r2i.tools.replies.segments import LIMIT, write_segments


@dataclass
class Packed:
    """What a pack has done. `damaged`: live records that were left out."""

    records: int = 0
    samples: int = 0
    damaged: int = 0
    segments: list[Path] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.segments)


def pack(store: Store, archive: Archive, limit: int = LIMIT) -> Packed:
    """Write what the live store has and the archive has not into new segments; live records stay.

    Only samples that the archive lacks are written, so that no reply changes by being packed. Raises R2IError.
    """
    done = Packed()
    archive.refresh()

    def missing() -> Iterator[tuple[str, bytes]]:
        for item in scan_store(store):
            if item.record is None:
                done.damaged += 1
                continue
            new = item.record.only(item.record.replies.keys() - archive.find(item.key).keys())
            if new.replies:
                done.records += 1
                done.samples += len(new.replies)
                yield item.key, write_record(new)

    done.segments = write_segments(archive.folder, missing(), limit)
    archive.refresh()
    return done
