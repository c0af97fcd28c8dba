"""`kill -9`, two runs at once on one store, a full disk: the same lock in the end, and no call paid for twice.

The teacher is the mini checkpoint behind an HTTP server that keeps every call.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from endpoint.fake_server import Server
from labs.kills import kill, said, start
from labs.lab import ROOT, Lab, environment, found_repository
from labs.teacher import teacher

pytestmark = pytest.mark.slow
TARGET = "overlay"  # the last stage that calls a teacher
PHOTOGRAPHS = range(4)


@dataclass
class World:
    folder: Path
    repository: Path
    server: Server

    def lab(self, name: str) -> Lab:
        lab = Lab(self.folder / name, self.repository)
        lab.add_photographs(PHOTOGRAPHS)
        return lab

    def start(self, lab: Lab, store: str, **env: str) -> "subprocess.Popen[str]":
        """`dvc repro` with replies in `store`."""
        return start(lab.folder, environment(lab.folder) | {"R2I_STORE": str(self.folder / store)} | env, TARGET)

    def finish(self, lab: Lab, store: str) -> None:
        assert self.start(lab, store).wait(300) == 0, said(lab.folder)[-3000:]


@dataclass
class Calm:
    """Two runs at once that nothing disturbed."""

    locks: list[Any]
    calls: list[str]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("faults")
    with teacher(ROOT / "models" / "mini") as server:
        yield World(folder, found_repository(folder, server.url), server)


@pytest.fixture(scope="module")
def calm(world: World) -> Calm:
    labs = [world.lab(name) for name in ("a", "b")]
    runs = [world.start(lab, "shared") for lab in labs]
    for lab, process in zip(labs, runs, strict=True):
        assert process.wait(300) == 0, said(lab.folder)[-3000:]
    return Calm([lock(lab) for lab in labs], asked(world.server, 0))


def lock(lab: Lab) -> Any:
    """What dvc.lock says; the order of its stages is DVC's and depends on which came to run first."""
    return yaml.safe_load((lab.folder / "dvc.lock").read_text(encoding="utf-8"))


def asked(server: Server, since: int) -> list[str]:
    return [json.dumps(body, sort_keys=True) for body in server.calls[since:]]


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Until `condition` holds; AssertionError where the process ends before."""
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)


def test_two_runs_at_once_pay_for_no_call_twice_and_write_the_same_lock(calm: Calm) -> None:
    first, second = calm.locks
    assert first == second
    assert len(calm.calls) == len(set(calm.calls)) > 20


@pytest.mark.long
def test_runs_killed_at_seeded_moments_go_on_to_the_same_lock(world: World, calm: Calm) -> None:
    """The group is killed in the first half of the calls, then `dvc` alone in the second: its stage goes on."""
    lab, since, server = world.lab("killed"), len(world.server.calls), world.server
    draw, total = np.random.default_rng(7), len(calm.calls)
    moments = [int(draw.integers(1, total // 2)), int(draw.integers(total // 2, total - 1))]
    in_flight = 0
    for moment, whole_group in zip(moments, (True, False), strict=True):
        process = world.start(lab, "own")
        wait_for(lambda moment=moment: len(set(asked(server, since))) >= moment, process)
        kill(process, whole_group)
        in_flight += server.most_in_flight if whole_group else 0
        assert process.returncode == -signal.SIGKILL
    world.finish(lab, "own")
    calls = Counter(asked(server, since))
    assert set(calls) == set(calm.calls)
    assert calls.total() - len(calls) <= in_flight  # what was asked at the kill, and the answer of which nobody heard
    assert lock(lab) == calm.locks[0]


@pytest.mark.long
def test_a_second_repro_in_one_workspace_is_refused_while_the_first_runs_and_harms_nothing(
    world: World, calm: Calm
) -> None:
    lab, since = world.lab("twice"), len(world.server.calls)
    first = world.start(lab, "shared")
    wait_for(lambda: "Running stage 'crop'" in said(lab.folder), first)
    second = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", TARGET], cwd=lab.folder, env=environment(lab.folder),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert first.poll() is None  # it was running all the time
    assert second.returncode != 0 and "Running stage" not in second.stdout
    assert "is busy, it is being blocked by" in second.stderr and f"(PID {first.pid})" in second.stderr
    assert first.wait(300) == 0, said(lab.folder)[-3000:]
    assert lock(lab) == calm.locks[0] and asked(world.server, since) == []


def test_a_full_disk_stops_a_stage_which_loses_no_reply_and_goes_on_later(
    world: World, calm: Calm, tmp_path: Path
) -> None:
    made, server = world.folder / "a", world.server
    with small_disk(tmp_path / "disk", made) as disk:
        filler = fill(disk, left=8 * 4096)
        since = len(server.calls)
        first = question(disk)
        kept, calls = len(list((disk / "store").rglob("*.json"))), len(server.calls) - since
        cause, remedy = first.stderr.splitlines()[-2:]
        assert first.returncode == 1 and cause.startswith("error: the store ") and "No space left" in cause
        assert remedy.startswith("  -> free some space")
        assert 0 < kept < calls and not (disk / "data" / "question").exists()
        assert "Traceback" not in first.stderr and "never retrieved" not in first.stderr
        filler.unlink()
        second = question(disk)
        assert second.returncode == 0, second.stderr
        repeated = Counter(asked(server, since))
        assert repeated.total() - len(repeated) <= calls - kept
        assert digests(disk) == digests(made)


def test_a_table_that_a_full_disk_does_not_take_costs_no_call_later_and_the_old_one_stays(
    world: World, calm: Calm, tmp_path: Path
) -> None:
    """All replies are there; the table has no place."""
    made, since = world.folder / "a", len(world.server.calls)
    table, store = Path("data/question/questions"), world.folder / "shared"
    with small_disk(tmp_path / "disk", made) as disk:
        shutil.copytree(made / table, disk / table)
        before = digests(disk)
        filler = fill(disk, left=4096)
        first = question(disk, store)
        assert first.returncode == 1 and "Traceback" not in first.stderr, first.stderr
        cause, remedy = first.stderr.splitlines()[-2:]
        assert cause.startswith("error: no space left while writing ") and cause.endswith(": 0 MiB free")
        assert remedy == "  -> make space and run `dvc repro` again; replies that came are kept"
        assert digests(disk) == before and [path.name for path in (disk / table).parent.iterdir()] == [table.name]
        filler.unlink()
        shutil.rmtree(disk / table)
        assert question(disk, store).returncode == 0
        assert digests(disk) == digests(made)
    assert asked(world.server, since) == []


@contextmanager
def small_disk(disk: Path, made: Path) -> Iterator[Path]:
    """A file system of 1 MiB with the inputs of `question`; skipped where it can't be mounted."""
    disk.mkdir()
    if mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)):
        pytest.skip("a small disk can't be mounted here")
    try:
        for name in ("data/sample", "data/crop"):
            shutil.copytree(made / name, disk / name)
        write_slow_params(made, disk)
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def mount(*arguments: str) -> int:
    """Exit code of `mount`; 1 where there is none."""
    return (
        subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode
        if shutil.which("mount")
        else 1
    )


def write_slow_params(made: Path, disk: Path) -> None:
    """Two calls at a time, so that a disk which is full is met before all calls are under way."""
    values = yaml.safe_load((made / "params.yaml").read_text(encoding="utf-8"))
    values["profiles"]["smoke"]["question"]["teacher"]["concurrency"] = 2
    (disk / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def fill(disk: Path, left: int) -> Path:
    """A file that leaves `left` bytes of the disk."""
    free = os.statvfs(disk)
    filler = disk / "filler"
    filler.write_bytes(bytes(free.f_bavail * free.f_frsize - left))
    return filler


def question(disk: Path, store: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """The stage `question` with its inputs, its outputs and, unless told, its store on `disk`."""
    env = environment(disk) | {"PYTHONPATH": str(ROOT), "R2I_STORE": str(store or disk / "store")}
    command = [sys.executable, str(ROOT / "stages" / "question.py")]
    return subprocess.run(command, cwd=disk, env=env, capture_output=True, text=True, timeout=120, check=False)


def digests(folder: Path) -> dict[str, bytes]:
    table = folder / "data" / "question" / "questions"
    return {path.name: path.read_bytes() for path in sorted(table.glob("*.parquet"))}
