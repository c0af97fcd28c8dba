import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from r2i.cli.main import app
from r2i.core.errors import R2IError
from r2i.core.params import Endpoint, Params, load_params
from r2i.tools.cost import estimate, planned
from r2i.tools.replies.stats import read_call_log

MINI = "models/mini"


@pytest.fixture
def params() -> Params:
    return load_params(Path(__file__).parents[2] / "params.yaml")


def calls(model: str, requests: int, samples: int) -> dict[str, object]:
    return {"calls": {model: {"requests": requests, "samples": samples, "tokens_in": 1000, "tokens_out": 100}}}


def test_a_sample_is_scaled_by_its_images(params: Params) -> None:
    metrics = {"sample": {"status": {"ok": 10, "rejected": 5}}, "answer": calls(MINI, 60, 480)}
    lines = {line.stage: line for line in estimate(params.profiles["mini"], 1000, metrics, {})}
    answer = lines["answer"]
    assert (answer.requests, answer.samples, answer.tokens_in, answer.tokens_out) == (6000, 48000, 100_000, 10_000)
    assert answer.sampled and not lines["question"].sampled
    assert answer.cost is None and answer.seconds is None


def test_without_a_sample_params_are_the_bound(params: Params) -> None:
    profile = params.profiles["paper"]
    lines = {(line.stage, line.model): line for line in estimate(profile, 100, {}, {})}
    regions = 100 * profile.crop.per_image
    questions = regions * profile.question.per_crop
    assert lines["question", profile.question.teacher.model].requests == regions + questions
    first, second = profile.answer.teachers
    assert lines["answer", first.endpoint.model].samples == questions * first.samples
    assert lines["answer", second.endpoint.model].requests == questions
    assert lines["vote", "moonshotai/Kimi-K2-Instruct"].requests == questions
    assert lines["overlay", profile.overlay.student.model].samples == questions * profile.overlay.tries
    assert not any(line.sampled for line in lines.values())


def test_price_and_history_give_cost_and_time(params: Params, tmp_path: Path) -> None:
    endpoint = Endpoint.model_validate({"kind": "openai", "base_url": "http://x/v1", "model": "big",
                                        "price": {"input": 2.0, "output": 10.0}})  # fmt: skip
    mini = params.profiles["mini"]
    teachers = [mini.answer.teachers[0].model_copy(update={"endpoint": endpoint})]
    profile = mini.model_copy(update={"answer": mini.answer.model_copy(update={"teachers": teachers})})
    file = tmp_path / "calls.jsonl"
    entry = {"stage": "answer", "model": "big", "samples": 100, "seconds": 50.0}
    file.write_text(json.dumps(entry) + "\n" + json.dumps(entry | {"seconds": 150.0}) + '\n{"model": "bi')
    metrics = {"sample": {"status": {"ok": 10}}, "answer": calls("big", 60, 480)}
    lines = estimate(profile, 100, metrics, read_call_log(file))
    (line,) = (line for line in lines if line.stage == "answer")
    assert line.cost == pytest.approx(10_000 * 2 / 1e6 + 1000 * 10 / 1e6)
    assert line.seconds == pytest.approx(4800 / 1.0)  # 200 samples in 200 s


def test_a_sample_without_images_is_no_sample(params: Params) -> None:
    with pytest.raises(R2IError, match="dvc repro sample"):
        estimate(params.profiles["mini"], 10, {"answer": calls(MINI, 1, 1)}, {})


def test_one_line_for_each_stage_and_model(params: Params) -> None:
    keys = [(use.stage, use.endpoint.model) for use in planned(params.profiles["mini"], 5)]
    lines = estimate(params.profiles["mini"], 5, {}, {})
    assert [(line.stage, line.model) for line in lines] == list(dict.fromkeys(keys))


def test_the_command_prints_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("R2I_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("COLUMNS", "150")
    done = CliRunner().invoke(app, ["estimate", "--images", "7", "--params", str(root / "params.yaml")])
    assert done.exit_code == 0, done.output
    assert "7 images" in done.output and "overlay" in done.output
