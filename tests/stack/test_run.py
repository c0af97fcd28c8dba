"""Engine openrlhf from rows to a model's folder, with a stand-in for the trainer: live, killed, resumed, hung."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("openrlhf")
pytest.importorskip("tensorboard")

from made_run import make_run
from train_with_fake import TRAIN, train

from r2i.core.errors import R2IError
from r2i.core.params import Cluster
from r2i.train.openrlhf import environment, follow
from r2i.train.openrlhf.scalars import Scalars
from r2i.train.openrlhf.workspace import fingerprint_of

HERE = Path(__file__).parent


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DVC_ROOT", "MLFLOW_TRACKING_URI", "FAKE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("R2I_LIVE", "0")
    monkeypatch.setattr(follow, "POLL_S", 0.2)
    monkeypatch.chdir(tmp_path)
    make_run(2)
    return tmp_path


def fail(monkeypatch: pytest.MonkeyPatch, **told: object) -> None:
    monkeypatch.setenv("FAKE", json.dumps(told))


def workspaces(folder: Path) -> list[Path]:
    return [path for path in (folder / ".r2i" / "train").iterdir() if path.is_dir()]


def told(folder: Path) -> dict:
    return json.loads((workspaces(folder)[0] / "told.json").read_text())


def alive(pid: int) -> bool:
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return found.stdout.strip()[:1] not in ("", "Z")


def wait_for(what: Callable[[], bool], within_s: float = 60.0) -> None:
    end = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def start(folder: Path, **fake: object) -> subprocess.Popen[str]:
    """The whole run in a process of its own."""
    paths = [str(HERE.parents[1]), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    given = os.environ | {"FAKE": json.dumps(fake), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, str(HERE / "train_with_fake.py"), str(folder)]
    return subprocess.Popen(
        command, env=given, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in a shell's background job
    )  # fmt: skip


def is_training(folder: Path) -> bool:
    return any((path / "told.json").exists() for path in (folder / ".r2i" / "train").glob("*"))


def test_a_run_tells_its_lines_while_it_trains_and_leaves_one_model_and_its_curve(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, delay_s=1.0)
    said: list[tuple[float, int, int]] = []
    summary = train(folder, lambda step, steps, line: said.append((time.monotonic(), step, steps)))
    assert [(step, steps) for _, step, steps in said] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert said[-1][0] - said[0][0] > 1.5  # seconds: not all at the end
    assert (summary["steps"], summary["rollout_batches"], summary["dynamic_sampling"]) == (4, 4, "groups replaced")
    assert summary["last_10_steps"]["accuracy"] == pytest.approx(0.25)
    curve = json.loads(Path("data/train/dapo.json").read_text())
    assert [line["step"] for line in curve] == [1, 2, 3, 4] and curve[2]["loss"] == -0.5
    base, out = Path(TRAIN["base"]), folder / "models" / "distilled"
    for name in ("processor_config.json", "tokenizer_config.json", "model.safetensors"):
        assert (out / name).read_bytes() == (base / name).read_bytes()
    assert not workspaces(folder)


def test_a_crash_is_an_error_with_its_cause_and_no_key_and_the_next_run_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = {
        "endpoint": {"kind": "openai", "model": "j", "base_url": "http://127.0.0.1:9/v1", "api_key_env": "JUDGE_KEY"}
    }
    monkeypatch.setitem(TRAIN, "dapo", {**TRAIN["dapo"], "judge": {**judge, "max_calls": 9}})
    monkeypatch.setenv("JUDGE_KEY", "sk-very-secret")
    fail(monkeypatch, crash_at=4)
    with pytest.raises(R2IError, match="CUDA error at step 4") as caught:
        train(folder)
    assert "exit code 1" in caught.value.cause and "run again to go on" in caught.value.remedy
    assert told(folder)["key"] == "sk-very-secret"  # it got there,
    assert "sk-very-secret" not in str(caught.value)  # and is not shown
    assert not (folder / "models" / "distilled").exists()
    fail(monkeypatch)
    said: list[int] = []
    resumed: dict = {}

    def sink(step: int, steps: int, line: object) -> None:
        said.append(step)
        resumed.update(told(folder), log=(workspaces(folder)[0] / "train.log").read_text())

    assert train(folder, sink)["rollout_batches"] == 4
    assert sorted(set(said)) == [1, 2, 3, 4]
    assert "--ckpt.load_enable" in resumed["arguments"] and "begins after step 2" in resumed["log"]


def test_a_checkpoint_cut_off_is_thrown_away_before_openrlhf_sees_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(monkeypatch, crash_at=3)
    with pytest.raises(R2IError):
        train(folder)
    (state,) = workspaces(folder)[0].glob("checkpoints/_actor/global_step2/mp_rank*")
    state.write_bytes(state.read_bytes()[:20])
    fail(monkeypatch)
    assert train(folder)["rollout_batches"] == 4
    assert "no checkpoint is whole" in capsys.readouterr().err


def test_other_gpus_than_those_of_the_checkpoints_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, crash_at=3)
    with pytest.raises(R2IError):
        train(folder)
    with pytest.raises(
        R2IError, match=r"split over 1 GPUs, ZeRO stage 2; train\.cluster now says 1 GPUs, ZeRO stage 3"
    ):
        train(folder, zero_stage=3)


def test_more_gpus_than_there_are_is_an_error_before_anything_starts(folder: Path) -> None:
    with pytest.raises(R2IError, match="asks for 2 GPUs, and this machine has 1"):
        train(folder, gpus_per_node=2)
    assert not is_training(folder)


def test_all_violations_are_told_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRAIN, "dapo", {**TRAIN["dapo"], "max_prompt": 100_000})
    with pytest.raises(R2IError) as caught:
        train(folder, engines=2, micro_train=3)
    assert all(text in str(caught.value) for text in ("max_prompt + max_response", "2 engines", "micro_train"))


def test_a_silent_run_is_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, hang_at=2)
    with pytest.raises(R2IError, match="has said nothing for"):
        train(folder, start_timeout_s=8)
    wait_for(lambda: not alive(told(folder)["pid"]), 10)


def test_an_end_without_a_model_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, no_result=True)
    with pytest.raises(R2IError, match="left no whole model"):
        train(folder)


def test_kill_9_takes_the_trainer_along_and_the_next_run_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with start(folder, hang_at=4) as parent:
        wait_for(lambda: list(folder.rglob("global_step2")) != [] and (folder / ".r2i").exists())
        trainer = told(folder)["pid"]
        assert alive(trainer)
        parent.kill()
    wait_for(lambda: not alive(trainer), 20)
    fail(monkeypatch)
    assert train(folder)["rollout_batches"] == 4


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_with_130(folder: Path, name: signal.Signals) -> None:
    with start(folder, hang_at=2) as parent:
        wait_for(lambda: is_training(folder))
        trainer = told(folder)["pid"]
        parent.send_signal(name)
        assert parent.wait(30) == 130
    assert not alive(trainer)


def test_scalars_of_two_files_and_a_cut_record(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    def write(seconds: int, steps: range, value: float) -> Path:
        known = set((tmp_path / "r2i").glob("*"))
        with SummaryWriter(str(tmp_path / "r2i")) as writer:
            for step in steps:
                writer.add_scalar("train/accuracy", value, step)
                writer.add_scalar("train/dynamic_filtering_pass_rate", 400.0, step)
        (made,) = set((tmp_path / "r2i").iterdir()) - known
        return made.rename(made.with_name(f"events.out.tfevents.{seconds}.host.1.x"))

    first = write(100, range(1, 5), 0.25)
    scalars = Scalars(tmp_path, group_size=8)
    # pass rate 400 % of the prompts in samples, groups of 8: 4 samples a prompt, half of the groups
    assert scalars.read() == [{"step": n, "accuracy": 0.25, "kept_groups": 0.5} for n in (1, 2, 3, 4)]
    write(200, range(3, 4), 0.5)  # resumed after step 2: 3 counts anew, and 4 is not there any more
    assert [(line["step"], line["accuracy"]) for line in scalars.read()] == [(1, 0.25), (2, 0.25), (3, 0.5)]
    whole = first.read_bytes()
    cut = tmp_path / "cut" / first.name
    cut.parent.mkdir()
    cut.write_bytes(whole[:-7])
    others = Scalars(cut.parent, group_size=8)
    assert "kept_groups" not in others.read()[-1]
    with cut.open("ab") as file:
        file.write(whole[-7:])
    assert others.read()[-1] == {"step": 4, "accuracy": 0.25, "kept_groups": 0.5}


@pytest.mark.skipif(environment.pip_toolkit() is None, reason="no CUDA toolkit of pip here")
def test_the_toolkit_of_pip_compiles_and_links_an_extension(tmp_path: Path) -> None:
    home = environment.pip_toolkit()
    assert home
    environment.link_libraries(home / "lib", tmp_path / "links")
    (tmp_path / "a.c").write_text("int cudaGetDeviceCount(int*); int f(void) { return cudaGetDeviceCount(0); }")
    linked = ["cc", "-shared", "-fPIC", "a.c", "-o", "a.so", "-lcudart", "-lcurand"]
    given = os.environ | {"LIBRARY_PATH": str(tmp_path / "links")}
    assert subprocess.run(linked, cwd=tmp_path, env=given).returncode == 0
    assert subprocess.run([home / "bin" / "nvcc", "--version"], capture_output=True).returncode == 0


def test_the_fingerprint_follows_rows_and_params_and_not_the_cluster(folder: Path) -> None:
    from r2i.core.params import Train

    table = Path("data/overlay/train")
    one = Train.model_validate(TRAIN)
    first = fingerprint_of(one, table, 0)
    assert fingerprint_of(one.model_copy(update={"cluster": Cluster(gpus_per_node=4)}), table, 0) == first
    assert fingerprint_of(one, table, 1) != first
    assert fingerprint_of(one.model_copy(update={"dapo": one.dapo.model_copy(update={"lr": 2e-4})}), table, 0) != first
    (part,) = table.glob("*.parquet")
    part.write_bytes(part.read_bytes() + b" ")
    with pytest.raises(R2IError):  # no Parquet any more
        fingerprint_of(one, table, 0)
