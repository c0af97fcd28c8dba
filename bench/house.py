"""How the house stands: its size, what an edited comment reruns, an idle `dvc repro`, seconds of the tests.

`python bench/house.py` (`make counts`) clones the committed repository and an earlier revision, runs the smoke profile
in both, and compares their idle `dvc repro` turn by turn: about four minutes. `--tests` also runs `.ci/run` in the
clone, `make test` within it timed; without it these two figures are kept as they were, with their revision, and so are
those of the repro with `--quick`. Writes bench/results/house.json and prints it.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.result import STAGES, note_code, write_result

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "bench" / "results" / "house.json"
EARLIER = "5a7a70b"  # the last revision whose stages depended on the bytes of code
EDITED = "r2i/endpoint/limit.py"
TESTS = ("test_seconds", "ci_seconds", "tests_revision")
REPRO = ("idle_ratio", "idle_seconds", "idle_seconds_earlier", "comment_edit_reruns", "repro_revision")
TURNS = 5


def run(folder: Path, *command: str, check: bool = True) -> str:
    """What `command` prints in `folder`, with that folder's code."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(folder), "DVC_NO_ANALYTICS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env, check=False)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(command)} in {folder}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def clone(folder: Path, revision: str) -> Path:
    run(ROOT, "git", "clone", "--quiet", str(ROOT), str(folder))
    run(folder, "git", "checkout", "--quiet", revision)
    return folder


def repro_smoke(folder: Path) -> Path:
    params = folder / "params.yaml"
    params.write_text(
        params.read_text(encoding="utf-8").replace("profile: mini", "profile: smoke", 1), encoding="utf-8"
    )
    run(folder, "dvc", "repro")
    return folder


def idle_ratio(now: Path, earlier: Path) -> dict[str, float]:
    """Medians of an idle `dvc repro`, seconds, turn by turn in both, and their ratio."""
    seconds: dict[Path, list[float]] = {now: [], earlier: []}
    for _ in range(TURNS):
        for folder, taken in seconds.items():
            started = time.perf_counter()
            printed = run(folder, "dvc", "repro")
            taken.append(time.perf_counter() - started)
            assert "Running stage" not in printed, printed
    here, there = (statistics.median(seconds[folder]) for folder in (now, earlier))
    return {"idle_ratio": here / there, "idle_seconds": here, "idle_seconds_earlier": there}


def comment_edit_reruns(folder: Path) -> list[str]:
    """The stages that run after a comment was added to a file that ten of them import."""
    path = folder / EDITED
    path.write_text(path.read_text(encoding="utf-8") + "\n# a comment\n", encoding="utf-8")
    return re.findall(r"Running stage '([^']+)'", run(folder, "dvc", "repro"))


def lines_of(name: str) -> int:
    return len((ROOT / name).read_text(encoding="utf-8").splitlines())


def counts() -> dict[str, int]:
    loose = [path for path in (ROOT / "r2i").glob("*.py") if path.name != "__init__.py"]
    rooms = [path for path in (ROOT / "r2i").iterdir() if (path / "__init__.py").is_file()]
    return {
        "dvc_yaml_lines": lines_of("dvc.yaml"),
        "dvc_lock_lines": lines_of("dvc.lock"),
        "readme_lines": lines_of("README.md"),
        "loose_modules": len(loose),
        "rooms": len(rooms),
    }


def ci_times(folder: Path) -> dict[str, float]:
    """Seconds of `.ci/run` in the clone, and of the `make test` in it."""
    started = time.perf_counter()
    printed = run(folder, "bash", ".ci/run")
    whole = time.perf_counter() - started
    (test,) = re.findall(r"^make test: (\d+) s$", printed, re.MULTILINE)
    return {"test_seconds": float(test), "ci_seconds": whole}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", action="store_true", help="run .ci/run too (a quarter of an hour)")
    parser.add_argument("--quick", action="store_true", help="count lines and rooms alone; keep the other figures")
    parser.add_argument("--earlier", default=EARLIER, help="the revision whose idle `dvc repro` is compared")
    told = parser.parse_args()
    code = note_code(*STAGES)
    before: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
    revision = run(ROOT, "git", "rev-parse", "--short", "HEAD").strip()
    result: dict[str, Any] = {**counts(), "revision": revision, "earlier": told.earlier, "cores": os.cpu_count()}
    result |= {name: before.get(name) for name in (*TESTS, *REPRO)}
    with tempfile.TemporaryDirectory(prefix="r2i-house-") as scratch:
        if told.tests:
            result |= ci_times(clone(Path(scratch) / "tests", "HEAD")) | {"tests_revision": revision}
        if not told.quick:
            now = repro_smoke(clone(Path(scratch) / "now", "HEAD"))
            result |= idle_ratio(now, repro_smoke(clone(Path(scratch) / "earlier", told.earlier)))
            result |= {"comment_edit_reruns": comment_edit_reruns(now), "repro_revision": revision}
    write_result(RESULT, result, code)
    print(RESULT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
