"""Claims on request keys: while one process asks for a reply, others that share its store wait for it.

A claim is a POSIX lock on one byte of the store's file `.claims`, at an offset made from the key. The
kernel frees it when the process dies, however it dies: there is nothing to take over and nothing to clean.
"""

import errno
import os
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from r2i.core.errors import EndpointError

try:
    import fcntl
except ImportError:  # Windows: processes don't see each other's claims
    fcntl = None  # type: ignore[assignment]

FILE_NAME = ".claims"
BUSY = (errno.EACCES, errno.EAGAIN)


@dataclass
class _Claims:
    """Claims on one store by this process. The file is never closed: that would drop every lock on it."""

    fd: int | None
    keys: set[str] = field(default_factory=set)


_stores: dict[str, _Claims] = {}
_guard = threading.Lock()


def claim(root: Path, key: str) -> bool:
    """Claim `key` (hex) in the store at `root`; False while it is claimed, by this process or another.

    Look into the store once more before you ask: another process may have asked and released in between.
    Raises EndpointError where the store can't be written.
    """
    with _guard:
        claims = _open(root)
        if key in claims.keys or not _lock(claims, key):
            return False
        claims.keys.add(key)
        return True


def release(root: Path, key: str) -> None:
    """Give up a claim. Without one, nothing happens."""
    with _guard:
        claims = _stores.get(os.path.realpath(root))
        if claims is None or key not in claims.keys:
            return
        claims.keys.remove(key)
        if claims.fd is not None:
            fcntl.lockf(claims.fd, fcntl.LOCK_UN, 1, _offset(key))


def _open(root: Path) -> _Claims:
    name = os.path.realpath(root)
    if name not in _stores:
        try:
            root.mkdir(parents=True, exist_ok=True)
            fd = os.open(root / FILE_NAME, os.O_RDWR | os.O_CREAT, 0o666) if fcntl else None
        except OSError as error:
            raise EndpointError(
                f"the store {root} can't be written: {error}", "make it writable or set R2I_STORE; then run again"
            ) from error
        _stores[name] = _Claims(fd)
    return _stores[name]


def _lock(claims: _Claims, key: str) -> bool:
    """Lock the key's byte. On a file system without locks it warns once, and every claim is granted."""
    if claims.fd is None:
        return True
    try:
        fcntl.lockf(claims.fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _offset(key))
    except OSError as error:
        if error.errno in BUSY:
            return False
        claims.fd = None
        print(
            f"warning: the store's file system has no locks ({error}): two runs at the same time may pay twice",
            file=sys.stderr,
        )
    return True


def _offset(key: str) -> int:
    return int(key[:15], 16)  # 60 bits: two keys of a million never meet


def _after_fork() -> None:
    """A child has its parent's open file but none of its locks."""
    global _guard
    _guard = threading.Lock()
    for claims in _stores.values():
        claims.keys.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
