"""The trained models on questions that no choice of ours has seen.

Learning rate and views of the mini profile were chosen by looking at its benchmark, so that its
intervals are a little too friendly. `python bench/fresh.py [SEED]` renders a benchmark of another seed
(1 unless told), evaluates all registered models on it in a temporary folder, and writes
bench/results/fresh.json. Run `make repro` first.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.result import note_code, write_result
from r2i.core.params import load_params

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "bench" / "results" / "fresh.json"
MODELS = ("mini", "distilled", "sft", "opd")


def main(seed: int) -> None:
    scripts = [ROOT / "stages" / f"{name}.py" for name in ("benchmark", "evaluate", "score")]
    code = note_code(*scripts, profiles=["mini"], outs=[f"models/{name}" for name in MODELS])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        params = (ROOT / "params.yaml").read_text(encoding="utf-8")
        (folder / "params.yaml").write_text(params.replace("seed: 0", f"seed: {seed}", 1), encoding="utf-8")
        models = load_params(folder / "params.yaml").models
        for source in {model.needs for model in models.values() if (ROOT / model.needs / "config.json").is_file()}:
            shutil.copytree(ROOT / source, folder / source)
        stages = [["benchmark"], *(["evaluate", "--model", name] for name in models), ["score"]]
        for stage, *options in stages:
            command = [sys.executable, str(ROOT / "stages" / f"{stage}.py"), *options]
            subprocess.run(command, cwd=folder, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
        scores = json.loads((folder / "metrics" / "evaluate.json").read_text(encoding="utf-8"))
    kept = {key: scores[key] for key in ("views", "gap", "full_gain", "crop_change")}
    write_result(RESULT, {"seed": seed, **kept}, code)
    print(RESULT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
