"""One record, to be read by a person."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from r2i.core.errors import R2IError
from r2i.endpoint.archive import Archive, connect, segment_names
from r2i.endpoint.base import Reply
from r2i.endpoint.record import Damaged, Record
from r2i.endpoint.store import Store, is_key

SHORTEST = 8  # hex digits of a key that is cut


@dataclass(frozen=True)
class Found:
    """A request and its samples: each with its reply and where that is. `records`: all of its records, by place."""

    key: str
    samples: dict[int, tuple[Reply, str]]
    records: list[tuple[str, Record]]


def find_record(store: Store, archive: Archive, name: str) -> tuple[Found, int | None]:
    """What `name` stands for: a key, the unique beginning of one, or a row's `reply_key` (and its sample).

    Raises R2IError where there is no such record, or more than one, or it is damaged.
    """
    prefix, _, sample = name.strip().lower().partition("/")
    if not is_key(prefix.ljust(64, "0")) or len(prefix) < SHORTEST or not (sample.isdecimal() or "/" not in name):
        raise R2IError(
            f"{name!r} is no key", f"give at least {SHORTEST} hex digits of a key, or a row's reply_key: <key>/<sample>"
        )
    found = _gather(store, archive, _whole_key(store, archive, prefix))
    wanted = int(sample) if sample else None
    if wanted is not None and wanted not in found.samples:
        raise R2IError(f"{found.key} has no sample {wanted}", f"it has {', '.join(map(str, sorted(found.samples)))}")
    return found, wanted


def describe(found: Found, sample: int | None = None) -> str:
    """The request, then every sample (or `sample` alone), then the calls: plain text, safe for a terminal."""
    parts, first = found.records[0][1].parts, found.records[0][1]
    lines = [f"request {found.key}", f"model   {parts['model']}", f"prompt file {first.prompt_sha256 or 'unknown'}"]
    lines += [f"seed    {parts.get('seed')}", f"sampling {json.dumps(parts.get('sampling'))}"]
    lines += [f"image   {name}" for name in parts.get("images", [])]
    lines += ["form    " + str(parts["form"])] if parts.get("form") else []
    lines += ["", "prompt:", _indent(str(parts.get("prompt", "")))]
    for i, (reply, place) in sorted(found.samples.items()):
        if sample is None or i == sample:
            state = f"{reply.status}: {reply.reason}" if reply.reason else reply.status
            lines += ["", f"sample {i} | {state} | {reply.tokens_in} tokens in, {reply.tokens_out} out | {place}"]
            lines.append(_indent(reply.text))
    for place, record in found.records:
        lines += ["", f"calls in {place}:", *(_indent(json.dumps(call, sort_keys=True)) for call in record.calls)]
    return "".join(char if char == "\n" else _safe(char) for char in "\n".join(lines))


def _safe(char: str) -> str:
    """A control character may steer a terminal, and half a surrogate pair can't be printed: their escapes can."""
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.split("\n"))


def _gather(store: Store, archive: Archive, key: str) -> Found:
    """In the order of `Store.find`: what the archive has counts before what is live."""
    records = [(f"segment {name}", record) for name, record in archive.records(key)]
    with contextlib.suppress(FileNotFoundError, Damaged):
        records.append(("the live store", store.read(key)))
    if not records:
        raise R2IError(f"the record of {key} is damaged", "`r2i replies verify` says how; a stage asks for it again")
    samples: dict[int, tuple[Reply, str]] = {}
    for place, record in records:
        for i, reply in record.replies.items():
            samples.setdefault(i, (reply, place))
    return Found(key, samples, records)


def _whole_key(store: Store, archive: Archive, prefix: str) -> str:
    keys = sorted({*_live_keys(store, prefix), *_archived_keys(archive.folder, prefix)})
    if not keys:
        raise R2IError(
            f"no reply is filed under {prefix}",
            "see that --store and --archive are those of the run; `dvc pull replies` brings the shared ones",
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
