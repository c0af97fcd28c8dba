"""The live store of replies: a call that was paid for is never paid for twice.

One JSON record per reply under `<root>/ab/<key>.json`. A record holds the sha256 of its own
content; a torn or altered one counts as missing and is asked for again.
"""

import contextlib
import hashlib
import json
import os
import uuid
from dataclasses import asdict
from pathlib import Path

from r2i.endpoint.base import SCHEMA, Reply
from r2i.errors import EndpointError
from r2i.records import FAILED, OK

DETERMINISTIC = frozenset({"bad_request", "refused"})  # failures that would only come again


def default_root() -> Path:
    """`$R2I_STORE`, else `.r2i/store` in the main workspace (also from `dvc exp run --temp`)."""
    chosen = os.environ.get("R2I_STORE")
    return Path(chosen) if chosen else Path(os.environ.get("DVC_ROOT") or ".") / ".r2i" / "store"


class Store:
    """Replies by key. Safe for several processes: a record appears whole, and all writers write the same."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = default_root() if root is None else root

    def path(self, key: str) -> Path:
        return self.root / key[:2] / f"{key}.json"

    def get(self, key: str) -> Reply | None:
        """The reply, or None where there is none or its record is damaged."""
        try:
            record = json.loads(self.path(key).read_bytes())
            claimed = record.pop("sha256")
            reply = Reply(**record["reply"])
        except (FileNotFoundError, ValueError, AttributeError, KeyError, TypeError):
            return None
        except OSError as error:
            raise EndpointError(f"the store {self.root} can't be read: {error}", "see R2I_STORE") from error
        return reply if claimed == _digest(record) and reply.key == key and _is_kept(reply) else None

    def put(self, reply: Reply) -> bool:
        """Write one reply through to the disk. False, and nothing written, for a failure that may pass."""
        if not _is_kept(reply):
            return False
        record = {"schema": SCHEMA, "reply": asdict(reply)}
        data = json.dumps(record | {"sha256": _digest(record)}, sort_keys=True).encode()
        path = self.path(reply.key)
        part = path.with_name(f".{reply.key}.{uuid.uuid4().hex}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink()
            raise EndpointError(
                f"the store {self.root} can't be written: {error}", "free some space or set R2I_STORE; then run again"
            ) from error
        return True


def _is_kept(reply: Reply) -> bool:
    return reply.status == OK or (reply.status == FAILED and reply.reason in DETERMINISTIC)


def _digest(record: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
