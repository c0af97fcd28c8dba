"""All checks, one after the other."""

from dataclasses import dataclass, field
from pathlib import Path

from r2i.core import paths
from r2i.core.errors import R2IError
from r2i.endpoint.store import Store
from r2i.repo.commands import cache_folder
from r2i.repo.lock import LOCK, Entry, Lock, tracked_entries
from r2i.repo.profile import read_run
from r2i.tools.replies.verify import verify as verify_replies
from r2i.tools.verify import Finding
from r2i.tools.verify.files import check_cache, check_deps, check_outs, check_params, check_strays
from r2i.tools.verify.rows import check_rows
from r2i.tools.verify.tables import check_tables


@dataclass
class Verdict:
    """`outs`: of the lock, `size` bytes together; `records`, `segments`: sound ones of the store and the archive."""

    findings: list[Finding] = field(default_factory=list)
    outs: int = 0
    size: int = 0
    records: int = 0
    segments: int = 0

    @property
    def faults(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.kind != "note"]

    @property
    def remedy(self) -> str:
        """What to do about the most basic fault."""
        kinds = {finding.kind for finding in self.faults}
        for kind, remedy in REMEDIES.items():
            if kind in kinds:
                return remedy
        return ""


REMEDIES = {
    "differs": "the command behind each brings it back; where no lab has it, remove it and `dvc repro`",
    "extra": "remove what dvc.lock does not name",
    "missing": "`make pull` brings what another lab has pushed; `dvc repro` makes it",
    "cache": "remove the objects that are named, then `dvc fetch`; where no lab has one, `dvc repro` makes it",
    "replies": "`r2i replies verify --remove` removes damaged live records; a segment: `dvc checkout replies`",
    "lock": "`dvc repro`",
    "params": "`dvc repro`, or `git checkout` the params of the lock",
    "code": "`dvc repro`, or `git checkout` the code of the lock",
    "table": "a stage wrote what can't be: `dvc repro --force` the stage; if it comes again it is a defect",
    "metrics": "`dvc repro`",
}


def verify_all(with_cache: bool) -> Verdict:
    """All that dvc.lock and *.dvc files name, the replies, the tables; without stages that are of another profile, of
    which a note tells. Raises R2IError where there is no lock."""
    run = read_run()
    lock = run.familiar
    outs = lock.outs()
    verdict = Verdict(outs=len(outs), size=sum(entry.size for entry in outs))
    cache = cache_folder()
    found = verdict.findings
    tracked = tracked_entries()
    found += check_outs([*outs, *tracked], cache)
    found += check_deps(lock)
    found += check_params(lock)
    found += check_strays([*run.lock.outs(), *tracked])
    if run.foreign:
        why = f"not looked at, not of profile {run.profile}: {run.told(run.foreign)}; `dvc repro` makes them anew"
        found.append(Finding("note", str(LOCK), why))
    if with_cache:
        found += _check_cache([*outs, *tracked], cache)
    _check_replies(verdict)
    found += check_tables(run.foreign)
    found += check_rows(_min_agreement(run.own), run.foreign)
    return verdict


def _check_cache(entries: list[Entry], cache: Path | None) -> list[Finding]:
    if cache is None:
        raise R2IError("DVC does not say where its cache is", "run in the repository's root, with DVC installed")
    return list(check_cache(entries, cache))


def _check_replies(verdict: Verdict) -> None:
    folder = paths.reply_archive()
    replies = verify_replies(Store(paths.reply_store(), folder), folder)
    verdict.records, verdict.segments = replies.records, replies.segments
    for fault in replies.faults:
        where = f"{fault.path}{' ' + fault.key if fault.key and not fault.live else ''}"
        verdict.findings.append(Finding("replies", where, fault.why))


def _min_agreement(lock: Lock) -> int | None:
    """What the vote was run with; None where the lock does not say."""
    for key, value in lock.params("vote").items():
        if key.rpartition(".")[2] == "vote" and isinstance(value, dict):
            return value.get("min_agreement")
    return None
