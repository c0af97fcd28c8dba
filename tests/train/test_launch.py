"""What OpenRLHF is started with, what its log says of its end, and which checkpoint it may go on from."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest

from r2i.core.curve import Line
from r2i.core.errors import R2IError
from r2i.core.params import Cluster, Train
from r2i.train.openrlhf import environment, follow, launch, run
from r2i.train.openrlhf.checkpoints import refuse_other_layout, refuse_small_disk, usable
from r2i.train.openrlhf.environment import Environment, link_libraries, training_environment
from r2i.train.openrlhf.follow import AddMaskedShare
from r2i.train.openrlhf.launch import LocalTraining, gpus_there, refuse_too_few_gpus, wait_while_alive
from r2i.train.openrlhf.log_tail import Silence, find_cause, last_words, remedy_for
from r2i.train.openrlhf.workspace import Files, open_workspace

ROOT = str(Path(__file__).parents[2])
PARAMS = {
    "engine": "openrlhf",
    "base": "models/mini",
    "dapo": {"lr": 1e-4, "rollout_prompts": 4, "train_prompts": 4, "max_prompt": 64, "max_response": 8},
    "sft": {"lr": 1e-4, "steps": 1, "batch": 1},
}
JUDGE = {"kind": "openai", "model": "j", "base_url": "http://127.0.0.1:9/v1", "api_key_env": "JUDGE_KEY"}
TRAIN = Train.model_validate(PARAMS)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    files = Files.under(tmp_path / "work")
    files.root.mkdir()
    return files


def test_the_repository_and_the_shim_come_first_on_the_path(files: Files) -> None:
    made = training_environment(TRAIN, files, Path("/shim"), {"PYTHONPATH": f"/mine{os.pathsep}{ROOT}"}).ours
    assert made["PYTHONPATH"].split(os.pathsep) == ["/shim", ROOT, "/mine"]
    assert made["R2I_AGENT_SETTINGS"] == str(files.agent_settings)
    without = training_environment(TRAIN, files, None, {}).ours
    assert without["PYTHONPATH"] == ROOT


def test_the_judge_s_key_is_passed_on_by_value_and_no_other(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_KEY", "sk-other")
    dapo = {**PARAMS["dapo"], "judge": {"endpoint": JUDGE, "max_calls": 1}}  # type: ignore[dict-item]
    given = {"JUDGE_KEY": "sk-judge", "OTHER_KEY": "sk-other"}
    made = training_environment(Train.model_validate({**PARAMS, "dapo": dapo}), files, None, given)
    assert made.secrets == {"JUDGE_KEY": "sk-judge"} and "sk-judge" not in str(made.ours)
    assert made.job()["JUDGE_KEY"] == "sk-judge" and "OTHER_KEY" not in made.job()
    assert training_environment(TRAIN, files, None, given).secrets == {}


def test_what_breaks_vllm_s_sleep_is_left_out_and_ray_is_our_own(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    monkeypatch.setenv("RAY_ADDRESS", "somebody:6379")
    made = training_environment(TRAIN, files, None, os.environ)
    assert made.unwanted == ("PYTORCH_CUDA_ALLOC_CONF",)
    local = made.local()
    assert "PYTORCH_CUDA_ALLOC_CONF" not in local and local["RAY_ADDRESS"] == "local"
    assert local["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)  # where ninja is
    assert "PYTHONDONTWRITEBYTECODE" not in local and local["RAY_worker_niceness"] == "0"


def test_a_toolkit_of_pip_serves_where_none_is_named(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    home = files.root / "cu13"
    (home / "lib").mkdir(parents=True)
    (home / "lib" / "libcudart.so.13").write_text("")
    monkeypatch.setattr(environment, "pip_toolkit", lambda: home)
    made = training_environment(TRAIN, files, None, {"LIBRARY_PATH": "/mine"}).ours
    assert (made["CUDA_HOME"], made["DS_SKIP_CUDA_CHECK"]) == (str(home), "1")
    links = Path(made["LIBRARY_PATH"].split(os.pathsep)[0])
    assert (links / "libcudart.so").resolve() == home / "lib" / "libcudart.so.13"
    assert "CUDA_HOME" not in training_environment(TRAIN, files, None, {"CUDA_HOME": "/usr/local/cuda"}).ours
    link_libraries(home / "lib", links)  # again: no error
    monkeypatch.setattr(environment, "pip_toolkit", lambda: None)
    assert "CUDA_HOME" not in training_environment(TRAIN, files, None, {}).ours


RAY_LOG = """\
(PolicyModelActor pid=7) Traceback (most recent call last):
(PolicyModelActor pid=7) ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0
Traceback (most recent call last):
  File "train_ppo_ray.py", line 188, in train
ray.exceptions.RayTaskError(ValueError): ray::PPOTrainer.fit() (pid=5)
ray.exceptions.ActorDiedError: The actor died unexpectedly
"""


def test_the_cause_is_the_last_error_that_is_no_report_of_another_process() -> None:
    assert find_cause(RAY_LOG.splitlines()).startswith("ValueError: Bfloat16 is only supported")
    assert find_cause(["all is well"]) == ""
    assert "ActorDiedError" in find_cause([RAY_LOG.splitlines()[-1]])


WARNED = """\
(pid=7) WARNING 11-27 22:49:10 [interface.py:1] Failed to import from vllm._C: ImportError: no such file
(pid=7) W1127 22:45:17.677000 3890 site-packages/torch/utils/cpp_extension.py:178] RuntimeError: no CUDA
lib.py:3: UserWarning: AttributeError: is met with every start
"""


def test_a_warning_is_no_cause_and_a_silence_has_none(tmp_path: Path) -> None:
    assert find_cause(WARNED.splitlines()) == ""
    assert find_cause([RAY_LOG.splitlines()[1], *WARNED.splitlines()]).startswith("ValueError: Bfloat16")
    (tmp_path / "log").write_text("KeyError: met and overcome\nGlobal step 3\n")
    assert last_words(tmp_path / "log", 0, ended=False).startswith("the end of its log:")


def test_last_words_are_of_this_launch_without_colours_and_keys(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("OldError: of an earlier run\n")
    began = log.stat().st_size
    with log.open("a") as file:
        file.write("10%|#\r20%|##\r\x1b[36m(pid=1)\x1b[0m KeyError: 'sk-secret'\n")
    said = last_words(log, began, ended=True, hide=lambda text: text.replace("sk-secret", "***"))
    assert "KeyError: '***'" in said and "OldError" not in said and "\x1b" not in said and "20%|##" in said


def test_out_of_memory_has_a_remedy_of_its_own(tmp_path: Path) -> None:
    assert "memory_share" in remedy_for("torch.OutOfMemoryError: CUDA out of memory.", tmp_path)
    assert "run again to go on" in remedy_for("KeyError: x", tmp_path)


def test_silence_ends_with_a_line_of_either(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("a")
    silence = Silence(log)
    time.sleep(0.2)
    assert silence.seconds(0) >= 0.2
    assert silence.seconds(1) < 0.1  # a line of the curve
    log.write_text("ab")
    assert silence.seconds(1) < 0.1


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """A module in OpenRLHF's place: it starts a child that ignores TERM, says both pids, and waits."""
    (tmp_path / "waiting.py").write_text(
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'], start_new_session=True)\n"
        "print(os.getpid(), child.pid, flush=True)\n"
        "if sys.argv[1:] == ['fail']: sys.exit(3)\n"
        "if sys.argv[1:] != ['end']: time.sleep(99)\n"
    )
    monkeypatch.setattr(launch, "TRAINER", "waiting")
    return Environment({"PYTHONPATH": str(tmp_path)}, {}, ())


def pids(log: Path) -> list[int]:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        lines = log.read_text().splitlines() if log.exists() else []
        if lines and lines[-1].replace(" ", "").isdigit():
            return [int(pid) for pid in lines[-1].split()]
        time.sleep(0.05)
    raise AssertionError("it did not start")


def alive(pid: int) -> bool:
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return found.stdout.strip()[:1] not in ("", "Z")


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_stopped_it_takes_along_what_left_its_group(tmp_path: Path, trainer: Environment) -> None:
    training = LocalTraining([], trainer, tmp_path / "log")
    started = pids(tmp_path / "log")
    assert wait_while_alive(training, 0.2)
    training.stop()
    assert not any(alive(pid) for pid in started) and not training.alive()


def test_how_it_ended(tmp_path: Path, trainer: Environment) -> None:
    for word, ended in (("end", ""), ("fail", "exit code 3")):
        training = LocalTraining([word], trainer, tmp_path / word)
        assert not wait_while_alive(training, 30) and training.ended_as() == ended
    training = LocalTraining([], trainer, tmp_path / "killed")
    os.kill(pids(tmp_path / "killed")[0], signal.SIGKILL)
    assert not wait_while_alive(training, 30) and training.ended_as() == "exit code 137 (signal 9)"


def test_a_cluster_that_is_not_there_is_an_error(files: Files) -> None:
    with pytest.raises(R2IError, match=r"takes no job.*job server"):
        launch.launch([], Environment({}, {}, ()), files.log, "http://127.0.0.1:9", "name")
    assert gpus_there("http://127.0.0.1:9") is None


class Jobs:
    """In the place of Ray's client; it takes no new job."""

    listed: ClassVar[list[SimpleNamespace]] = []

    def __init__(self, address: str) -> None: ...

    def list_jobs(self) -> list[SimpleNamespace]:
        return self.listed

    def get_job_status(self, job: str) -> SimpleNamespace:
        return next(known.status for known in self.listed if known.submission_id == job)

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        yield f"log of {job}\n"


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    monkeypatch.setattr(Jobs, "listed", [])
    module = ModuleType("ray.job_submission")
    module.JobSubmissionClient = Jobs  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    monkeypatch.setitem(sys.modules, "ray.job_submission", module)
    return Jobs.listed


def listed(name: str, status: str, start: int) -> SimpleNamespace:
    told = {"metadata": {"r2i": name}, "submission_id": f"{status}-{start}", "start_time": start}
    return SimpleNamespace(status=SimpleNamespace(value=status), **told)


def test_a_job_that_runs_or_left_a_whole_result_is_found(files: Files, jobs: list[SimpleNamespace]) -> None:
    def found(whole: bool) -> str | None:
        training = launch.left_behind(Environment({}, {}, ()), files.log, "http://head", "mine", lambda: whole)
        return training and training.job  # type: ignore[attr-defined, no-any-return]

    jobs += [listed("another", "RUNNING", 9), listed("mine", "FAILED", 1)]
    assert found(whole=True) is None
    jobs.append(listed("mine", "SUCCEEDED", 2))
    assert found(whole=True) == "SUCCEEDED-2" and found(whole=False) is None
    jobs.insert(0, listed("mine", "STOPPED", 3))  # it wrote last: the result may be half
    assert found(whole=True) is None
    jobs.append(listed("mine", "RUNNING", 4))
    assert found(whole=False) == "RUNNING-4"
    assert launch.left_behind(Environment({}, {}, ()), files.log, None, "mine", lambda: True) is None


@pytest.mark.parametrize("status", ["RUNNING", "SUCCEEDED"])
def test_what_a_job_left_behind_reads_and_writes_stays(
    status: str, files: Files, jobs: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.append(listed("mine", status, 1))
    (state,) = save(files, 25).glob("mp_rank*")
    state.write_bytes(b"half")
    files.result.mkdir()
    (files.result / "config.json").write_text("{}")
    weights = files.result / "model.safetensors"
    if status == "SUCCEEDED":
        weights.write_bytes(b"whole")

    read = {"prompts": 4, "rows": 4, "too_long": 0, "unfit": 0, "held": 0}
    files.facts.write_text(json.dumps(read))
    for path in (files.prompts, files.agent_settings):
        path.write_bytes(b"as the job reads it")

    def follow_it(training: Any, *others: object) -> list[Line]:
        assert training.job == f"{status}-1" and state.read_bytes() == b"half" and files.result.is_dir()
        weights.write_bytes(b"whole")
        return [{"step": 1}]

    monkeypatch.setattr(run, "refuse_what_cannot_run", lambda *given: None)
    monkeypatch.setattr(follow, "follow", follow_it)
    monkeypatch.setenv("R2I_SERVER_RAY_CLUSTER", "http://head")
    gone = Path("no table")
    for _ in "followed", "whole":  # the second time there is nothing to follow, and nothing is made anew either
        assert run.train_in(files, TRAIN, gone, 0, "mine", lambda *line: None) == read
        assert (files.root / run.DONE).exists() and weights.read_bytes() == b"whole"
        assert {path.read_bytes() for path in (files.prompts, files.agent_settings)} == {b"as the job reads it"}
        assert not files.student.exists()


def test_a_job_left_behind_by_an_older_r2i_is_not_followed_blindly(
    files: Files, jobs: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.append(listed("mine", "RUNNING", 1))
    monkeypatch.setenv("R2I_SERVER_RAY_CLUSTER", "http://head")
    with pytest.raises(R2IError, match="left behind") as caught:
        run.train_in(files, TRAIN, Path("no table"), 0, "mine", lambda *line: None)
    assert "ray job stop" in caught.value.remedy and not files.student.exists()


def test_a_workspace_goes_at_once(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(path: Path, ignore_errors: bool = False) -> None:
        if path.exists():
            raise KeyboardInterrupt

    (files.root / run.DONE).touch()
    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        run.remove_folder(files.root)
    assert not files.root.exists()  # else half a result would be taken for a whole one
    monkeypatch.undo()
    files.root.mkdir()
    run.remove_folder(files.root)
    assert not list(files.root.parent.glob("work*"))


def test_a_job_s_workers_may_write_bytecode(files: Files) -> None:
    assert training_environment(TRAIN, files, None, {}).job()["PYTHONDONTWRITEBYTECODE"] == ""  # as unset, for Python


def test_too_few_gpus_are_refused_and_unknown_ones_are_not() -> None:
    refuse_too_few_gpus(4, None, "http://head:8265")
    refuse_too_few_gpus(4, 4, None)
    with pytest.raises(R2IError, match="asks for 4 GPUs, and the Ray cluster at http://head:8265 has 3"):
        refuse_too_few_gpus(4, 3, "http://head:8265")


def test_rollouts_masked_since_the_last_line_are_told_with_it_and_told_again_alike(tmp_path: Path) -> None:
    def masked_share() -> AddMaskedShare:
        return AddMaskedShare(lambda step, steps, line: told.append(line), tmp_path / "counts", tmp_path / "told.json")

    told: list[Line] = []
    (tmp_path / "counts").mkdir()
    sink = masked_share()
    sink(1, 3, {"loss": 1.0})  # nothing was counted yet
    for step, (rollouts, masked) in enumerate([(100, 0), (200, 50)], 2):
        (tmp_path / "counts" / "engine.json").write_text(json.dumps({"rollouts": rollouts, "masked": masked}))
        sink(step, 3, {"loss": 1.0, "masked": 0.0})
    assert told == [{"loss": 1.0}, {"loss": 1.0, "masked": 0.0}, {"loss": 1.0, "masked": 0.5}]  # 50 of the last 100
    masked_share()(3, 3, {"loss": 1.0, "masked": 0.0})  # of a run that goes on
    assert told[-1] == told[-2]


ONE = Cluster(gpus_per_node=1)


def save(files: Files, step: int, gpus: int = 1, latest: bool = True) -> Path:
    folder = files.checkpoints / "_actor" / f"global_step{step}"
    folder.mkdir(parents=True)
    names = [f"bf16_zero_pp_rank_{gpu}_mp_rank_00_optim_states.pt" for gpu in range(gpus)]
    for name in ["mp_rank_00_model_states.pt", *names]:
        with zipfile.ZipFile(folder / name, "w") as file:
            file.writestr("data", "weights")
    if latest:
        (folder.parent / "latest").write_text(folder.name)
    return folder


def test_a_whole_checkpoint_is_used(files: Files) -> None:
    told: list[str] = []
    assert not usable(files, ONE, told.append)  # there is none
    save(files, 25)
    assert usable(files, ONE, told.append) and told == []


def test_a_broken_one_gives_way_to_an_older(files: Files) -> None:
    told: list[str] = []
    save(files, 100, latest=False)
    save(files, 25, latest=False)
    (state,) = save(files, 125).glob("mp_rank*")
    state.write_bytes(b"")
    assert usable(files, ONE, told.append)
    assert (files.checkpoints / "_actor" / "latest").read_text() == "global_step100"  # not 25: by number
    assert told == ["checkpoint global_step125 is not whole: training goes on from global_step100"]
    left = {path.name for path in (files.checkpoints / "_actor").iterdir() if path.is_dir()}
    assert left == {
        "global_step25",
        "global_step100",
    }  # OpenRLHF would keep a broken one, and remove a whole one for it


def test_the_newest_whole_one_is_used_also_where_latest_was_not_written(files: Files) -> None:
    save(files, 25)
    save(files, 50, latest=False)
    (state,) = save(files, 75, latest=False).glob("mp_rank*")
    state.unlink()
    assert usable(files, ONE, print)
    assert (files.checkpoints / "_actor" / "latest").read_text() == "global_step50"
    assert not (files.checkpoints / "_actor" / "global_step75").exists()


def test_one_without_a_gpu_s_state_or_without_latest(files: Files) -> None:
    two, told = Cluster(gpus_per_node=2), []
    save(files, 25, gpus=1)
    assert not usable(files, two, told.append)  # type: ignore[attr-defined]
    assert not (files.checkpoints / "_actor").exists()  # OpenRLHF would end in a KeyError
    save(files, 25, gpus=2, latest=False)  # killed after the states and before `latest`
    assert usable(files, two, told.append)  # type: ignore[attr-defined]


def test_stages_without_and_with_states_of_every_gpu(files: Files) -> None:
    folder = save(files, 25, gpus=0)
    assert usable(files, Cluster(gpus_per_node=2, zero_stage=0, sleep=False), print)
    save(files, 50, gpus=2)
    assert not usable(files, Cluster(gpus_per_node=2, zero_stage=3), print)  # one model state; stage 3 has two
    assert not folder.exists()


def test_the_split_of_checkpoints_is_remembered(files: Files) -> None:
    refuse_other_layout(files, ONE)
    refuse_other_layout(files, Cluster(gpus_per_node=2))  # there is no checkpoint yet
    save(files, 25)
    refuse_other_layout(files, Cluster(gpus_per_node=1, nodes=2))
    with pytest.raises(R2IError, match=r"split over 2 GPUs, ZeRO stage 2; train\.cluster now says 1 GPUs"):
        refuse_other_layout(files, ONE)


def test_a_disk_that_is_too_small_is_an_error(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(files.root)._replace(free=30_000_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    refuse_small_disk(files, 1_000_000_000, keep=2)  # 2 x 14 GB, and 2 GB for the result
    with pytest.raises(R2IError, match="2 checkpoints and the trained model take 33 GB; there are 30 GB"):
        refuse_small_disk(files, 1_100_000_000, keep=2)


def test_one_workspace_has_one_process(files: Files) -> None:
    refused = pytest.raises(R2IError, match="another process trains this very run")
    with open_workspace("f1"), refused, open_workspace("f1"):
        pass
    with open_workspace("f1") as again:
        assert again.root == files.root.parent / ".r2i" / "train" / "f1"
