"""Merging dvc.lock: stage by stage, so that two branches that touched unlike stages meet without a conflict.

git calls it for `dvc.lock merge=dvc-lock` (.gitattributes) where the driver is set up: by `make repro` and `make pull`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from r2i.core.errors import R2IError
from r2i.core.yaml_text import read_yaml

Stages = Mapping[str, Any]


def merge_stages(
    ancestor: Stages, ours: Stages, theirs: Stages, keep: frozenset[str] = frozenset()
) -> tuple[dict[str, Any], list[str]]:
    """The entries of both sides, ours first, and the names that were left out. Pure.

    A stage that one side alone changed is as that side has it. One that both changed, each in its own way, is left
    out: `dvc repro` runs it, or takes it from the run-cache. Of those in `keep`, which DVC never runs, ours stays.
    """
    merged, left_out = {}, []
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        base, one, other = ancestor.get(name), ours.get(name), theirs.get(name)
        if one == other or other == base or name in keep:
            merged[name] = one
        elif one == base:
            merged[name] = other
        else:
            left_out.append(name)
    return {name: entry for name, entry in merged.items() if entry is not None}, left_out


def merge_files(ancestor: Path, ours: Path, theirs: Path, keep: frozenset[str] = frozenset()) -> list[str]:
    """Write the merge to `ours`, as git wants it of a driver; returns the stages that were left out and will run.

    Raises R2IError where one of the three is no dvc.lock: git then leaves the conflict to a person.
    """
    from dvc.utils.serialize import dump_yaml

    merged, left_out = merge_stages(_read(ancestor), _read(ours), _read(theirs), keep)
    dump_yaml(str(ours), {"schema": "2.0", "stages": merged})
    return left_out


def _read(path: Path) -> Stages:
    text = path.read_text(encoding="utf-8")
    try:
        stages: Stages = read_yaml(text)["stages"] if text.strip() else {}
        return dict(stages)
    except (yaml.YAMLError, LookupError, TypeError, ValueError) as error:
        raise R2IError(f"{path} is no dvc.lock ({error})", "take one side's: `git checkout --ours dvc.lock`") from error
