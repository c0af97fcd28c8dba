"""Code that changed and gives the same outputs, accepted for a stage without running it; with a trace.

DVC runs a stage again when its code means something else (r2i.core.fingerprint): after a refactoring whose outputs are
proven to be the same, that may cost hours or money for nothing. `dvc commit --force` would take over whatever lies
there; here nothing but the code may differ from dvc.lock, and each acceptance is a line that git keeps.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from r2i.core import paths
from r2i.core.disk import new_file, writing
from r2i.core.errors import R2IError
from r2i.core.fingerprint import code_files
from r2i.core.params import load_params
from r2i.repo.commands import ask_dvc, run_dvc
from r2i.repo.git import ask_git, run_git
from r2i.repo.lock import Entry, Lock, changed_params, hash_all, md5_of, read_lock


@dataclass(frozen=True)
class Acceptance:
    """`before`, `after`: md5 of the stage's code file. `by`: git's user.

    `files`: `changed`, `came` and `went`, each the names of code files, and of params whose default counts; None where
    git has no code file of `before`.
    """

    stage: str
    why: str
    before: str
    after: str
    by: str
    files: Mapping[str, list[str]] | None


def accept(stage: str, why: str) -> Acceptance:
    """Write the stage's present code into dvc.lock as that of its outputs, and a line to paths.ACCEPTED.

    Raises R2IError where there is no reason, no such stage, nothing to accept, or where anything but the code file is
    not what the lock says: params, inputs, outputs (hashed anew), the command.
    """
    why = " ".join(why.split())
    if not why:
        raise R2IError("no reason is given", "--why: what was changed, and how the outputs were proven to be the same")
    lock = read_lock()
    code = _locked_code(lock, stage)
    after = _fresh_md5(stage, code)
    if after == code.md5:
        raise R2IError(
            f"there is nothing to accept: {stage} ran with the code that is here",
            f"`dvc status {stage}` says what else has changed",
        )
    _refuse_other_changes(lock, stage, code)
    acceptance = Acceptance(stage, why, code.md5, after, ask_git("config", "user.name"), _compare_code(code))
    _append(acceptance)
    try:
        run_dvc("commit", "--force", "--quiet", stage)
        _check_lock(lock, acceptance)
    except BaseException:
        _take_back(acceptance)
        raise
    return acceptance


def read_acceptances() -> list[Acceptance]:
    """All lines of paths.ACCEPTED, in order; [] where there is no file. Raises R2IError where one can't be read."""
    path = paths.ACCEPTED
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines() if path.is_file() else [], 1):
        try:
            found += [Acceptance(**json.loads(line))] if line else []
        except (ValueError, TypeError) as error:
            raise R2IError(
                f"{path}:{number} is no acceptance ({error})", "`git checkout` it, or merge again"
            ) from error
    return found


def accepted_code(stage: str, md5: str) -> list[Acceptance]:
    """Why a stage's outputs stand under the code file `md5`: the acceptances that end in it, and before them those
    that end where they began; the latest first. Raises R2IError as `read_acceptances` does."""
    known = [acceptance for acceptance in read_acceptances() if acceptance.stage == stage]
    found: list[Acceptance] = []
    ends = {md5}
    while ends:
        last = [acceptance for acceptance in known if acceptance.after in ends and acceptance not in found]
        found += last
        ends = {acceptance.before for acceptance in last}
    return found


def _locked_code(lock: Lock, stage: str) -> Entry:
    """The stage's code file as the lock has it."""
    if stage not in lock.stages:
        listed = ask_dvc("stage", "list", "--name-only")
        known = listed.stdout.split()
        if stage in known:
            raise R2IError(f"dvc.lock has no entry of {stage}: it has no outputs", f"`dvc repro {stage}`")
        names = ", ".join(name for name in known if name.startswith(f"{stage}@")) or ", ".join(known)
        raise R2IError(f"dvc.yaml has no stage {stage}", f"name one of: {names or listed.stderr.strip()}")
    if stage in lock.frozen:
        raise R2IError(
            f"there is nothing to accept: {stage} is frozen, DVC does not compare it with its code",
            "`dvc repro` leaves it as it is",
        )
    code = lock.code(stage)
    if code is None:
        raise R2IError(
            f"there is nothing to accept: {stage} reads no file of {paths.CODE}/, in which code could have changed",
            f"`dvc repro {stage}`",
        )
    return code


def _fresh_md5(stage: str, code: Entry) -> str:
    """Of the code file, which must be that of the code that is here."""
    path = Path(code.path)
    md5 = md5_of(path)
    if md5 is None or path.read_text(encoding="utf-8") != code_files(load_params()).get(path.name):
        raise R2IError(f"{path} is missing, or older than the code", "`dvc repro code`, then accept again")
    return md5


def _refuse_other_changes(lock: Lock, stage: str, code: Entry) -> None:
    """Raise R2IError where anything but the code file differs from the lock."""
    for file, key, then, now in changed_params(lock, stage):
        raise R2IError(
            f"{stage} ran with {key} {json.dumps(then, ensure_ascii=False)}, {file} now says {json.dumps(now)}",
            f"put the param back, or `dvc repro {stage}`: other params may give other outputs",
        )
    inputs = [entry for entry in lock.deps(stage) if entry != code and "://" not in entry.path]  # those DVC asks for
    entries = [*inputs, *lock.outs(stage)]
    for entry, md5 in zip(entries, hash_all(entry.path for entry in entries), strict=True):
        if md5 != entry.md5:
            what = "input" if entry in inputs else "output"
            state = "is missing" if md5 is None else f"is not what dvc.lock says ({md5}, not {entry.md5})"
            raise R2IError(
                f"the {what} {entry.path} of {stage} {state}",
                f"`r2i verify` names the command that brings it back; else `dvc repro {stage}`",
            )
    status = ask_dvc("status", "--json", stage)
    if status.returncode:
        raise R2IError(f"`dvc status {stage}` failed: {status.stderr.strip()[-500:]}", "see its message")
    changes = json.loads(status.stdout).get(stage, [])
    if changes != [{"changed deps": {code.path: "modified"}}]:  # also another command, deps or outs in dvc.yaml
        raise R2IError(
            f"more than the code of {stage} has changed, says DVC: {json.dumps(changes)}",
            f"undo that in dvc.yaml or params.yaml, or `dvc repro {stage}`",
        )


def _compare_code(code: Entry) -> dict[str, list[str]] | None:
    """What differs between the code file of the lock, where git has it, and the one that is here."""
    for commit in ask_git("log", "--format=%H", "--", code.path).splitlines():
        try:
            text = run_git("show", f"{commit}:./{code.path}")
        except R2IError:  # the commit that removed it
            continue
        if hashlib.md5(text, usedforsecurity=False).hexdigest() == code.md5:
            old, new = _read_lines(text.decode()), _read_lines(Path(code.path).read_text(encoding="utf-8"))
            return {
                "changed": sorted(name for name in old.keys() & new.keys() if old[name] != new[name]),
                "came": sorted(new.keys() - old.keys()),
                "went": sorted(old.keys() - new.keys()),
            }
    return None


def _read_lines(text: str) -> dict[str, str]:
    """Digest by path, and value by param, of a code file's text."""
    pairs = (line.partition(" ") for line in text.splitlines())
    return {name.removesuffix(":"): value for name, _, value in pairs}


def _check_lock(before: Lock, acceptance: Acceptance) -> None:
    """DVC must have taken the code over, and nothing else."""
    stage, lock = acceptance.stage, read_lock()
    code = lock.code(stage)
    if code is None or code.md5 != acceptance.after or lock.outs(stage) != before.outs(stage):
        raise R2IError(
            f"`dvc commit {stage}` wrote something else to dvc.lock than the code that was accepted",
            "`git checkout dvc.lock`; did something write at the same time?",
        )


def _line(acceptance: Acceptance) -> str:
    values: dict[str, Any] = asdict(acceptance)
    return json.dumps(values, ensure_ascii=False) + "\n"


def _append(acceptance: Acceptance) -> None:
    path = paths.ACCEPTED
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        torn = path.is_file() and path.read_bytes()[-1:] not in (b"", b"\n")
        with path.open("a", encoding="utf-8") as file:
            file.write("\n" * torn + _line(acceptance))


def _take_back(acceptance: Acceptance) -> None:
    text = paths.ACCEPTED.read_text(encoding="utf-8").removesuffix(_line(acceptance))
    if text:
        with new_file(paths.ACCEPTED) as part:
            part.write_text(text, encoding="utf-8")
    else:
        paths.ACCEPTED.unlink()
