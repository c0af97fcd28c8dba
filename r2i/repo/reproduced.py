"""Whether a run gave the outputs that the committed dvc.lock names, and on which kind of CPU that one was made.

Tables of data have the same bytes on every kind of CPU that was tried; trained weights and attention maps, and what
follows from them, on one kind alone (docs/determinism.md).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r2i.core.errors import R2IError
from r2i.core.fingerprint import cpu_kind, machine
from r2i.core.metrics import write_metrics
from r2i.repo.git import ask_git
from r2i.repo.lock import LOCK, UNREADABLE, parse_lock, read_lock

MACHINE = Path("data/machine.json")  # kept in git beside dvc.lock: where its outputs were made
Stages = Mapping[str, Mapping[str, Any]]


@dataclass
class Comparison:
    """Stages of this run beside those of the committed lock.

    `equal`, `outputs`: counts of outputs. `arithmetic`: stages with other outputs from equal inputs. `changed`: those
    whose code, params or outside data are others. `following`: those that read what either wrote.
    """

    equal: int = 0
    outputs: int = 0
    arithmetic: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    following: list[str] = field(default_factory=list)


def compare_locks(here: Stages, committed: Stages) -> Comparison:
    """Pure: both as the `stages` of a dvc.lock."""
    result = Comparison()
    made = {path for stage in here.values() for path in hashes(stage, "outs")}
    for name, stage in here.items():
        before = committed.get(name, {})
        outs, known = hashes(stage, "outs"), hashes(before, "outs")
        result.outputs += len(outs)
        result.equal += sum(known.get(path) == md5 for path, md5 in outs.items())
        if outs == known or name == "code":
            continue
        deps, old = hashes(stage, "deps"), hashes(before, "deps")
        others = {path for path in deps.keys() | old.keys() if deps.get(path) != old.get(path)}
        if others - made or any(stage.get(key) != before.get(key) for key in ("cmd", "params")):
            result.changed.append(name)
        else:
            (result.following if others else result.arithmetic).append(name)
    return result


def hashes(stage: Mapping[str, Any], role: str) -> dict[str, str]:
    """md5 by path of a stage's `deps` or `outs`."""
    return {entry["path"]: entry.get("md5", "") for entry in stage.get(role) or ()}


def describe_run() -> list[str]:
    """Lines for the end of `make repro`. Where outputs differ from the committed ones, data/machine.json is written.

    No lines where no commit holds a lock. Raises R2IError where there is no lock here.
    """
    here = read_lock().stages
    text = ask_git("show", f"HEAD:./{LOCK}")
    if not text:
        return []
    try:
        found = compare_locks(here, parse_lock(text).stages)
    except UNREADABLE as error:
        raise R2IError(f"the committed {LOCK} can't be read ({error})", "commit the one that is here") from error
    committed = _committed_machine()
    if found.equal < found.outputs:
        write_metrics(MACHINE, machine())
    return describe(found, committed.get("cpu", "not recorded"), cpu_kind())


def _committed_machine() -> dict[str, str]:
    text = ask_git("show", f"HEAD:./{MACHINE}")
    return json.loads(text) if text else {}


def describe(found: Comparison, committed: str, here: str) -> list[str]:
    """`committed`, `here`: kinds of CPU."""
    lines = [f"outputs: {found.equal} of {found.outputs} have the bytes that the committed dvc.lock names"]
    if found.changed:
        lines.append(f"  other code, params or data: {', '.join(found.changed)}")
    if found.arithmetic:
        lines.append(f"  other bytes from equal inputs: {', '.join(found.arithmetic)}")
        if committed == here:
            lines.append(f"  on the committed kind of CPU too ({here}): `make twins` tells what differs")
        else:
            lines.append("  trained weights and attention maps have the same bytes on one kind of CPU alone:")
            lines.append(f"  committed: {committed}; here: {here} (docs/determinism.md)")
    if found.following:
        lines.append(f"  computed from those: {', '.join(found.following)}")
    if found.arithmetic and not found.changed:
        lines.append(
            "  dvc.lock and metrics/ are modified for that; `git checkout dvc.lock metrics data` takes them back"
        )
    return lines
