"""Attention is kept batch by batch: a killed stage measures what is missing, and writes the same."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_run import run_stage, write_params

from r2i.benchmark.rendered import render_items
from r2i.core import paths
from r2i.core.catalogue import BENCHMARK
from r2i.core.params import Drawing, load_params
from r2i.core.tables import write_table
from r2i.evaluate import attention
from r2i.evaluate.looks import KeptLooks

ROOT = Path(__file__).parents[2]
DIES = f"""
import os, runpy, signal, sys
from r2i.evaluate import attention

real, asked = attention.capture_attention, []
def capture(*args):
    asked.append(args)
    if len(asked) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args)

attention.BATCH_TOKENS, attention.capture_attention = 1, capture
sys.argv = ["evaluate.py", "--model", "base"]
runpy.run_path({str(ROOT / "stages" / "evaluate.py")!r}, run_name="__main__")
"""


@pytest.fixture
def batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The smoke profile on few items; the sizes of the batches that the model has looked at."""
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["profiles"]["smoke"]["evaluate"] |= {"views": ["full"], "samples": 0}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    shutil.copytree(ROOT / "models/mini", "models/mini")
    write_table(BENCHMARK.folder, list(render_items(6, Drawing(), seed=1)), BENCHMARK.schema)
    asked, real = [], attention.capture_attention

    def capture(model: Any, inputs: Any, *more: Any) -> Any:
        asked.append(len(inputs["input_ids"]))
        return real(model, inputs, *more)

    monkeypatch.setattr(attention, "BATCH_TOKENS", 1)  # an item is a batch
    monkeypatch.setattr(attention, "capture_attention", capture)
    return asked


def results() -> tuple[bytes, bytes]:
    (part,) = (paths.ATTENTION / "base").glob("*.parquet")
    return part.read_bytes(), Path("metrics/evaluate-base.json").read_bytes()


def evaluate(monkeypatch: pytest.MonkeyPatch) -> tuple[bytes, bytes]:
    run_stage(monkeypatch, "evaluate", "--model", "base")
    return results()


def test_a_killed_stage_goes_on_after_its_last_batch(batches: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    died = subprocess.run([sys.executable, "-c", DIES], capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]
    assert not list(paths.ATTENTION.glob("base/*"))
    resumed, asked = evaluate(monkeypatch), len(batches)
    shutil.rmtree(".r2i")
    batches.clear()
    assert evaluate(monkeypatch) == resumed
    assert len(batches) == asked + 2  # which the killed one had measured


def test_a_batch_is_looked_at_anew_for_whatever_decides_about_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    params = load_params(Path("params.yaml"))
    rows = [{"coverage": 1 / 3, "map": [0.1], "heads": [None]}]
    measured: list[str] = []

    def look(weights: str, which: str, *batch: str) -> list[dict[str, Any]]:
        return KeptLooks(params, which, weights).rows(batch, lambda: measured.append(weights) or rows)

    for _ in range(2):
        for ways in (("w", "base", "a"), ("v", "base", "a"), ("w", "distilled", "a"), ("w", "base", "a", "b")):
            assert look(*ways) == rows
    assert len(measured) == 4
