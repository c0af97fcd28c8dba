"""docs/measurements.md has every result, with its revision, and no figure of older code without a mark."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import bench.result
import r2i.report.measured as measured
from bench.result import merge_result, note_code, write_result
from r2i.core.errors import R2IError
from r2i.core.metrics import write_metrics
from r2i.repo.lock import file_md5
from r2i.report.benches import BENCHES, RESULTS, read_results
from r2i.report.markdown import BEGIN, END, OLDER, PAGE, README, update_readme
from r2i.report.measured import MEASURED, describe_code, read_provenance

ROOT = Path(__file__).parents[2]
KILLS = {"kills": 30, "equal": 29}
METRICS = ("metrics/evaluate.json", "metrics/audit.json")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stage `score` that a lock describes, its metrics, one bench with a result."""
    monkeypatch.chdir(tmp_path)
    for module in (measured, bench.result):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    for name in METRICS:
        write_metrics(Path(name), json.loads((ROOT / name).read_text(encoding="utf-8")))
    Path("work.py").write_text("x = 1\n")
    Path("data/code").mkdir(parents=True)
    digest = measured.file_digest(Path("work.py"))
    Path("data/code/score.txt").write_text(f"work.py {digest}\nscore.seed: 0\n")
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"))
    README.write_text(f"{BEGIN}\n{END}\n")
    write_lock()
    return tmp_path


def write_lock() -> None:
    code = Path("data/code/score.txt")
    outs = [{"path": name, "md5": file_md5(Path(name))} for name in METRICS]
    stage = {"deps": [{"path": str(code), "md5": file_md5(code)}], "params": {"params.yaml": {"seed": 0}}, "outs": outs}
    Path("dvc.lock").write_text(json.dumps({"stages": {"score": stage}}))


def kept(**changes: Any) -> dict[str, Any]:
    record = {"revision": "a" * 40, "dirty": False, "code": {"work.py": measured.file_digest(Path("work.py"))}}
    return {**KILLS, MEASURED: {"kills": {**record, **changes}}}


def test_figures_of_this_code_stand_with_their_revision_and_without_a_mark(repository: Path) -> None:
    write_metrics(RESULTS / "kills.json", kept())
    assert update_readme() == [README, PAGE] and update_readme() == []
    page = PAGE.read_text(encoding="utf-8")
    assert OLDER not in page + README.read_text(encoding="utf-8")
    assert "30 times `kill -9`" in page and "`aaaaaaaaaaaa`" in page and "python bench/kills.py" in page


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("code", "bench/results/kills.json: `aaaaaaaaaaaa`; changed since: `work.py`"),
        ("revision", "bench/results/kills.json: no revision recorded"),
        ("run", "metrics/evaluate.json, metrics/audit.json: `work.py`"),
        ("params", "metrics/evaluate.json, metrics/audit.json: `params.yaml: seed`"),
        ("metrics", "metrics/evaluate.json, metrics/audit.json: `metrics/audit.json`"),
        ("lock", "metrics/evaluate.json, metrics/audit.json: `no dvc.lock"),
    ],
)
def test_figures_of_older_code_are_refused_by_name_or_marked(repository: Path, change: str, expected: str) -> None:
    write_metrics(RESULTS / "kills.json", kept())
    if change in ("code", "run"):
        Path("work.py").write_text("x = 2\n")
    elif change == "revision":
        write_metrics(RESULTS / "kills.json", KILLS)
    elif change == "params":
        Path("params.yaml").write_text(
            (ROOT / "params.yaml").read_text(encoding="utf-8").replace("seed: 0", "seed: 1", 1)
        )
    elif change == "metrics":
        write_metrics(Path("metrics/audit.json"), {"available": False})
    else:
        Path("dvc.lock").unlink()
    with pytest.raises(R2IError, match=re.escape(expected)) as refused:
        update_readme()
    assert ("python bench/kills.py" if "kills" in expected else "make repro") in str(refused.value)
    assert not PAGE.exists()
    update_readme(older=True)
    assert OLDER in PAGE.read_text(encoding="utf-8")
    assert (OLDER in README.read_text(encoding="utf-8")) == ("kills" not in expected or change == "code")


def test_a_comment_makes_no_figure_old(repository: Path) -> None:
    write_metrics(RESULTS / "kills.json", kept())
    Path("work.py").write_text("# said better\nx = 1\n")
    assert update_readme()


def test_a_part_that_was_run_alone_does_not_vouch_for_the_others(repository: Path) -> None:
    path, record = RESULTS / "endpoint.json", kept()[MEASURED]["kills"]
    write_metrics(path, {"bound": 1})
    merge_result(path, {"faults": 2}, record, "faults", ["bound", "faults"])
    result = json.loads(path.read_text())
    assert (result["bound"], result["faults"]) == (1, 2) and not read_provenance(result).revision
    merge_result(path, {"bound": 3}, record, "bound", ["bound", "faults"])
    assert read_provenance(json.loads(path.read_text())).current


def test_changes_of_models_and_params_make_a_figure_old(repository: Path) -> None:
    write_metrics(RESULTS / "kills.json", kept(code={"dvc.lock: metrics/audit.json": "0", "params.yaml: mini": "0"}))
    changed = read_provenance(json.loads((RESULTS / "kills.json").read_text())).changed
    assert set(changed) == {"dvc.lock: metrics/audit.json", "params.yaml: mini"}


def test_a_bench_notes_the_code_that_it_needs(tmp_path: Path) -> None:
    record = note_code(profiles=["smoke"], outs=["models/mini"])
    assert len(record["revision"]) in (0, 40)  # no repository: no revision
    assert {"params.yaml: smoke", "dvc.lock: models/mini", "tests/report/test_measurements.py"} <= set(record["code"])
    assert "r2i/report/benches.py" in record["code"]  # what this module imports
    assert "bench/result.py" not in record["code"]
    write_result(tmp_path / "kills.json", KILLS, record)
    assert json.loads((tmp_path / "kills.json").read_text()) == {**KILLS, MEASURED: {"kills": record}}


def test_what_a_bench_names_and_is_not_there_is_an_error() -> None:
    with pytest.raises(R2IError, match="no-such-model"):
        describe_code(outs=["no-such-model"])


def test_every_result_has_a_bench() -> None:
    results = {path.stem for path in (ROOT / RESULTS).glob("*.json")}
    assert results <= {bench.name for bench in BENCHES}
    assert all((ROOT / "bench" / f"{bench.name}.py").is_file() for bench in BENCHES)


def test_the_page_has_the_figures_of_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    page = PAGE.read_text(encoding="utf-8")
    for found, values in read_results():
        assert found.describe(values) in page, f"{found.result} is newer than {PAGE}: `make readme`"
