"""The scripts question, answer, vote and overlay, run in a row on a scripted model."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from made_rows import image_row, region_row
from teacher_fakes import FakeModel, connecting, sent

from r2i.core import paths
from r2i.core.errors import R2IError, TableError
from r2i.core.images import read_image
from r2i.core.records import ANSWERS, IMAGES, QUESTIONS, REGIONS, TRAIN, VOTES
from r2i.core.tables import read_table, write_table
from r2i.endpoint.base import Request

ROOT = Path(__file__).parents[2]
STAGES = ("question", "answer", "vote", "overlay")
NUMBERS = range(6)


def say(request: Request, sample: int) -> str:
    """A teacher and a student in one: reads the digit 5 nearly always, chooses option A."""
    if request.prompt.startswith("write"):
        return '[{"question": " what digit is on the red square?", "dimension": " ocr"}]'
    if request.prompt.endswith("check"):
        names = ("answerable_from_crop", "one_clear_answer", "same_in_both", "names_target")
        return json.dumps(dict.fromkeys(names, True))
    if request.prompt.endswith("wrong answers"):
        return '[" 3", " 8", " 1"]'
    if request.prompt.endswith("choose"):
        return "<answer> A</answer>"
    return "<answer> 5</answer>" if sample else "<answer> 6</answer>"


def run(stage: str) -> None:
    importlib.import_module(f"stages.{stage}").main(Path("params.yaml"))


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    """An empty folder with the tables of `sample` and `crop`; every endpoint is the scripted model."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    write_table(paths.IMAGES, [image_row(number) for number in NUMBERS], IMAGES)
    write_table(paths.REGIONS, [region_row(number) for number in NUMBERS], REGIONS)
    model = FakeModel(say)
    monkeypatch.setattr("r2i.endpoint.connect", connecting(model))
    return model


def all_bytes() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for root in ("data", "metrics") for path in sorted(Path(root).rglob("*.*"))}


def test_four_stages_in_a_row_give_training_rows(workplace: FakeModel) -> None:
    for stage in STAGES:
        run(stage)
    votes = read_table(paths.VOTES, VOTES, "vote")
    assert {(vote["answer"], vote["agree"], vote["status"]) for vote in votes} == {("5", 6, "ok")}  # 3 + 3 of 8
    rows = read_table(paths.TRAIN, TRAIN, "overlay")
    assert len({row["question_id"] for row in rows}) == len(NUMBERS)
    # the student says A every time: right 4 of 4 or 0 of 4
    assert {(row["status"], row["right"], row["label"] == "A") for row in rows} <= {
        ("ok", 0, False), ("rejected", 4, True),
    }  # fmt: skip
    for stage in STAGES:
        assert json.loads(paths.metrics(stage).read_text())["rows"] > 0


def test_metrics_count_the_calls_of_each_stage(workplace: FakeModel) -> None:
    asked = []
    for stage in STAGES:
        run(stage)
        asked.append(json.loads(paths.metrics(stage).read_text())["calls"].get("fake", {}).get("requests", 0))
    # a region: written, checked; a question: two teachers; no judge; wrong answers, the student
    assert asked == [2 * len(NUMBERS), 2 * len(NUMBERS), 0, 2 * len(NUMBERS)]
    assert len(workplace.asked) == sum(asked)
    assert sum(request.n for request in workplace.asked) == len(NUMBERS) * (2 + 8 + 1 + 4)


def test_a_teacher_sees_images_within_the_params_limit_and_rows_say_so(workplace: FakeModel) -> None:
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("      per_crop: 3\n", "      per_crop: 3\n      max_pixels: 400\n"))
    run("question")
    sizes = {read_image(data).size for request in workplace.asked for data in sent(request)}
    assert sizes == {(20, 20)}  # crops of 32 x 32 and images of 64 x 64: sides times sqrt(400 / pixels)
    rows = read_table(paths.QUESTIONS, QUESTIONS, "question")
    assert {json.loads(call["sampling"])["max_pixels"] for row in rows for call in (row, row["check"])} == {400}


def test_the_same_inputs_give_the_same_bytes(workplace: FakeModel) -> None:
    for stage in STAGES:
        run(stage)
    before = all_bytes()
    for stage in STAGES:
        run(stage)
    assert all_bytes() == before


def test_regions_that_were_dropped_are_not_asked_about(workplace: FakeModel) -> None:
    dropped = region_row(0) | {"crop": None, "status": "rejected", "reason": "too_small"}
    write_table(paths.REGIONS, [dropped, region_row(1)], REGIONS)
    run("question")
    assert {row["region_id"] for row in read_table(paths.QUESTIONS, QUESTIONS, "question")} == {"region-1"}


@pytest.mark.parametrize(
    ("stage", "folder", "made_by"),
    [
        ("question", paths.REGIONS, "crop"), ("question", paths.IMAGES, "sample"),
        ("answer", paths.QUESTIONS, "question"),
        ("vote", paths.ANSWERS, "answer"), ("vote", paths.QUESTIONS, "question"), ("overlay", paths.VOTES, "vote"),
        ("overlay", paths.IMAGES, "sample"),
    ],
)  # fmt: skip
def test_a_missing_input_names_the_stage_that_makes_it(
    workplace: FakeModel, stage: str, folder: Path, made_by: str
) -> None:
    for earlier in STAGES[: STAGES.index(stage)]:
        run(earlier)
    shutil.rmtree(folder)
    with pytest.raises(TableError) as caught:
        run(stage)
    assert str(folder) in caught.value.cause and made_by in caught.value.remedy
    assert not paths.metrics(stage).exists() and not Path("data", stage).exists()


def test_an_input_without_an_ok_row_is_an_error(workplace: FakeModel) -> None:
    write_table(paths.REGIONS, [region_row(1) | {"status": "rejected", "reason": "too_small"}], REGIONS)
    with pytest.raises(TableError, match=r"crop\.json"):
        run("question")


def test_an_empty_table_and_a_foreign_schema_are_errors(workplace: FakeModel) -> None:
    write_table(paths.QUESTIONS, [], QUESTIONS)
    with pytest.raises(TableError, match="no rows"):
        run("answer")
    write_table(paths.QUESTIONS, [region_row(1)], REGIONS)
    with pytest.raises(TableError, match="no column"):
        run("answer")


def test_tables_of_different_runs_are_an_error(workplace: FakeModel) -> None:
    write_table(paths.IMAGES, [image_row(1)], IMAGES)
    with pytest.raises(TableError, match="image-0"):
        run("question")


def test_a_stage_that_fails_leaves_the_old_table_alone(workplace: FakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    run("question")
    run("answer")
    before = all_bytes()

    def refuse(_: object) -> FakeModel:
        raise R2IError("no such model")

    monkeypatch.setattr("r2i.endpoint.connect", refuse)
    shutil.rmtree(".r2i/shards/answer")
    with pytest.raises(R2IError):
        run("answer")
    assert all_bytes() == before
    assert len(read_table(paths.ANSWERS, ANSWERS, "answer")) == 8 * len(NUMBERS)


@pytest.mark.parametrize("stage", STAGES)
def test_from_the_shell_an_error_is_cause_and_remedy_and_exit_code_1(stage: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    done = subprocess.run(
        [sys.executable, ROOT / "stages" / f"{stage}.py"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: no table in data/") and "-> run `dvc repro" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.yaml"]
