"""How long the main job takes for a newcomer, and whether a second clone ends with the same lock.

`python bench/pipeline.py` clones the committed repository into a temporary folder, under another
time zone, locale and hash seed, runs `make setup`, `dvc repro` and a second, idle `dvc repro` there,
compares the lock with the committed one, and writes bench/results/pipeline.json.
"""

import os
import platform
import resource
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bench.result import STAGES, note_code, write_result
from r2i.core.errors import R2IError
from r2i.core.metrics import rounded
from r2i.core.stage import explained
from r2i.repo.lock import read_lock

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "bench" / "results" / "pipeline.json"


def clock(folder: Path, *command: str, **env: str) -> float:
    """Seconds that `command` takes in `folder`; its output goes to ours."""
    path = f"{folder / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, env={**os.environ, "PATH": path, "PYTHONPATH": str(folder), **env})
    return time.perf_counter() - started


class Memory(threading.Thread):
    """Peak of the summed resident memory of our child processes, sampled every half second, GiB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0.0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.5):
            self.peak = max(self.peak, sum(map(_resident, _descendants(os.getpid()))) / 2**30)


def _descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:  # gone since it was listed
            continue
        for child in children:
            found += [int(child), *_descendants(int(child))]
    return found


def _resident(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * resource.getpagesize()


def outs(folder: Path) -> dict[str, Any]:
    lock = read_lock(folder / "dvc.lock")
    return {name: lock.outs(name) for name in lock.stages if name != "pretrain"}


def main() -> None:
    code = note_code(*STAGES, profiles=["mini"])
    if code["dirty"]:
        raise R2IError("a clone has what is committed, and code here differs from it", "commit or stash it first")
    with tempfile.TemporaryDirectory() as scratch:
        clone = Path(scratch) / "another place" / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        committed = outs(clone)
        strange = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "7", "HF_HUB_OFFLINE": "0"}
        memory = Memory()
        memory.start()
        result: dict[str, Any] = {"setup_s": clock(clone, "make", "setup")}
        result["repro_s"] = clock(clone, "dvc", "repro", **strange)
        result["clone_to_report_s"] = result["setup_s"] + result["repro_s"]
        memory.done.set()
        result["peak_memory_gib"] = memory.peak
        result["idle_repro_s"] = clock(clone, "dvc", "repro", **strange)
        found = outs(clone)
        result["stages_that_differ_from_the_committed_lock"] = sorted(
            name for name in found if found[name] != committed.get(name)
        )
    result["cores"] = os.cpu_count()
    result["machine"] = platform.machine()
    write_result(RESULT, rounded(result, digits=1), code)
    print(RESULT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    with explained():
        main()
