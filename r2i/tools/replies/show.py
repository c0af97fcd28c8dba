"""Show one request with its replies, for people to read."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from r2i.core.errors import R2IError
from r2i.endpoint.archive import Archive, connect, segment_names
from r2i.endpoint.base import Reply
from r2i.endpoint.quote import escape_controls
from r2i.endpoint.record import DamagedRecord, Record
from r2i.endpoint.store import Store, is_key

MIN_DIGITS = 8  # of the beginning of a key


@dataclass(frozen=True)
class LocatedReply:
    """A reply, and where it is: `segment <name>`, or `the live store`."""

    reply: Reply
    place: str


@dataclass(frozen=True)
class LocatedRecord:
    """A record, and where it is: `segment <name>`, or `the live store`."""

    record: Record
    place: str


@dataclass(frozen=True)
class StoredRequest:
    """A request: its replies by sample, and all of its records."""

    key: str
    samples: dict[int, LocatedReply]
    records: list[LocatedRecord]


def find_request(store: Store, archive: Archive, name: str) -> tuple[StoredRequest, int | None]:
    """The request that `name` names, and its sample: a key, the unique beginning of one, or a row's `reply_key`.

    Raises R2IError where there is no such record, or more than one, or it is damaged.
    """
    prefix, _, sample = name.strip().lower().partition("/")
    if not is_key(prefix.ljust(64, "0")) or len(prefix) < MIN_DIGITS or not (sample.isdecimal() or "/" not in name):
        raise R2IError(
            f"{name!r} is no key",
            f"give {MIN_DIGITS} or more hex digits of a key, or a row's reply_key: <key>/<sample>",
        )
    stored = _gather(store, archive, _whole_key(store, archive, prefix))
    wanted = int(sample) if sample else None
    if wanted is not None and wanted not in stored.samples:
        raise R2IError(f"{stored.key} has no sample {wanted}", f"it has {', '.join(map(str, sorted(stored.samples)))}")
    return stored, wanted


def describe(stored: StoredRequest, sample: int | None = None) -> str:
    """The request, then every sample (or `sample` alone), then the calls: plain text, safe for a terminal."""
    first = stored.records[0].record
    parts = first.parts
    lines = [f"request {stored.key}", f"model   {parts['model']}", f"prompt file {first.prompt_sha256 or 'unknown'}"]
    lines += [f"seed    {parts.get('seed')}", f"sampling {json.dumps(parts.get('sampling'))}"]
    lines += [f"image   {name}" for name in parts.get("images", [])]
    lines += ["form    " + str(parts["form"])] if parts.get("form") else []
    lines += ["", "prompt:", _indent(str(parts.get("prompt", "")))]
    for i, located in sorted(stored.samples.items()):
        if sample is None or i == sample:
            reply = located.reply
            state = f"{reply.status}: {reply.reason}" if reply.reason else reply.status
            lines += [
                "",
                f"sample {i} | {state} | {reply.tokens_in} tokens in, {reply.tokens_out} out | {located.place}",
            ]
            lines.append(_indent(reply.text))
    for where in stored.records:
        calls = [_indent(json.dumps(call, sort_keys=True)) for call in where.record.calls]
        lines += ["", f"calls in {where.place}:", *calls]
    return "\n".join(escape_controls(line) for line in "\n".join(lines).split("\n"))


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.split("\n"))


def _gather(store: Store, archive: Archive, key: str) -> StoredRequest:
    """In the order of `Store.find`: the live store comes before the archive."""
    records = []
    with contextlib.suppress(FileNotFoundError, DamagedRecord):
        records.append(LocatedRecord(store.read(key), "the live store"))
    records += [LocatedRecord(archived.record, f"segment {archived.segment}") for archived in archive.records(key)]
    if not records:
        raise R2IError(f"the record of {key} is damaged", "`r2i replies verify` says how; a stage asks for it again")
    samples: dict[int, LocatedReply] = {}
    for located in records:
        for i, reply in located.record.replies.items():
            samples.setdefault(i, LocatedReply(reply, located.place))
    return StoredRequest(key, samples, records)


def _whole_key(store: Store, archive: Archive, prefix: str) -> str:
    keys = sorted({*_live_keys(store, prefix), *_archived_keys(archive.folder, prefix)})
    if not keys:
        raise R2IError(
            f"no reply is filed under {prefix}",
            "check that --store and --archive are those of the run; `dvc pull replies` fetches the shared ones",
        )
    if len(keys) > 1:
        raise R2IError(f"{len(keys)} keys begin with {prefix}: {', '.join(keys[:4])}", "give more digits")
    return keys[0]


def _live_keys(store: Store, prefix: str) -> Iterator[str]:
    for path in (store.root / prefix[:2]).glob(f"{prefix}*.json"):
        if is_key(path.stem):
            yield path.stem


def _archived_keys(folder: Path, prefix: str) -> Iterator[str]:
    """Keys in a range of every segment's tree; a segment that can't be read has none."""
    span = bytes.fromhex(prefix.ljust(64, "0")), bytes.fromhex(prefix.ljust(64, "f"))
    for name in segment_names(folder):
        with contextlib.suppress(sqlite3.Error), contextlib.closing(connect(folder / name)) as connection:
            rows = connection.execute("SELECT key FROM records WHERE key BETWEEN ? AND ? LIMIT 5", span).fetchall()
            yield from (key.hex() for (key,) in rows if isinstance(key, bytes))
