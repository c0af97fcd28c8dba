"""`kill -9` of `dvc repro` at 30 seeded moments: does the next `dvc repro` end with the lock of an undisturbed run?

`python bench/kills.py` runs the smoke profile once in a clone, undisturbed. Then, for every stage twice, it takes a
fresh clone with that run's cache, forgets the stage in the run-cache (so that it runs, and what comes before is
restored), kills at a random moment of it, once the whole process group and once `dvc` alone, whose stage goes on, and
runs the two steps of `make repro` (`r2i mend`, `dvc repro`) at once. Writes bench/results/kills.json. About 10 minutes
on 2 quiet cores; `--only N`: the first N.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
# not bench itself, whose labs.py would hide tests/labs
sys.path[:] = [str(ROOT), str(ROOT / "tests"), *(path for path in sys.path if Path(path).resolve() != ROOT / "bench")]

from clone import clone, run  # noqa: E402
from labs.kills import kill, said, start  # noqa: E402 - needs the path
from labs.lab import environment  # noqa: E402
from twins import outs, repro  # noqa: E402

from bench.result import STAGES, note_code, write_result  # noqa: E402
from r2i.repo.lock import read_lock  # noqa: E402

RESULT = ROOT / "bench" / "results" / "kills.json"
SEED = 7
STARTS = re.compile(r"^Running stage '([^']+)'", re.MULTILINE)
LONGEST_S = 600.0
ENDED = "none: it had ended"


@dataclass(frozen=True)
class Kill:
    """One moment. `after_s`: since the stage began; `in_stage`: the one that ran then, after a late kill the next."""

    stage: str
    kind: str  # group | parent
    after_s: float
    in_stage: str
    equal: bool
    seconds: float  # of the next `dvc repro`
    left: list[str]  # files that no stage should have left
    said: str = ""  # where it failed, DVC's last words; `put aside`: the kill cut dvc.lock off (r2i.repo.lock_repair)


def run_calm(folder: Path) -> dict[str, float]:
    """Seconds of every stage that runs, in their order, its commit into the cache counted in."""
    process = start(folder, environment(folder))
    began: dict[str, float] = {}
    while process.poll() is None:
        for stage in STARTS.findall(said(folder)):
            began.setdefault(stage, time.monotonic())
        time.sleep(0.02)
    if process.returncode:
        raise RuntimeError(said(folder)[-3000:])
    times = [*began.values(), time.monotonic()]
    return {stage: after - at for stage, at, after in zip(began, times, times[1:], strict=False)}


def forget(cache: Path, command: str) -> None:
    """Remove what the run-cache holds of the stage with `command`."""
    entries = [path for path in (cache / "runs").rglob("*") if path.is_file()]
    for path in entries:
        if yaml.safe_load(path.read_text(encoding="utf-8"))["cmd"] == command:
            path.unlink()
            if not any(path.parent.iterdir()):  # DVC 3.67 fails where it finds the folder empty
                path.parent.rmdir()


def kill_in_time(scratch: Path, calm: Path, stage: str, after: float, kind: str) -> Kill:
    """Half as late, and so on, where the run had ended: the undisturbed one may have been slower."""
    while (done := kill_once(scratch, calm, stage, after, kind)).in_stage == ENDED:
        after /= 2
    return done


def kill_once(scratch: Path, calm: Path, stage: str, after: float, kind: str) -> Kill:
    folder = scratch / "killed"
    shutil.copytree(scratch.parent / "clone", folder, symlinks=True)
    shutil.copytree(calm / ".dvc" / "cache", folder / ".dvc" / "cache", copy_function=os.link)
    forget(folder / ".dvc" / "cache", lock(calm)[stage]["cmd"])
    process = start(folder, environment(folder))
    try:
        wait_for_stage(folder, process, stage)
        time.sleep(after)
        found = STARTS.findall(said(folder))[-1] if process.poll() is None else ENDED
        if process.poll() is None:
            kill(process, kind == "group")
        began = time.monotonic()
        mended = "put aside" if "dvc.lock" in run(folder, sys.executable, "-m", "r2i.cli.main", "mend").stdout else ""
        repro(folder)
        seconds = time.monotonic() - began
        wait_for_orphans(process.pid)
        status = run(folder, "dvc", "status").stdout
        equal = outs(folder) == outs(calm) and "up to date" in status
        words = mended if equal else status[-2000:]
    except AssertionError as error:
        equal, words, seconds, found = False, str(error)[-2000:], -1.0, "failed"
        wait_for_orphans(process.pid)
    done = Kill(stage, kind, round(after, 2), found, equal, round(seconds, 1), strays(folder), words)
    shutil.rmtree(scratch)
    return done


def lock(folder: Path) -> dict[str, Any]:
    return dict(read_lock(folder / "dvc.lock").stages)


def wait_for_stage(folder: Path, process: "subprocess.Popen[str]", stage: str) -> None:
    deadline = time.monotonic() + LONGEST_S
    while f"Running stage '{stage}'" not in said(folder):
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"{stage} did not run: {said(folder)[-2000:]}")
        time.sleep(0.01)


def wait_for_orphans(group: int) -> None:
    """Until no process of the killed run is left: its stage goes on where `dvc` alone was killed."""
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(group, signal.SIGKILL)


def strays(folder: Path) -> list[str]:
    """Part files, and old tables: what a stage leaves beside its outputs when it is killed and never cleans up."""
    below = [path for name in ("data", "models", "metrics") for path in (folder / name).rglob(".*")]
    return sorted(str(path.relative_to(folder)) for path in below if path.name != ".gitignore")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=int)
    args = parser.parse_args()
    code = note_code(*STAGES, "r2i.repo.lock_repair", profiles=["smoke"])
    chance, kills = random.Random(SEED), []
    with tempfile.TemporaryDirectory(prefix="r2i-kills-") as made:
        calm = Path(made) / "calm"
        shutil.copytree(clone(Path(made) / "clone"), calm, symlinks=True)
        stages = run_calm(calm)
        moments = [(stage, kind) for kind in ("group", "parent") for stage in stages]
        chance.shuffle(moments)
        for number, (stage, kind) in enumerate(moments[: args.only]):
            after = chance.uniform(0, stages[stage])
            kills.append(kill_in_time(Path(made) / str(number), calm, stage, after, kind))
            print(kills[-1], flush=True)
            write_result(RESULT, summarise(stages, kills), code)
    return 0 if all(kill.equal for kill in kills) else 1


def summarise(stages: dict[str, float], kills: list[Kill]) -> dict[str, Any]:
    return {
        "seed": SEED,
        "kills": len(kills),
        "equal": sum(kill.equal for kill in kills),
        "lock_cut_off": sum(kill.said == "put aside" for kill in kills),
        "left": sum(bool(kill.left) for kill in kills),
        "stages_s": {stage: round(seconds, 1) for stage, seconds in stages.items()},
        "moments": [asdict(kill) for kill in kills],
    }


if __name__ == "__main__":
    sys.exit(main())
