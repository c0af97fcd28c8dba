"""`python bench/openrlhf_cpu.py`: seconds and memory of `make test-openrlhf`, OpenRLHF's real loop on a CPU.

Each run is a whole training of r2i's: start, steps, and what is left at the end. A killed and resumed one counts both
its starts. Memory is the summed PSS of all its processes, MB. Writes bench/results/openrlhf_cpu.json.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path

from bench.result import ROOT, note_code, write_result
from r2i.core.errors import R2IError
from r2i.core.stage import explained

RESULT = ROOT / "bench" / "results" / "openrlhf_cpu.json"
TESTS = ROOT / "tests" / "real_openrlhf"


def main() -> None:
    code = note_code(*sorted(TESTS.glob("*.py")), "r2i.train.openrlhf.run", "r2i.train.openrlhf.trainer")
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures.json"
        done = subprocess.run(
            ["make", "--no-print-directory", "test-openrlhf"],
            cwd=ROOT, env=os.environ | {"R2I_OPENRLHF_FIGURES": str(figures)},
        )  # fmt: skip
        if done.returncode:
            raise R2IError("make test-openrlhf failed, and nothing is recorded", "see above")
        runs = json.loads(figures.read_text(encoding="utf-8"))
    write_result(RESULT, {"runs": runs}, code)


if __name__ == "__main__":
    with explained():
        main()
