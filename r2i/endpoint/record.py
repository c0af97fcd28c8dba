"""The stored record of one request: what determined its replies, the replies, and the calls that returned them.

A record can be verified by itself: it holds the sha256 of its own content, and its request hashes to the key that it
is filed under. Its JSON is ASCII, so that any text that a server sends, half an emoji too, can be stored.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from r2i.core.records import FAILED, OK
from r2i.endpoint.base import SCHEMA, Reply, canonical, key_of, sample_key
from r2i.endpoint.chat import MAX_TOKENS

STORED_FAILURES = frozenset({"truncated", "empty", "refused", "bad_request"})
"""Reasons of failures that are stored: they were paid for, or would only come again."""
MAX_BYTES = 32 * 2**20  # of a record: of a larger one, written by whomever, nothing is read
FIELDS = ("text", "status", "reason", "tokens_in", "tokens_out")  # of a reply in a record


class DamagedRecord(ValueError):
    """A record that can't be trusted; the message says why."""


@dataclass(frozen=True)
class Record:
    """One request and its replies.

    `parts`: `Request.parts`. `replies`: by sample index. `calls`: in the order in which they were paid for,
    each with the `samples` it was asked for; the first that names a sample gave it.
    """

    parts: Mapping[str, Any]
    prompt_sha256: str
    replies: Mapping[int, Reply]
    calls: Sequence[Mapping[str, Any]]

    @property
    def key(self) -> str:
        return key_of(self.parts)

    @property
    def model(self) -> str:
        return str(self.parts["model"])

    def adding(self, replies: Mapping[int, Reply], call: Mapping[str, Any]) -> "Record":
        """This record with the samples that it lacks, and the call that returned them; itself where it lacks none."""
        if replies.keys() <= self.replies.keys():
            return self
        return replace(self, replies={**replies, **self.replies}, calls=[*self.calls, call])

    def only(self, samples: Collection[int]) -> "Record":
        """This record with these samples alone, and the calls that asked for any of them."""
        replies = {i: reply for i, reply in self.replies.items() if i in samples}
        calls = [call for call in self.calls if not set(call.get("samples", replies)).isdisjoint(replies)]
        return replace(self, replies=replies, calls=calls)

    def unpaid(self) -> set[int]:
        """Samples that the server refused: nobody paid for them, and another lab's server may take them."""
        named: set[int] = set()
        refused: set[int] = set()
        for call in self.calls:
            samples = set(call.get("samples", ())) - named
            named |= samples
            refused |= samples if "refusal" in call else set()
        return refused & self.replies.keys()


def is_storable(reply: Reply) -> bool:
    """Whether a reply belongs in a record: an answer, or one of STORED_FAILURES."""
    return (reply.status == OK and not reply.reason) or (reply.status == FAILED and reply.reason in STORED_FAILURES)


def write_record(record: Record) -> bytes:
    """The record as canonical JSON with its own sha256; the same record gives the same bytes."""
    fields = {
        "schema": SCHEMA,
        "request": record.parts,
        "prompt_sha256": record.prompt_sha256,
        "replies": {str(i): {name: getattr(reply, name) for name in FIELDS} for i, reply in record.replies.items()},
        "calls": [json.loads(canonical(call)) for call in record.calls],  # keys as JSON has them, so that they sort so
    }
    return canonical(fields | {"sha256": _digest(fields)}).encode()


def own_sha256(data: bytes) -> str:
    """The sha256 that the bytes of a record claim. Raises DamagedRecord where there is none."""
    return str(_load(data).get("sha256", ""))


def read_record(data: bytes, key: str) -> Record:
    """The record in `data`, filed under `key`. Raises DamagedRecord where it is torn, altered, or another request's."""
    fields = _load(data)
    if fields.get("schema") != SCHEMA:
        raise DamagedRecord(f"of schema {str(fields.get('schema'))[:20]}, not {SCHEMA}")
    claimed = fields.pop("sha256", None)
    if claimed != _digest(fields):
        raise DamagedRecord("altered: its content does not have the sha256 that it states")
    try:
        record = Record(fields["request"], fields["prompt_sha256"], {}, fields["calls"])
        if not (type(record.prompt_sha256) is str and all(type(call) is dict for call in record.calls)):
            raise TypeError("prompt_sha256 or calls")
        true_key = record.key
        replies = {_index(i): _read_reply(i, value, true_key, record.model) for i, value in fields["replies"].items()}
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise DamagedRecord(f"not of a record's form ({error})") from error
    if true_key != key:
        raise DamagedRecord(f"the record of another request, {true_key}")
    return replace(record, replies=replies)


def _load(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise DamagedRecord(f"of over {MAX_BYTES} bytes")
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedRecord("empty" if not data.strip(b"\0 ") else "not whole JSON: torn or truncated") from error
    if not isinstance(fields, dict):
        raise DamagedRecord("JSON, but no record")
    return fields


def _digest(fields: Mapping[str, Any]) -> str:
    try:
        return hashlib.sha256(canonical(fields).encode()).hexdigest()
    except RecursionError as error:
        raise DamagedRecord("not of a record's form (nested too deeply)") from error


def _index(name: str) -> int:
    if not (name.isascii() and name.isdigit() and str(int(name)) == name):
        raise ValueError(f"sample {name[:20]!r}")
    return int(name)


def _read_reply(name: str, value: Mapping[str, Any], key: str, model: str) -> Reply:
    reply = Reply(**value, key=sample_key(key, int(name)), model=model)
    texts, counts = (reply.text, reply.status, reply.reason), (reply.tokens_in, reply.tokens_out)
    if not (all(type(text) is str for text in texts) and all(type(n) is int and 0 <= n <= MAX_TOKENS for n in counts)):
        raise TypeError(f"sample {name}")
    if not is_storable(reply):
        raise ValueError(f"sample {name} is {reply.status} {reply.reason[:20]}")
    return reply
