"""A folder as DVC keeps it: a JSON list of names and hashes. Others wrote it: it is checked before it is followed."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

MD5 = re.compile(r"[0-9a-f]{32}")
LONGEST = 4096  # bytes of a path
TAKEN = (".git", ".dvc")  # folders whose files git and DVC obey


def fault_of_listing(data: bytes, md5: str) -> str:
    """What is wrong with the bytes of a listing whose name is `md5` (without .dir); "" where nothing is."""
    if hashlib.md5(data, usedforsecurity=False).hexdigest() != md5:
        return "is not what its name says: it was damaged or replaced"
    try:
        entries = json.loads(data)
    except (ValueError, RecursionError):
        return "is no JSON"
    return fault_of_entries(entries)


def fault_of_entries(entries: Any) -> str:
    """What is wrong with the entries of a folder, each of which names a file within it; "" where nothing is."""
    if not isinstance(entries, list):
        return "is no list"
    seen: set[str] = set()
    for entry in entries:
        name = entry.get("relpath") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not is_inside(name):
            return f"names a file outside its folder or of no usable name: {name!r:.200}"
        if name in seen:
            return f"names {name!r:.200} twice"
        seen.add(name)
        if not MD5.fullmatch(str(entry.get("md5", "0" * 32))):
            return f"has no hash of {name!r:.200}, but {entry.get('md5')!r:.100}"
    return ""


def is_inside(name: str) -> bool:
    """Whether `name` is a plain path to a file below a folder, on every system."""
    parts = name.split("/")
    plain = all(part not in ("", ".", "..") and part.casefold() not in TAKEN for part in parts)
    return plain and not re.search(r"[\\\x00-\x1f\x7f]|^[A-Za-z]:", name) and len(os.fsencode(name)) <= LONGEST


def fault_of_output(path: str, md5: str) -> str:
    """What is wrong with a path and its hash in dvc.lock or a .dvc file; "" where nothing is, and for URLs."""
    if "://" in path:
        return ""
    place = Path(os.path.normpath(path))
    if place.is_absolute() or place.parts[:1] in ((), ("..",)) or re.search(r"[\\\x00-\x1f]", path):
        return "lies outside of the repository"
    if any(part.casefold() in TAKEN for part in path.split("/")):
        return "lies where git or DVC keep their own files"
    if md5 and not re.fullmatch(r"[0-9a-f]{32}(\.dir)?", md5):
        return f"has no hash, but {md5!r:.100}"
    return ""
