"""The whole DAG on the smoke profile, run by DVC as a newcomer would. `finished` (conftest.py) is one such run."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from clone import ROOT, run
from made_run import run_stage
from twins import differences, outs, repro_elsewhere

from r2i.core.params import CHAIN

pytestmark = pytest.mark.slow


def test_a_clean_clone_ends_with_metrics_and_a_report(finished: Path) -> None:
    scores = json.loads((finished / "metrics" / "evaluate.json").read_text())
    for view in ("full", "crop", "boxed"):
        for model in ("base", "distilled", "sft", "opd"):
            assert set(scores["views"][view][model]) >= {"accuracy", "ci95", "n"}
    assert {"base", "distilled", "change", "ci95"} <= set(scores["gap"])
    assert {"value", "ci95", "p_mcnemar"} <= set(scores["full_gain"])
    assert len(scores["by_dimension"]) == 6
    html = (finished / "data" / "report" / "report.html").read_text(encoding="utf-8")
    assert "<html" in html and "http://" not in html.replace("http://www.w3.org", "")


def test_every_row_of_every_table_has_a_status_and_counts_add_up(finished: Path) -> None:
    for stage, table in (("crop", "crop/regions"), ("question", "question/questions"), ("answer", "answer/answers")):
        rows = pq.read_table(finished / "data" / table, columns=["status", "reason"]).to_pylist()
        assert all((row["status"] == "ok") == (row["reason"] == "") for row in rows)
        metrics = json.loads((finished / "metrics" / f"{stage}.json").read_text())
        assert metrics["rows"] == len(rows) == sum(metrics["status"].values())


def test_a_second_repro_has_nothing_to_do(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"  # DVC locks the folder that it looks at, and others may be copying `finished`
    shutil.copytree(finished, copy, symlinks=True)
    again = run(copy, "dvc", "repro")
    assert again.returncode == 0 and "Running stage" not in again.stdout


FOLLOW_VOTE = {"train@dapo", "train@sft", "train@opd", "score", "audit", "report"}
BEFORE_VOTE = {"pretrain", "sample", "crop", "question", "answer", "benchmark", "evaluate@base"}


def set_agreement(copy: Path, agreement: int, *gone: str) -> None:
    """Another threshold of the vote; without the trainings `gone`, whose stages run and train nothing."""
    params = yaml.safe_load((copy / "params.yaml").read_text(encoding="utf-8"))
    smoke = params["profiles"]["smoke"]
    smoke["vote"]["min_agreement"] = agreement
    for run_of in gone:
        del smoke["train"][run_of]
    (copy / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def rerun(copy: Path, *words: str) -> set[str]:
    """The stages that `dvc repro` runs, or with `--dry` would run."""
    done = run(copy, "dvc", "repro", *words)
    assert done.returncode == 0, done.stderr[-3000:]
    return {line.split("'")[1] for line in done.stdout.splitlines() if line.startswith("Running stage")}


def test_a_new_threshold_reruns_vote_and_what_reads_its_rows_and_nothing_before(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy, symlinks=True)
    set_agreement(copy, 8)
    assert rerun(copy, "overlay") == {"code", "vote", "overlay"}
    following = rerun(copy, "--dry")
    assert following >= FOLLOW_VOTE and following.isdisjoint(BEFORE_VOTE)


@pytest.mark.long
def test_a_new_threshold_reruns_vote_and_all_that_follows(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy, symlinks=True)
    set_agreement(copy, 8, "sft", "opd")
    ran = rerun(copy)
    assert {"vote", "overlay", "train@dapo", "train@sft", "evaluate@distilled", "score", "audit", "report"} <= ran
    assert ran.isdisjoint(BEFORE_VOTE)


def test_another_clone_in_another_place_writes_the_same_lock(finished: Path, tmp_path: Path) -> None:
    """Up to one training of the three, the benchmark and the audit."""
    other = repro_elsewhere(tmp_path, "smoke", "train@dapo", "benchmark", "audit")
    ran = set(outs(other))
    assert {*CHAIN, "train@dapo", "benchmark", "audit"} <= ran
    assert differences(finished, other, set(outs(finished)) - ran) == []


@pytest.mark.long
def test_another_clone_writes_the_same_lock_to_the_end(finished: Path, tmp_path: Path) -> None:
    assert differences(finished, repro_elsewhere(tmp_path, "smoke")) == []


def test_twins_that_differ_are_told_apart_down_to_the_row(finished: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for name in ("data/vote/votes", "metrics"):
        shutil.copytree(finished / name, other / name)
    path = sorted((other / "data" / "vote" / "votes").glob("*.parquet"))[0]
    rows = pq.read_table(path)
    words = rows["question"].to_pylist()
    changed = pa.array([*words[:2], f"{words[2]}?", *words[3:]])
    path.unlink()  # DVC may have linked it
    pq.write_table(rows.set_column(rows.schema.get_field_index("question"), "question", changed), path)
    lock = yaml.safe_load((finished / "dvc.lock").read_text(encoding="utf-8"))
    for out in lock["stages"]["vote"]["outs"]:
        out["md5"] = "another"
    (other / "dvc.lock").write_text(yaml.safe_dump(lock), encoding="utf-8")
    assert differences(finished, other) == [f"vote: data/vote/votes/{path.name}: column question from row 2"]


STAGES = ["crop", "question", "answer", "vote", "overlay", "train", "score", "report", "audit", "evaluate"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_without_its_input_says_what_to_run_and_writes_nothing(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as done:
        run_stage(monkeypatch, stage, *(["--model", "base"] if stage == "evaluate" else []))
    stderr = capfd.readouterr().err
    assert done.value.code == 1, stderr
    assert stderr.startswith("error: ") and "\n  -> " in stderr and "Traceback" not in stderr
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]
