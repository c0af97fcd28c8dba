"""How fast the explorer and the report are with a million answers.

`python bench/explore.py` writes bench/results/explore.json, after `make repro`: what no teacher makes (benchmark,
predictions, attention, metrics) is taken from this workspace, everything else is made: ANSWERS answers, an eighth
as many questions, votes and train rows, in 8 shards each, in a folder of its own. Measured: `r2i explore` as a
process, from its start until it shows answers (`start_s`); REQUESTS different pages one after the other: filters,
deep pages, sorted ones, galleries, one in seven a search in short texts (`p95_ms`, and the median of each kind);
searches in all replies, which read them all (`reply_search_ms`, median of REPLY_SEARCHES, no part of `p95_ms`); the
most memory that it held (`rss_mb`); the stage `report` as a process.
`--scale 0.02` tries it with few.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from bench.explore_parts.ask import explorer, measure, peak_mb, reply_searches, requests  # noqa: E402 - needs the path
from bench.explore_parts.make import make_tables  # noqa: E402
from bench.result import note_code, write_result  # noqa: E402
from r2i.core import paths  # noqa: E402

RESULTS = ROOT / "bench" / "results" / "explore.json"
ANSWERS, REQUESTS, REPLY_SEARCHES = 1_000_000, 200, 7
TAKEN = (paths.BENCHMARK, paths.PREDICTIONS, paths.ATTENTION, paths.TRAIN_LOGS, Path("metrics"), Path("params.yaml"))


def make_workspace(at: Path, answers: int) -> None:
    """Tables of a large run in `at`, beside what is taken from here."""
    missing = [str(path) for path in TAKEN if not (ROOT / path).exists()]
    if missing:
        raise SystemExit(f"not here: {', '.join(missing)}; run `make repro` first")
    make_tables(at, answers)
    for path in TAKEN:
        (at / path).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / path).is_dir() else shutil.copy
        copy(ROOT / path, at / path)


def run_report(at: Path) -> tuple[float, float]:
    """Seconds of `stages/report.py`, and megabytes of its page."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    env.pop("DVC_ROOT", None)
    started = time.perf_counter()
    subprocess.run([sys.executable, str(ROOT / "stages" / "report.py")], cwd=at, env=env, check=True)
    return time.perf_counter() - started, (at / paths.REPORT).stat().st_size / 1e6


def main(scale: float, results: Path) -> None:
    code = note_code(ROOT / "stages" / "report.py", "r2i.cli.explore")
    rows = round(ANSWERS * scale)
    with tempfile.TemporaryDirectory(prefix="r2i-explore-") as folder:
        at = Path(folder)
        started = time.perf_counter()
        make_workspace(at, rows)
        print(f"made {rows:,} answers in {time.perf_counter() - started:.0f} s", flush=True)
        with explorer(at, ROOT) as (address, process, start):
            times = measure(address, requests(REQUESTS, rows))
            long = measure(address, reply_searches(REPLY_SEARCHES))
            memory = peak_mb(process)
        report, size = run_report(at)
    kinds = sorted({kind for kind, _ in times})
    found = {
        "rows": rows,
        "start_s": round(start, 2),
        "p95_ms": round(statistics.quantiles((ms for _, ms in times), n=20)[-1]),
        "rss_mb": round(memory),
        "report_s": round(report, 1),
        "report_mb": round(size, 2),
        "reply_search_ms": round(statistics.median(ms for _, ms in long)),
        "requests": REQUESTS,
        "slowest_ms": round(max(ms for _, ms in times)),
        "median_ms": {kind: round(statistics.median(ms for of, ms in times if of == kind)) for kind in kinds},
        "processors": os.cpu_count(),
    }
    write_result(results, found, code)
    print(json.dumps(found, indent=2, sort_keys=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of rows")
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    main(chosen.scale, chosen.results)
