"""How long the main job takes for a newcomer, and whether a second clone ends with the same lock.

`python bench/pipeline.py [--twin]` clones the committed repository into a temporary folder, runs
`make setup`, `dvc repro` and a second, idle `dvc repro` there, and writes
bench/results/pipeline.json. With --twin a second clone repeats the run under another path, locale,
time zone and hash seed, and the locks are compared.
"""

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import yaml

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
        for child in task.read_text().split():
            found += [int(child), *_descendants(int(child))]
    return found


def _resident(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * resource.getpagesize()


def clone(folder: Path) -> Path:
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    return folder


def outs(folder: Path) -> dict[str, Any]:
    stages = yaml.safe_load((folder / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    return {name: stage.get("outs") for name, stage in stages.items() if name != "pretrain"}


def main(twin: bool) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        first = clone(Path(scratch) / "first")
        committed = outs(first) if (first / "dvc.lock").exists() else None
        memory = Memory()
        memory.start()
        result: dict[str, Any] = {"setup_s": clock(first, "make", "setup")}
        result["repro_s"] = clock(first, "dvc", "repro")
        result["clone_to_report_s"] = result["setup_s"] + result["repro_s"]
        memory.done.set()
        result["peak_memory_gib"] = memory.peak
        result["idle_repro_s"] = clock(first, "dvc", "repro")
        result["same_as_committed_lock"] = None if committed is None else outs(first) == committed
        if twin:
            second = clone(Path(scratch) / "another place" / "second")
            clock(second, "make", "setup")
            clock(second, "dvc", "repro", TZ="Asia/Tokyo", LC_ALL="C", PYTHONHASHSEED="7")
            result["twin_has_the_same_lock"] = outs(first) == outs(second)
    result["cores"] = os.cpu_count()
    result["machine"] = platform.machine()
    rounded = {key: round(value, 1) if isinstance(value, float) else value for key, value in result.items()}
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(rounded, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(RESULT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main("--twin" in sys.argv)
