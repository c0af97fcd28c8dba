"""Integrity checks of the store and the archive."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from r2i.core.images import file_sha256
from r2i.endpoint.archive import PREFIX, SEGMENT, connect, read_prefixes, segment_names
from r2i.endpoint.record import DamagedRecord
from r2i.endpoint.store import Store
from r2i.tools.replies.scan import scan_segment, scan_store


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong. `key`: the record's; empty where it is about a whole file. `live`: in the store."""

    path: Path
    key: str
    why: str
    live: bool


@dataclass
class IntegrityReport:
    """`records`, `segments`: sound ones, in the store and the archive together; `faults`: what is not."""

    records: int = 0
    segments: int = 0
    faults: list[Fault] = field(default_factory=list)


def verify(store: Store, folder: Path) -> IntegrityReport:
    """Hash every record of the store, and every segment of the archive `folder` and the records in it."""
    report = IntegrityReport()
    for item in scan_store(store):
        if item.record is None:
            report.faults.append(Fault(item.path, item.key, item.why, live=True))
        else:
            report.records += 1
    for path in _strays(folder):
        report.faults.append(Fault(path, "", "misnamed: a segment is named by its sha256", live=False))
    for name in segment_names(folder):
        _verify_segment(folder / name, report)
    return report


def remove_damaged(store: Store, faults: list[Fault]) -> list[Fault]:
    """Remove the damaged live records among `faults`; those that stay.

    A record that a running stage asks for now, and may just have written again, stays.
    """
    left = []
    for fault in faults:
        if not (fault.live and fault.key and store.claim(fault.key)):
            left.append(fault)
            continue
        try:
            store.read(fault.key)
        except DamagedRecord:
            fault.path.unlink(missing_ok=True)
        except FileNotFoundError:
            pass
        except OSError:
            left.append(fault)
        finally:
            store.release(fault.key)
    return left


def _verify_segment(path: Path, report: IntegrityReport) -> None:
    prefixes, before = bytearray(), len(report.faults)
    if path.exists() and not path.is_file():
        report.faults.append(Fault(path, "", "not a file", live=False))
        return
    try:
        true = file_sha256(path)
        if f"{true}.sqlite" != path.name:
            report.faults.append(Fault(path, "", f"truncated or altered: its sha256 is {true[:12]}…", live=False))
    except OSError as error:
        report.faults.append(Fault(path, "", f"can't be read: {error}", live=False))
        return
    for item in scan_segment(path):
        if item.record is None:
            report.faults.append(Fault(path, item.key, item.why, live=False))
        else:
            report.records += 1
        prefixes += item.key.encode()[: 2 * PREFIX]
    if len(report.faults) > before:
        return
    try:
        with contextlib.closing(connect(path)) as connection:
            named = read_prefixes(connection).hex().encode() == prefixes
    except sqlite3.Error:
        named = False
    if named:
        report.segments += 1
    else:
        report.faults.append(Fault(path, "", "its index does not name its records", live=False))


def _strays(folder: Path) -> Iterator[Path]:
    """What lies in the archive and is no segment; hidden files are left out."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if not path.name.startswith(".") and not SEGMENT.fullmatch(path.name):
            yield path
