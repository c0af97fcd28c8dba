import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from r2i.cli.main import app
from r2i.core.errors import R2IError
from r2i.core.fingerprint import chosen_params
from r2i.core.params import CHAIN, Endpoint, Params, load_params
from r2i.tools.cost import (
    Funnel,
    Scale,
    estimate,
    images_for,
    images_within,
    planned,
    read_funnel,
    server_starts,
    total_cost,
    unpriced,
)
from r2i.tools.replies.stats import read_call_log

ROOT = Path(__file__).parents[2]
MINI = "models/mini"
JUDGE = "moonshotai/Kimi-K2-Instruct-0905"
DONE = {"sample": {"status": {"ok": 10, "rejected": 5}}, "overlay": {"status": {"ok": 4, "rejected": 9}}}
FUNNEL = Funnel(0.4, "the last run", True)


@pytest.fixture
def params() -> Params:
    return load_params(ROOT / "params.yaml")


def choose(params: Params, profile: str, **sections: Any) -> Params:
    changed = params.profiles[profile].model_copy(update=sections)
    return params.model_copy(update={"profile": profile, "profiles": {profile: changed}})


def calls(model: str, requests: int, samples: int) -> dict[str, object]:
    return {"calls": {model: {"requests": requests, "samples": samples, "tokens_in": 1000, "tokens_out": 100}}}


def priced(params: Params) -> Params:
    """mini, its one teacher behind a server with a price."""
    endpoint = Endpoint.model_validate({"kind": "openai", "base_url": "http://x/v1", "model": "big",
                                        "price": {"input": 2.0, "output": 10.0}})  # fmt: skip
    answer = params.profiles["mini"].answer
    teachers = [answer.teachers[0].model_copy(update={"endpoint": endpoint})]
    return choose(params, "mini", answer=answer.model_copy(update={"teachers": teachers}))


def test_a_sample_is_scaled_by_its_images_and_an_evaluation_by_its_items(params: Params) -> None:
    metrics = DONE | {
        "answer": calls(MINI, 60, 480),
        "benchmark": {"status": {"ok": 720}},
        "evaluate-base": calls(MINI, 72, 144),
    }
    lines = {line.stage: line for line in estimate(params, Scale(1000, 400, 7200), metrics, {})}
    answer = lines["answer"]
    assert (answer.requests, answer.samples, answer.tokens_in, answer.tokens_out) == (6000, 48000, 100_000, 10_000)
    assert answer.sampled and not lines["question"].sampled
    assert answer.cost is None and answer.seconds is None
    assert (lines["evaluate@base"].requests, lines["evaluate@base"].sampled) == (720, True)
    assert not lines["evaluate@sft"].sampled


def test_without_a_sample_params_are_the_bound_of_every_call(params: Params) -> None:
    chosen = choose(params, "paper")
    profile = chosen.chosen
    lines = {(line.stage, line.model): line for line in estimate(chosen, Scale(100, 37, 845), {}, {})}
    regions = 100 * profile.crop.per_image
    questions = regions * profile.question.per_crop
    teacher = profile.question.teacher.model
    assert lines["crop", teacher].requests == 100
    assert lines["question", teacher].requests == regions + questions
    first, second = profile.answer.teachers
    assert lines["answer", first.endpoint.model].samples == questions * first.samples
    assert lines["answer", second.endpoint.model].requests == questions
    assert lines["vote", JUDGE].requests == questions
    assert lines["overlay", profile.overlay.student.model].samples == questions * profile.overlay.tries
    assert lines["train@dapo", "Qwen/Qwen3-VL-4B-Instruct"].requests == pytest.approx(37 * 3 * 8 * 0.1)
    # eight views and a zoom's first step, then eight samples of the full view; two models, each with the judge
    for name, model in (("base", "Qwen/Qwen3-VL-8B-Instruct"), ("distilled", "models/distilled")):
        assert (lines[f"evaluate@{name}", model].requests, lines[f"evaluate@{name}", model].samples) == (8450, 14365)
        assert lines[f"evaluate@{name}", JUDGE].requests == pytest.approx(845 * 16 * 0.1)
    assert not any(line.sampled for line in lines.values())


def test_price_and_history_give_cost_and_time(params: Params, tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    entry = {"stage": "answer", "model": "big", "samples": 100, "seconds": 50.0}
    file.write_text(json.dumps(entry) + "\n" + json.dumps(entry | {"seconds": 150.0}) + '\n{"model": "bi')
    metrics = DONE | {"answer": calls("big", 60, 480)}
    lines = estimate(priced(params), Scale(100, 40, 0), metrics, read_call_log(file))
    (line,) = (line for line in lines if line.stage == "answer")
    assert line.cost == pytest.approx(10_000 * 2 / 1e6 + 1000 * 10 / 1e6)
    assert line.seconds == pytest.approx(4800 / 1.0)  # 200 samples in 200 s


def test_rows_are_turned_into_images_by_the_last_funnel(params: Params) -> None:
    funnel = read_funnel(DONE, 0.37)
    assert (funnel.rows_per_image, funnel.measured) == (0.4, True)
    assert images_for(37_000, funnel) == 92_500
    guess = read_funnel({}, 0.37)
    assert images_for(37_000, guess) == 100_000 and not guess.measured and "guess" in guess.source
    with pytest.raises(R2IError, match="no number of images"):
        images_for(1, read_funnel(DONE | {"overlay": {"status": {"rejected": 3}}}, 0.37))


def test_a_budget_buys_as_many_images_as_it_pays_for(params: Params) -> None:
    chosen, metrics = priced(params), DONE | {"answer": calls("big", 60, 480)}
    cost = 1000 / 10 * 2 / 1e6 + 100 / 10 * 10 / 1e6  # of one image
    images = images_within(chosen, 1.0, FUNNEL, 720, metrics)
    assert images == int(1.0 / cost)
    lines = estimate(chosen, Scale(images + 1, 0, 720), metrics, {})
    assert (total_cost(lines) or 0) > 1.0
    with pytest.raises(R2IError, match="raise --budget"):
        images_within(chosen, cost / 2, FUNNEL, 720, metrics)
    with pytest.raises(R2IError, match="any number of images"):
        images_within(params, 1.0, FUNNEL, 720, metrics)
    assert unpriced(chosen) == [] and JUDGE in unpriced(choose(params, "paper"))


def test_a_sample_without_images_is_no_sample(params: Params) -> None:
    with pytest.raises(R2IError, match="dvc repro sample"):
        estimate(params, Scale(10, 0, 0), {"answer": calls(MINI, 1, 1)}, {})


@pytest.mark.parametrize(
    "missing", ["evaluate benchmark", "train", "overlay train", "question answer vote overlay train"]
)
def test_sections_that_are_left_out_ask_nothing(params: Params, missing: str) -> None:
    chosen = choose(params, "mini", **dict.fromkeys(missing.split()))
    stages = {use.stage.partition("@")[0] for use in planned(chosen, Scale(5, 2, 3))}
    assert stages.isdisjoint(missing.split())


def test_each_stage_starts_its_own_servers(params: Params) -> None:
    card = choose(params, "one-card")
    starts = server_starts(card)
    evaluations = {f"evaluate@{name}": 2 for name in card.evaluated}  # the model and its judge
    assert {stage: len(ends) for stage, ends in starts.items()} == {
        "crop": 1, "question": 1, "answer": 2, "vote": 1, "overlay": 2, **evaluations,
    }  # fmt: skip
    paper = choose(params, "paper")  # others' servers, and each evaluated model by itself
    assert set(server_starts(paper)) == {f"evaluate@{name}" for name in paper.evaluated}


def run(*words: str) -> str:
    done = CliRunner().invoke(app, ["estimate", "--params", "params.yaml", *words])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("R2I_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("COLUMNS", "180")
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    return tmp_path


def test_the_command_prints_a_table(folder: Path) -> None:
    said = run("--images", "7")
    assert "7 images" in said and "overlay" in said and "evaluate@sft" in said and "720 benchmark items" in said


def test_rows_and_budget_of_the_command(folder: Path) -> None:
    text = (folder / "params.yaml").read_text().replace("profile: mini", "profile: one-gpu", 1)
    teacher = "        kind: openai\n        model: zai-org/GLM-4.5V\n"
    price = "        price:\n          input: 0.6\n          output: 1.8\n"
    (folder / "params.yaml").write_text(text.replace(teacher, teacher + price))
    said = run("--rows", "37000")
    assert "100,000 images, 37,000 train rows, 845 benchmark items" in said and "a guess" in said
    assert "train@sft" in said and "without a price" in said
    assert "500.00 buys about" in run("--budget", "500")
    done = CliRunner().invoke(app, ["estimate", "--budget", "5", "--rows", "3"])
    assert done.exit_code == 1 and "leave --images and --rows out" in done.output


def test_metrics_are_a_sample_where_they_are_of_this_profile_with_any_number_of_images(folder: Path) -> None:
    text = (folder / "params.yaml").read_text()
    params = load_params(folder / "params.yaml")
    chosen = chosen_params(params)
    kept = {stage: {name: chosen[name] for name in ("seed", stage)} for stage in CHAIN}
    stages = {
        stage: {
            "cmd": "x",
            "params": {"data/code/params.yaml": kept[stage]},
            "outs": [{"path": f"metrics/{stage}.json", "md5": "1"}],
        }
        for stage in CHAIN
    }
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    (folder / "metrics").mkdir()
    for name, values in DONE.items():
        (folder / "metrics" / f"{name}.json").write_text(json.dumps(values))

    def written(old: str, new: str) -> str:
        assert old in text
        (folder / "params.yaml").write_text(text.replace(old, new, 1))
        return run()

    assert "the last run: 4 of 10 images" in run()
    assert "the last run: 4 of 10 images" in written("images: 700", "images: 90000")
    assert "a guess" in written("drop_at: 3", "drop_at: 2")
    assert "a guess" in written("profile: mini", "profile: paper")
