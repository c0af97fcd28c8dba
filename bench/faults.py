"""Hostile replies, files, stores, locks and pools: does any make a wrong row, lose a good one or cost one twice?

`python bench/faults.py` tries them all and writes bench/results/faults.json; `python bench/faults.py NAME ...` tries
some and only prints. Each of TRIES counts what was tried, and what was lost, invented, paid twice, let in and ended in
a traceback: all 0 where every input is a good row, a failed one with its reason, or an error that says what to do.
"""

import argparse
import contextlib
import io
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
# not bench itself, whose labs.py would hide tests/labs
sys.path[:] = [str(ROOT), str(ROOT / "tests"), *(path for path in sys.path if Path(path).resolve() != ROOT / "bench")]

from bench import faults_files, faults_locks, faults_replies  # noqa: E402 - needs the path
from bench.result import note_code, write_result  # noqa: E402

RESULT = ROOT / "bench" / "results" / "faults.json"
OUTCOMES = ("lost", "invented", "paid_twice", "let_in", "tracebacks")
TRIES: dict[str, Callable[[Path], dict[str, int]]] = {
    "replies": faults_replies.try_replies,
    "files": faults_files.try_files,
    "stores": faults_replies.try_stores,
    "locks": faults_locks.try_locks,
    "pools": faults_files.try_pools,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*TRIES, []], help="all, unless named")
    names = parser.parse_args().names
    for name in ("R2I_STORE", "R2I_REPLIES", "DVC_ROOT"):
        os.environ.pop(name, None)
    code, tried, outcomes = note_code(), {}, Counter(dict.fromkeys(OUTCOMES, 0))
    with tempfile.TemporaryDirectory() as folder:
        for name in names or TRIES:
            began = time.perf_counter()
            with contextlib.redirect_stderr(io.StringIO()):  # their warnings: one for every second input
                counts = Counter(TRIES[name](Path(folder) / name))
            tried[name] = counts.pop("tried")
            outcomes.update(counts)
            print(f"{name}, {time.perf_counter() - began:.0f} s: {tried[name]} tried, {dict(counts)}", flush=True)
    if not names:
        write_result(RESULT, {"tried": tried, **outcomes}, code)
    return int(outcomes.total() > 0)


if __name__ == "__main__":
    sys.exit(main())
