"""A dvc.lock that was cut off: DVC 3.67 writes it in place, so that `kill -9` in those milliseconds leaves half of it.

DVC refuses most of such files. Nothing is lost: its run-cache knows every stage that ended, and `dvc repro` restores
them. The committed lock takes the place of the one that was cut off: it has the entry of the frozen `pretrain`, which
no `dvc repro` would write again. Whatever DVC takes, and whatever is broken in another way than by its end, stays as it
is: it may hold what a person wrote.
"""

import re
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from r2i.core import paths
from r2i.core.disk import new_file, writing
from r2i.core.errors import R2IError
from r2i.core.yaml_text import read_yaml
from r2i.repo.git import run_git
from r2i.repo.lock import DAG, LOCK, UNREADABLE, parse_lock

HEADER = "schema: '2.0'\nstages:\n"
PARTS = ("cmd", "deps", "params", "outs")  # of a stage, in the order in which DVC writes them
CONFLICT = re.compile(r"^(?:<{7}|={7}|>{7}|\|{7})(?: |$)", re.MULTILINE)
WHOLE_MD5 = re.compile(r"[0-9a-f]{32}(?:\.dir)?")
TAIL = 30  # lines at the end of a text that one value may be written over


def mend_lock() -> Path | None:
    """Put a dvc.lock that is cut off aside, and say where to; None where it is whole, or where there is none.

    What git has as the lock takes its place, if git has one. Raises R2IError where the lock can't be used and was not
    cut off, and where a frozen stage has lost its entry: it then stays as it is.
    """
    if not LOCK.is_file():
        return None
    data, committed = LOCK.read_bytes(), _committed()
    if not is_cut_off(data, committed):
        return None
    aside = _put_aside(data)
    if is_accepted(committed.decode("utf-8", "replace")):
        with new_file(LOCK) as part:
            part.write_bytes(committed)
    else:
        LOCK.unlink()
    return aside


def is_cut_off(data: bytes, committed: bytes = b"") -> bool:
    """Whether `data` is the start of a lock that DVC would complete wrongly, or not take. `committed`: git's lock.

    Raises R2IError where it is neither this nor a lock.
    """
    if not data.strip(b"\0 \n"):  # emptied; some file systems leave zeros after a power cut
        return True
    text = _decode(data)
    if conflict := CONFLICT.search(text):
        line = text.count("\n", 0, conflict.start()) + 1
        raise R2IError(
            f"{LOCK} holds the marks of a merge, from line {line} on",
            f"take one side's: `git checkout --ours {LOCK}` in the merge, or `git checkout COMMIT -- {LOCK}` where the "
            "marks were committed; `dvc repro` then runs what the other side ran",
        )
    if HEADER.startswith(text):
        return True
    ours = {} if text.endswith("\n") or text + "\n" == committed.decode("utf-8", "replace") else _last_entry(text)
    if is_accepted(text):
        return ("hash" in ours and "size" not in ours) or _ends_in_frozen(text, committed)
    if _is_start_of_lock(text):
        return True
    raise R2IError(
        f"{LOCK} is no lock that DVC takes, and not because it was cut off: it stays as it is ({_fault(text)})",
        f"correct it, or `git checkout {LOCK}`; `dvc repro` then goes on from the run-cache",
    )


def is_accepted(text: str) -> bool:
    """Whether DVC takes `text` for a lock."""
    return bool(text.strip()) and _fault(text) == ""


def _fault(text: str) -> str:
    """Why DVC does not take `text` for a lock; "" where it does."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        COMPILED_LOCKFILE_SCHEMA(read_yaml(text))
    except (yaml.YAMLError, Invalid) as error:
        return " ".join(str(error).split())[:200]
    return ""


def _decode(data: bytes) -> str:
    """UTF-8, whose last letter may be cut. Raises R2IError."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start >= len(data) - 3 and error.reason == "unexpected end of data":
            return data[: error.start].decode("utf-8")
        raise R2IError(f"{LOCK} is not UTF-8 ({error})", f"`git checkout {LOCK}`") from error


def _last_entry(text: str) -> dict[str, str]:
    """The keys and values of the file that a text ends in: path, hash, md5, size, and so on; {} outside of one."""
    found: dict[str, str] = {}
    for line in reversed(text.splitlines()):
        match = re.fullmatch(r"    (- |  )([a-z]\w*):(?: (.*))?", line)
        if not match:
            return {}
        found[match[2]] = match[3] or ""
        if match[1] == "- ":
            return found
    return {}


def _is_start_of_lock(text: str) -> bool:
    """Whether some lines at the end are all that is wrong: without them there are whole stages and the start of one."""
    lines = text.split("\n")
    for left_out in range(min(TAIL, len(lines))):
        try:
            found = read_yaml("\n".join(lines[: len(lines) - left_out]))
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            if mark is None or mark.line < len(lines) - left_out - 2:  # broken before its end
                return False
            continue
        if not isinstance(found, dict) or found.get("schema") != "2.0" or not found.keys() <= {"schema", "stages"}:
            return False
        stages = found.get("stages") or {}
        return isinstance(stages, str) or (isinstance(stages, dict) and _only_last_is_torn(stages))
    return False


def _only_last_is_torn(stages: Mapping[str, Any]) -> bool:
    """Whether all stages are whole but the last, of which the first parts are there and all but its last are whole."""
    *whole, last = stages or [""]
    before: dict[str, Any] = {name: stages[name] for name in whole}
    stage = stages.get(last) or {}
    if not isinstance(stage, dict):
        return isinstance(stage, str) and _takes(before)
    parts = list(stage)
    in_order = parts == [part for part in PARTS if part in parts] and parts[:1] in ([], ["cmd"])
    if not in_order or len(parts) < 2:
        return in_order and _takes(before)
    end = stage[parts[-1]]
    kept = {part: stage[part] for part in parts[:-1]}
    if isinstance(end, list) and end[:-1]:
        kept[parts[-1]] = end[:-1]
    return isinstance(end, list | dict | str | None) and _takes({**before, last: kept})


def _takes(stages: Mapping[str, Any]) -> bool:
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        COMPILED_LOCKFILE_SCHEMA({"schema": "2.0", "stages": dict(stages)})
    except Invalid:
        return False
    return True


def _ends_in_frozen(text: str, committed: bytes) -> bool:
    """Whether a lock that DVC takes ends within the entry of a frozen stage, which no `dvc repro` would complete.

    Raises R2IError where such a stage is not there, or only in part, and the lock was not cut off there.
    """
    try:
        known = parse_lock(committed.decode("utf-8"), DAG.read_text(encoding="utf-8"))
    except (*UNREADABLE, OSError, UnicodeDecodeError):
        return False
    stages = parse_lock(text).stages
    for name in sorted(known.frozen):
        wanted = {entry.path for entry in known.outs(name)}
        here = {str(out.get("path")) for out in stages.get(name, {}).get("outs") or ()}
        if wanted <= here:
            continue
        if committed.startswith(text.encode()) or (name in stages and list(stages)[-1] == name):
            return True
        raise R2IError(
            f"{LOCK} has no entry of the frozen stage {name}, or only a part of it: `dvc repro` would not write it",
            f"`git checkout {LOCK}` brings it back, and `dvc repro` goes on from the run-cache",
        )
    return False


def _put_aside(data: bytes) -> Path:
    """A copy that takes no other's place. Raises DiskError."""
    first = paths.torn_lock()
    with writing(first):
        first.parent.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            aside = first if number == 1 else first.with_name(f"{first.name}.{number}")
            try:
                with aside.open("xb") as file:
                    file.write(data)
                return aside
            except FileExistsError:
                continue
    raise AssertionError("the numbers have no end")


def _committed() -> bytes:
    """What git has as the lock; nothing where it has none."""
    try:
        return run_git("show", f"HEAD:./{LOCK}")
    except R2IError:
        return b""
