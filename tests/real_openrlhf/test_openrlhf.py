"""OpenRLHF's real loop through r2i's launcher and executor: `make test-openrlhf`, four trainings of minutes.

One rank with sleep and a reference, killed and resumed; two ranks beside their engine, with a short last batch; a job
of a Ray cluster, with a judge.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if os.environ.get("R2I_OPENRLHF") != "1":
    pytest.skip("see `make test-openrlhf`", allow_module_level=True)

from endpoint.fake_server import choices, serve
from on_cpu import Run, environment, segments
from safetensors.torch import load_file

from r2i.endpoint import guard
from r2i.endpoint.launch import free_port

KEY = "sk-of-the-judge-alone"
GROUP = 8
Figures = dict[str, dict[str, float]]


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory, figures: Figures) -> Run:
    """One rank that shares its GPU with the engine, killed after step 3, whose last checkpoint is of step 2. A fifth of
    the rows is held out, and chooses the model."""
    folder, before = tmp_path_factory.mktemp("openrlhf") / "resumed", segments()
    told = {"rows": 56, "gpus": 1, "dapo": {"kl": 0.01, "overlong_buffer": 2}, "validation": 0.2, "choose": "best"}
    killed = Run(folder, told)
    killed.kill_after(step=3)
    assert not killed.left_alive() and segments() <= before
    run = Run(folder, told)
    run.wait()
    assert not run.left_alive() and segments() <= before
    run.seconds += killed.seconds
    run.peak_mb = max(run.peak_mb, killed.peak_mb)
    figures["one rank, killed and resumed"] = run.figures()
    return run


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory, figures: Figures) -> Run:
    """Two ranks and an engine of its own, over rows that fill no whole number of batches."""
    before = segments()
    cluster = {"gpus_per_node": 2, "engines": 1, "colocate": False, "sleep": False}
    told = {"rows": 23, "gpus": 3, "cluster": cluster, "dapo": {"train_prompts": 4}}
    run = Run(tmp_path_factory.mktemp("openrlhf") / "ranks", told)
    run.wait()
    assert not run.left_alive() and segments() <= before
    figures["two ranks, not colocated"] = run.figures()
    return run


HEAD = """
import sys, time, ray
ray.init(address="local", include_dashboard=True, dashboard_port=int(sys.argv[1]), num_cpus=8, num_gpus=1)
print("up", flush=True)
time.sleep(100_000)
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, int]]:
    """A Ray cluster of this machine, with one GPU that isn't there: its address and process. At the end nothing of it
    is left."""
    port, before = free_port(), segments()
    command = [sys.executable, "-I", guard.__file__, str(os.getpid()), sys.executable, "-c", HEAD, str(port)]
    with subprocess.Popen(
        command, env=environment(1), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as head:
        assert head.stdout and head.stdin
        assert any(line.strip() == "up" for line in head.stdout), "Ray did not start"
        yield f"http://127.0.0.1:{port}", head.pid
        head.stdin.close()
        head.wait(60)
    assert segments() <= before


@pytest.fixture(scope="module")
def judged(
    cluster: tuple[str, int], tmp_path_factory: pytest.TempPathFactory, figures: Figures
) -> Iterator[tuple[Run, int]]:
    """A job half of whose replies need the judge; with the calls that the judge got."""
    with serve() as server:
        server.answer = lambda body: choices('{"correct": false}')
        endpoint = {"kind": "openai", "model": "judge", "base_url": server.url, "api_key_env": "R2I_JUDGE_KEY"}
        dapo = {"judge": {"endpoint": endpoint, "max_calls": 1000}}
        told = {"rows": 24, "options": 2, "gpus": 1, "dapo": dapo}
        given = {
            "R2I_SERVER_RAY_CLUSTER": cluster[0],
            "NCCL_DEBUG": "VERSION",
            "TOKENIZERS_PARALLELISM": "false",
            "R2I_JUDGE_KEY": KEY,
        }
        run = Run(tmp_path_factory.mktemp("openrlhf") / "judged", told, cluster[1], **given)
        run.wait()
        figures["a job of a Ray cluster, with a judge"] = run.figures()
        yield run, len(server.calls)


def is_whole(run: Run, prompts_of_a_step: int = 8) -> None:
    """What holds of every run."""
    curve, rollouts = run.curve, run.summary["rollouts"]
    assert [line["step"] for line in curve] == list(range(1, len(curve) + 1)) != []
    assert all("reward" in line and line["samples"] > 0 for line in curve)
    assert all(abs(line["vllm_kl"]) < 0.01 for line in curve)  # each after a sync of weights, but the first
    assert (
        run.summary["steps"] * prompts_of_a_step * GROUP
        == rollouts["trained"]
        == sum(line["samples"] for line in curve)
    )
    parts = ("trained", "filtered", "left_over", "lost")
    assert rollouts["rollouts"] == sum(rollouts[part] for part in parts)
    is_trained(run.folder)
    answers(run.folder / "result")


def is_trained(folder: Path) -> None:
    """Its weights are the base's names and shapes, most with other values; its config is the base's."""
    base, result = (load_file(folder / name / "model.safetensors") for name in ("mini", "result"))
    assert {name: weight.shape for name, weight in result.items()} == {name: w.shape for name, w in base.items()}
    moved = [name for name, weight in result.items() if not weight.equal(base[name].to(weight.dtype))]
    assert len(moved) > len(base) / 2
    ours, theirs = (json.loads((folder / name / "config.json").read_text()) for name in ("result", "mini"))
    assert ours["text_config"]["use_cache"] == theirs["text_config"]["use_cache"] and ours.get("use_cache") is not False


def answers(model: Path) -> None:
    """It loads where models are evaluated, and answers crops in the form that it was taught."""
    from test_real import crops

    from r2i.endpoint.local import LocalModel

    replies = [reply for (reply,) in LocalModel(model).complete(crops(4)[::2])]
    assert all(reply.status == "ok" and "<answer>" in reply.text for reply in replies), replies


def points(folder: Path, run_name: str = "reward") -> list[int]:
    """Steps of a metric in MLflow, as often as it holds them."""
    import sqlite3

    (database,) = folder.glob(".r2i/mlflow.db")
    with sqlite3.connect(database) as store:
        return [step for (step,) in store.execute("select step from metrics where key = ? order by step", (run_name,))]


def test_a_killed_run_goes_on_and_ends_as_one(resumed: Run) -> None:
    is_whole(resumed)
    assert len(resumed.curve) >= 4
    assert resumed.summary["rollouts"]["lost"] >= 8 * GROUP  # step 3, made twice


def test_held_out_rows_choose_the_model(resumed: Run) -> None:
    """Measured for the base, at each checkpoint and at the end; the best is the result."""
    found, last = resumed.summary["validation"], len(resumed.curve)
    told = {line["step"]: line["val_accuracy"] for line in resumed.curve if "val_accuracy" in line}
    assert set(told) == {*range(2, last + 1, 2), last}
    assert 0 < found["images"] <= found["rows"] and 0 <= found["base"] <= 1
    chosen = found["chosen"]
    assert chosen["val_accuracy"] == pytest.approx(max(told.values()), abs=1e-6)
    assert chosen["by"] == "best" and chosen["step"] == next(step for step in told if told[step] == max(told.values()))
    assert found["last"] == pytest.approx(told[last], abs=1e-6)
    assert resumed.summary["prompts"] == resumed.summary["rows"] - found["rows"]
    right = right_on_held_out(resumed.folder, resumed.folder / "result", found["rows"])
    assert abs(right - chosen["val_accuracy"] * found["rows"]) <= 1  # in process, not in vLLM


def right_on_held_out(folder: Path, model: Path, rows: int) -> float:
    """How many of the held-out rows the saved model answers rightly in process."""
    from r2i.core.params import Sampling
    from r2i.core.records import TRAIN
    from r2i.core.tables import read_table
    from r2i.endpoint.base import Request
    from r2i.endpoint.local import LocalModel
    from r2i.grading.strict import grade_strictly
    from r2i.train.held_out import split_rows

    held = split_rows(read_table(folder / "data" / "overlay" / "train", TRAIN, "overlay"), 0.2, 0, 8)[1]
    assert len(held) == rows
    asked = [Request(row["prompt"], (row["image"],), Sampling(max_tokens=8), seed=0) for row in held]
    replies = LocalModel(model).complete(asked)
    graded = [grade_strictly(got.text, row["label"], row["options"]) for row, (got,) in zip(held, replies, strict=True)]
    return sum(verdict.correct is True for verdict in graded)


def test_mlflow_has_each_point_once(resumed: Run) -> None:
    told = points(resumed.folder)
    assert sorted(set(told)) == [line["step"] for line in resumed.curve]
    assert set(told) - {3} == {step for step in told if told.count(step) == 1} - {3}
    assert told.count(3) <= 2  # made twice, with other rollouts: MLflow takes no point back


def test_two_ranks_end_with_a_short_last_batch(ranks: Run) -> None:
    is_whole(ranks, prompts_of_a_step=4)
    rollouts: dict[str, Any] = ranks.summary["rollouts"]
    assert (rollouts["trained"] + rollouts["left_over"]) % (8 * GROUP) and not rollouts["lost"]


def test_a_job_of_a_cluster_asks_the_judge_and_shows_no_key(judged: tuple[Run, int]) -> None:
    run, calls = judged
    is_whole(run)
    assert run.summary["rollouts"]["judge_calls"] == calls > 0
    assert KEY not in run.output.read_text()
