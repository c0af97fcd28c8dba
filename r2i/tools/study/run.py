"""The experiments of a study, one after another, as `dvc exp run --temp`: what ended is never run again."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from r2i.core.errors import R2IError
from r2i.core.fingerprint import code_files
from r2i.core.ids import make_id
from r2i.core.params import CHAIN, Params, load_params
from r2i.endpoint import guard
from r2i.repo.commands import ask_dvc
from r2i.repo.git import head_commit, list_experiments
from r2i.repo.guarded_dvc import COMMAND
from r2i.tools.study.claims import Study, cells_of
from r2i.tools.study.outcomes import Facts, are_alike, folder, keep_failure, keep_outcome, read_facts

QUIET = {"R2I_LIVE": "0", "DVC_NO_ANALYTICS": "1", "PYTHONUNBUFFERED": "1"}
LAST_WORDS = 4000  # characters of a log in which the reason is looked for


@dataclass(frozen=True)
class Planned:
    """An experiment with one seed. `models`: that it evaluates."""

    experiment: str
    seed: int
    name: str
    models: list[str]

    @property
    def targets(self) -> list[str]:
        return [f"evaluate@{model}" for model in self.models]

    def facts(self) -> Facts | None:
        """None where it has not ended with these models."""
        found = read_facts(self.name)
        return found if found and set(self.models) <= set(found.models) else None


def plan(study: Study, params: Params, claims: Sequence[str], seeds: int) -> list[Planned]:
    """What `claims` need, seed by seed, so that a study that is cut off has said something of every claim. A claim of
    models that the profile has not, asks for nothing."""
    evaluated = of_profile(study, params).evaluated
    wanted = {
        cell.experiment: None
        for name in claims
        for pair in study.claims[name].pairs
        for cell in (pair.this, pair.that)
        if pair.this.model in evaluated and pair.that.model in evaluated
    }
    return [
        Planned(experiment, seed, study.name(experiment, seed), study.models(experiment, evaluated))
        for seed in range(seeds)
        for experiment in wanted
    ]


def of_profile(study: Study, params: Params) -> Params:
    return params.model_copy(update={"profile": study.profile})


def digest_base(study: Study, params: Params) -> dict[str, str]:
    """What experiments start from: by the name of a stage's file in data/code, a digest of its code and of the part of
    the profile that it reads."""
    files = code_files(of_profile(study, params))
    return {name.removesuffix(".txt"): make_id(text) for name, text in files.items()}


def base_of(one: Planned, study: Study, params: Params) -> dict[str, str]:
    """Of `digest_base`, the stages that the experiment runs."""
    runs = [params.models[model].from_ for model in one.models]
    own = [*(f"evaluate-{model}" for model in one.models), *(f"train-{run}" for run in runs)]
    stages = {"pretrain", *CHAIN, "benchmark", *own}
    return {stage: digest for stage, digest in digest_base(study, params).items() if stage in stages}


def run_all(
    study: Study,
    planned: Sequence[Planned],
    budget_s: float | None,
    again: bool,
    ended: Callable[[], object],
) -> Iterator[str]:
    """Run what has not ended; a line for each experiment. `budget_s`: none is begun after so many seconds.

    `again`: also those that other code or params gave. `ended`: called after each. Raises R2IError where another study
    runs here.
    """
    folder().mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder() / "lock", timeout=0):
            yield from _run_all(study, planned, budget_s, again, ended)
    except Timeout as error:
        raise R2IError("another `r2i study` runs here", "wait for it, or stop it: what it has ended is kept") from error


def _run_all(
    study: Study, planned: Sequence[Planned], budget_s: float | None, again: bool, ended: Callable[[], object]
) -> Iterator[str]:
    started = time.monotonic()
    base = digest_base(study, load_params())
    for place, one in enumerate(planned, 1):
        facts = one.facts()
        if facts and not (again and not are_alike(facts.based_on, base)):
            continue
        if budget_s is not None and time.monotonic() - started >= budget_s:
            left = sum(1 for rest in planned[place - 1 :] if rest.facts() is None)
            yield f"the budget is spent: {left} of {len(planned)} experiments are left; the same command goes on"
            return
        begun = time.monotonic()
        said = run_one(study, one, renew=facts is not None)
        took = (time.monotonic() - begun) / 60
        yield f"{place} of {len(planned)}: {one.experiment}, seed {one.seed}: {said} ({took:.1f} min)"
        ended()


def run_one(study: Study, one: Planned, renew: bool) -> str:
    """Run one experiment and keep its items, or why it failed. `renew`: in place of an earlier one of its name."""
    base = base_of(one, study, load_params())
    if (known := find_ended(one.name)) and not renew:
        try:  # it ended, and this process was killed before its items were kept
            keep_outcome(Facts(one.name, known, head_commit(), base, one.models, 0.0))
            return "had ended"
        except R2IError:  # with other models, or its files are gone
            pass
    if known:
        ask_dvc("exp", "remove", known)
    started, log = time.monotonic(), folder() / f"{one.name}.log"
    sets = [word for override in study.overrides(one.experiment, one.seed) for word in ("-S", override)]
    code = run_guarded(["exp", "run", "--temp", "--name", one.name, *sets, *one.targets], log)
    minutes = round((time.monotonic() - started) / 60, 2)
    revision = find_ended(one.name)
    if code or not revision:
        reason = find_reason(log)
    else:
        try:
            keep_outcome(Facts(one.name, revision, head_commit(), base, one.models, minutes))
            return "ended"
        except R2IError as error:
            reason = error.cause
    keep_failure(one.name, reason)
    return f"failed: {reason} (all of it: {log})"


def find_ended(name: str) -> str:
    """The commit of DVC's experiment of that name which started from the commit that is checked out; "" for none."""
    head = head_commit()
    found = (one.revision for one in list_experiments() if (one.name, one.baseline) == (name, head))
    return next(found, "")


def run_guarded(command: Sequence[str], log: Path) -> int:
    """A dvc command whose processes end with this one, however it ends. Its words go to `log`."""
    with log.open("wb") as file:
        file.write(f"dvc {shlex.join(command)}\n".encode())
        file.flush()
        words = [sys.executable, "-I", guard.__file__, str(os.getpid()), *COMMAND, *command]
        with subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, **QUIET},
            start_new_session=True,
        ) as process:  # fmt: skip
            try:
                return process.wait()
            finally:
                assert process.stdin is not None
                process.stdin.close()
                process.wait()


def find_reason(log: Path) -> str:
    """The first line at the end of the log that tells a fault (DVC repeats what a stage said), else its last line."""
    text = log.read_text(encoding="utf-8", errors="replace")[-LAST_WORDS:]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    faults = [line for line in lines if line.lower().startswith("error")]
    return (faults or lines or ["it said nothing"])[0 if faults else -1][:300]


def unknown_models(study: Study, claim: str, params: Params) -> list[str]:
    """Models that the claim is about and the profile does not evaluate."""
    evaluated = of_profile(study, params).evaluated
    return sorted({cell.model for cell in cells_of(study.claims[claim])} - set(evaluated))
