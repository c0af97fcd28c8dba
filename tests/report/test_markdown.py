"""The README's numbers come from metrics, and only between the markers."""

import json
import subprocess
from pathlib import Path

import pytest
from made_run import write_params

from r2i.core.errors import R2IError
from r2i.core.metrics import write_metrics
from r2i.report.markdown import BEGIN, END, update_readme

ROOT = Path(__file__).parents[2]
SHARE = {"value": 0.5, "n": 10}
SCORES = {
    "views": {
        view: {model: {"accuracy": 0.5, "ci95": [0.4, 0.6], "n": 100} for model in ("base", "distilled", "sft", "opd")}
        for view in ("full", "crop", "boxed")
    },
    "gap": {"base": 0.4, "distilled": 0.1, "change": -0.3, "ci95": [-0.4, -0.2], "closed_share": 0.75},
    "full_gain": {"value": 0.3, "ci95": [0.2, 0.4], "p_mcnemar": 0.0001},
    "pass_at_k": {"base": {"1": 0.45, "8": 0.9}},
    "chance": 0.25,
    "items": 720,
}
AUDIT = {
    "available": True,
    "regions": {"recall": SHARE},
    "questions": {"before": {"good": SHARE}, "after": {"good": SHARE}},
    "answers": {"single": SHARE},
    "votes": {"kept": SHARE, "dropped": {"value": None, "n": 0}},
    "train": {"label_precision": SHARE},
}


def test_numbers_are_replaced_between_the_markers_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    write_metrics(Path("metrics/evaluate.json"), SCORES)
    write_metrics(Path("metrics/audit.json"), AUDIT)
    readme = Path("README.md")
    readme.write_text(f"before\n{BEGIN}\nstale 99 %\n{END}\nafter\n")
    assert update_readme(older=True) and not update_readme(older=True)  # the second time there is nothing to change
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "stale" not in text
    assert "40.0 → 10.0 points, 75 % closed" in text  # 100 x 0.4 and 100 x 0.1
    page = Path("docs/measurements.md").read_text()
    assert "| voted answers that were thrown away and are right | - | 0 |" in page
    assert "40.0 → 10.0 points, 75 % closed" in page


def test_without_metrics_or_markers_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("README.md").write_text(f"{BEGIN}\n{END}")
    with pytest.raises(R2IError, match="make repro"):
        update_readme()
    Path("README.md").write_text("no markers")
    write_metrics(Path("metrics/evaluate.json"), SCORES)
    write_metrics(Path("metrics/audit.json"), AUDIT)
    with pytest.raises(R2IError, match="markers"):
        update_readme(older=True)


def committed(name: str) -> str:
    shown = subprocess.run(["git", "show", f"HEAD:{name}"], cwd=ROOT, capture_output=True, text=True)
    if shown.returncode:
        pytest.skip(f"no commit with {name} here")
    return shown.stdout


def test_the_committed_readme_has_the_committed_numbers() -> None:
    """An experiment may change the working tree; what is committed must agree with itself."""
    scores = json.loads(committed("metrics/evaluate.json"))
    accuracy = scores["views"]["full"]["distilled"]["accuracy"]
    assert f"{100 * accuracy:.1f} %" in committed("README.md")
