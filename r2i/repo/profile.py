"""Which stages of dvc.lock are of the params that are chosen now: one decision, for all that shows or shares.

A stage is, when it ran with these params, read what the stages before it left, and they are. The others are
leftovers: of another profile, such as the committed run in a clone that chooses a profile of its own, or of an earlier
run. Code does not count here: DVC, `r2i verify` and `make fresh` ask for it.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from r2i.core import paths
from r2i.core.errors import R2IError
from r2i.core.fingerprint import chosen_params
from r2i.core.params import Params, load_params
from r2i.core.yaml_text import read_yaml
from r2i.repo.git import run_git
from r2i.repo.lock import DAG, LOCK, UNREADABLE, Lock, changed_params, read_lock

PARAMS = Path("params.yaml")
SHOWN = 4  # names in a line
LONGEST = 60  # characters of a value in a line


@dataclass(frozen=True)
class Leftover:
    """Why a stage of dvc.lock is not of the chosen params: `why` names the param or the input that differs.

    `origin`: `profile mini`, where that one of params.yaml has the stage's params, or that dvc.yaml has no such stage;
    "" of an earlier run.
    """

    why: str
    origin: str = ""


@dataclass(frozen=True)
class Run:
    """A dvc.lock beside the chosen `profile`. `leftovers`: by stage, in the lock's order; `writers`: of each output."""

    profile: str
    lock: Lock
    leftovers: Mapping[str, Leftover]
    writers: Mapping[str, str]

    @property
    def own(self) -> Lock:
        """The stages of the chosen params alone: what may be shown as their result."""
        return self._without(self.leftovers)

    @property
    def ran(self) -> list[str]:
        """Of `own`, those that are not the same for every profile."""
        return [name for name in self.own.stages if name not in self.lock.frozen and name != "code"]

    @property
    def foreign(self) -> list[str]:
        """Stages that no run of this profile has left."""
        return [name for name, found in self.leftovers.items() if found.origin]

    @property
    def familiar(self) -> Lock:
        """All stages but the foreign ones: what has to be right here."""
        return self._without(self.foreign)

    def _without(self, names: Iterable[str]) -> Lock:
        left_out = set(names)
        return replace(self.lock, stages={k: v for k, v in self.lock.stages.items() if k not in left_out})

    def owns(self, path: Path) -> bool:
        """Whether `path` may be shown as of the chosen params: no leftover wrote it."""
        return self.writers.get(path.as_posix()) not in self.leftovers

    def left_out(self, files: Iterable[Path]) -> str:
        """A line about those of `files` that are here and not of the chosen params; "" where there are none."""
        strange = [path for path in files if path.exists() and not self.owns(path)]
        if not strange:
            return ""
        shown = ", ".join(map(str, strange[:SHOWN])) + (f" and {len(strange) - SHOWN} more" * (len(strange) > SHOWN))
        return f"left out: {shown}, not of profile {self.profile} as {PARAMS} has it ({self._reason(strange[0])})"

    def require(self, path: Path) -> None:
        """Raise R2IError where `path` is not of the chosen params."""
        if not self.owns(path):
            raise R2IError(
                f"{path} is not of profile {self.profile} as {PARAMS} has it ({self._reason(path)})",
                f"`dvc repro {self.writers[path.as_posix()]}`, or choose what it was made with in {PARAMS}",
            )

    def _reason(self, path: Path) -> str:
        found = self.leftovers[self.writers[path.as_posix()]]
        return f"it is of {found.origin}" if found.origin else found.why

    def told(self, stages: Iterable[str]) -> str:
        """`train@dapo, train@sft (profile mini); vote (vote.min_agreement was 6, is 7)`, for stages of the lock."""
        groups: dict[str, list[str]] = {}
        for name in stages:
            found = self.leftovers.get(name)
            groups.setdefault((found.origin or found.why) if found else "", []).append(name)
        return "; ".join(", ".join(names) + f" ({why})" * bool(why) for why, names in groups.items())


def read_run(folder: Path = Path()) -> Run:
    """Of dvc.lock, params.yaml and dvc.yaml in `folder`; without params there are no leftovers. Raises R2IError where
    there is no lock, or one of them can't be read."""
    lock = read_lock(folder / LOCK)
    if not (folder / PARAMS).is_file():
        return Run("", lock, {}, _writers(lock))
    return split(lock, load_params(folder / PARAMS), stage_names(folder), folder)


def read_run_or_none() -> Run | None:
    """None where nothing was run here."""
    return read_run() if LOCK.is_file() else None


def read_run_of(revision: str) -> Run | None:
    """Of a git revision; None where it has no lock and params that this code reads."""
    with tempfile.TemporaryDirectory(prefix="r2i-run-") as place:
        try:
            for name in (LOCK, PARAMS, DAG):
                (Path(place) / name).write_bytes(run_git("show", f"{revision}:./{name}"))
            return read_run(Path(place))
        except R2IError:
            return None


def split(lock: Lock, params: Params, known: frozenset[str] | None = None, folder: Path = Path()) -> Run:
    """`known`: the stages that the pipeline has; None: those of the lock. `folder`: of further files of params."""
    outs = [out for out in lock.outs() if out.stage not in lock.frozen and (known is None or out.stage in known)]
    verdicts: dict[str, Leftover | None] = {}

    @cache
    def values(profile: str) -> dict[str, Any]:
        return chosen_params(params.model_copy(update={"profile": profile}))

    def differing(stage: str, profile: str) -> str:
        for _, key, then, now in changed_params(lock, stage, values(profile), folder):
            return f"{stage}: {_difference(key, then, now)}"
        return ""

    def origin(stage: str) -> str:
        others = [name for name in params.profiles if name != params.profile and not differing(stage, name)]
        return f"profile {others[0]}" if others else ""

    def judge(stage: str) -> Leftover | None:
        if stage not in verdicts:
            verdicts[stage] = None  # a circle in a lock that somebody wrote ends here
            verdicts[stage] = judge_new(stage)
        return verdicts[stage]

    def judge_new(stage: str) -> Leftover | None:
        if known is not None and stage not in known:
            return Leftover(f"{stage} is no stage now", f"no stage of {DAG}")
        if stage in lock.frozen:
            return None
        deps = [dep for dep in lock.deps(stage) if Path(dep.path).parent != paths.CODE]
        read = [(dep, out) for dep in deps for out in outs if out.stage != stage and _overlap(dep.path, out.path)]
        before = [found for _, out in read if (found := judge(out.stage))]
        if foreign := next((found for found in before if found.origin), None):
            return foreign
        why = differing(stage, params.profile)
        torn = next((pair for pair in read if pair[0].path == pair[1].path and pair[0].md5 != pair[1].md5), None)
        if why:  # a stage that read what is here is of this profile, whatever another one has in common with it
            return Leftover(why, origin(stage) if torn or not read else "")
        if torn:
            dep, out = torn
            return Leftover(f"{stage} read another {dep.path} than {out.stage} left")
        return before[0] if before else None

    found = {name: one for name in lock.stages if (one := judge(name))}
    return Run(params.profile, lock, _with_origins(found, lock), _writers(lock))


def _with_origins(found: Mapping[str, Leftover], lock: Lock) -> dict[str, Leftover]:
    """The leftovers, with the origin of the run that they belong to: that of a stage which read the same, or which
    wrote what they read. `audit` has no params to tell it by."""
    result = dict(found)
    now = {out.path: out.md5 for out in lock.outs()}
    wrote = {out.path: out.stage for out in lock.outs() if out.stage in found}
    reads = {
        name: [(dep.path, dep.md5) for dep in lock.deps(name) if now.get(dep.path, dep.md5) != dep.md5]
        for name in found
    }
    while True:
        known = {read: result[name].origin for name in result for read in reads[name] if result[name].origin}
        more = {}
        for name, one in result.items():
            near = [known.get(read, "") for read in reads[name]]
            near += [result[wrote[out]].origin for dep in lock.deps(name) for out in wrote if _overlap(dep.path, out)]
            if not one.origin and (origin := next(filter(None, near), "")):
                more[name] = replace(one, origin=origin)
        if not more:
            return result
        result |= more


def _writers(lock: Lock) -> dict[str, str]:
    return {out.path: out.stage for out in lock.outs()}


def _overlap(dep: str, out: str) -> bool:
    """Whether one is the other, or lies below it."""
    return dep == out or out.startswith(f"{dep}/") or dep.startswith(f"{out}/")


def stage_names(folder: Path = Path()) -> frozenset[str] | None:
    """The stages of dvc.yaml in `folder`, those of `foreach` by their keys in params.yaml; None where there is no
    dvc.yaml. Raises R2IError where it can't be read."""
    pipeline = folder / DAG
    if not pipeline.is_file():
        return None
    try:
        dag = read_yaml(pipeline.read_text(encoding="utf-8"))["stages"]
        values = read_yaml((folder / PARAMS).read_text(encoding="utf-8"))
        return frozenset(name for stage, entry in dag.items() for name in _expand(stage, entry, values))
    except (*UNREADABLE, ValueError) as error:
        raise R2IError(f"{pipeline} can't be read ({error})", "`git checkout` it") from error


def _expand(stage: str, entry: Mapping[str, Any], values: Any) -> Iterator[str]:
    each = entry.get("foreach")
    if each is None:
        yield stage
        return
    if isinstance(each, str):  # ${models}
        for part in each.strip("${} ").split("."):
            values = values[part]
        each = values
    yield from (f"{stage}@{key}" for key in each)


def _difference(key: str, then: Any, now: Any) -> str:
    """The first param below `key` that differs."""
    if isinstance(then, dict) and isinstance(now, dict):
        name = next(
            name for name in {**then, **now} if then.get(name) != now.get(name) or (name in then) != (name in now)
        )
        return _difference(f"{key}.{name}", then.get(name), now.get(name))
    return f"{key} was {_short(then)}, is {_short(now)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
