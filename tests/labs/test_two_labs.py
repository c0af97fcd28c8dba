"""Two labs share one remote on a real SSH server: nothing is computed twice, and no teacher is paid twice.

Teachers are the mini checkpoint behind an HTTP server that keeps every call. The labs are clones with caches and
stores of their own; what they know of one another went through git and the remote.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from endpoint.fake_server import Server
from labs.lab import ROOT, Lab, found_repository, scene_id
from labs.teacher import teacher

from bench.remote_servers import Remote, asyncssh_server

pytestmark = [pytest.mark.slow, pytest.mark.long]
CODE = {"code"}  # runs in a second wherever params or code are others
PAID = {"sample", "crop", "question", "answer", "vote", "overlay"}
TABLES = ("sample/images", "crop/regions", "question/questions", "answer/answers", "vote/votes", "overlay/train")
SHARDED = tuple(f"data/{name}" for name in TABLES)
MADE = (*SHARDED, "models/distilled")


@dataclass
class World:
    """What the labs have in common."""

    folder: Path
    repository: Path
    remote: Remote
    server: Server

    def lab(self, name: str) -> Lab:
        return Lab(self.folder / name, self.repository, self.remote)

    def objects(self) -> set[str]:
        """Contents on the remote, by md5; not the listings of folders."""
        files = (self.folder / "remote" / "remote" / "files" / "md5").rglob("*")
        return {path.parent.name + path.name for path in files if path.is_file() and path.suffix != ".dir"}


@dataclass
class Step:
    """What one step came to, as it was at its end."""

    lab: Lab
    ran: set[str]  # stages
    calls: list[dict[str, Any]]  # bodies, as the server got them
    made: dict[str, str]  # sha256 of tables' shards and the model's files
    uploaded: set[str] = field(default_factory=set)  # md5 of what was new on the remote
    commit: str = ""


def work(world: World, lab: Lab, target: str, *options: str) -> Step:
    """Repro up to `target`, and nothing else."""
    before = len(world.server.calls)
    ran = lab.repro(*options, target)
    return Step(lab, ran, world.server.calls[before:], lab.digests(*MADE))


def work_and_share(world: World, lab: Lab, target: str) -> Step:
    """Repro up to `target`, push, commit, git push."""
    step, objects = work(world, lab, target), world.objects()
    lab.make("push")
    step.uploaded = world.objects() - objects
    step.commit = lab.commit(f"{lab.folder.name}: {target}")
    lab.run("git", "push", "--quiet", "origin", "main")
    return step


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("labs")
    with teacher(ROOT / "models" / "mini") as server, asyncssh_server(folder / "remote") as remote:
        yield World(folder, found_repository(folder, server.url), remote, server)


@pytest.fixture(scope="module")
def first(world: World) -> Step:
    """Lab A makes everything up to a trained model from six photographs, and shares it."""
    lab = world.lab("a")
    lab.add_photographs(range(6))
    return work_and_share(world, lab, "train@dapo")


@pytest.fixture(scope="module")
def second(world: World, first: Step) -> Step:
    """Lab B clones and pulls."""
    lab = world.lab("b")
    lab.make("pull")
    return work(world, lab, "train@dapo")


@pytest.fixture(scope="module")
def grown(world: World, second: Step) -> Step:
    """Lab B adds two photographs."""
    second.lab.add_photographs([10, 11])
    return work_and_share(world, second.lab, "overlay")


@pytest.fixture(scope="module")
def merged(world: World, first: Step, grown: Step) -> Step:
    """Lab A, which knows nothing of that, adds two others, merges B's work, and throws one out."""
    lab = first.lab
    lab.add_photographs([20, 21])
    lab.repro("overlay")
    lab.make("push")
    lab.commit("a: two more")
    assert lab.conflicts_of_pull() == []  # pools/photos.dvc, replies.dvc and dvc.lock were merged by drivers
    lab.make("pull")
    lab.remove_photographs([0])  # nine: with eight, as before, `sample` would see no change
    return work_and_share(world, lab, "overlay")


@pytest.fixture(scope="module")
def later(world: World, merged: Step) -> Step:
    """Lab B on its next day, after `git pull`: here a new clone, so that all of it comes from the remote."""
    lab = world.lab("b-later")
    lab.make("pull")
    return work(world, lab, "overlay")


def pictures(calls: list[dict[str, Any]]) -> set[str]:
    """The distinct pictures that were shown."""
    parts = [part for call in calls for part in call["messages"][0]["content"] if part["type"] == "image_url"]
    return {hashlib.sha256(part["image_url"]["url"].encode()).hexdigest() for part in parts}


def images_in(lab: Lab, shard: str) -> set[str]:
    return set(pq.read_table(lab.folder / shard, columns=["image_id"])["image_id"].to_pylist())


def test_the_first_lab_pays_for_everything_once(first: Step) -> None:
    assert first.ran == PAID | CODE | {"train@dapo"}
    assert len({str(sorted(call.items(), key=str)) for call in first.calls}) == len(first.calls) > 20


def test_a_second_lab_that_pulls_has_everything_and_computes_nothing(first: Step, second: Step) -> None:
    assert second.ran == set() and second.calls == []
    assert second.made == first.made and any(name.startswith("models/distilled") for name in second.made)


def test_two_more_photographs_cost_their_own_calls_alone(first: Step, grown: Step) -> None:
    assert grown.ran == PAID | CODE
    assert 0 < len(grown.calls) < len(first.calls)
    assert pictures(grown.calls).isdisjoint(pictures(first.calls))
    assert all(pictures([call]) for call in grown.calls)  # no call is about no picture


def test_shards_without_a_new_photograph_keep_their_bytes_and_only_the_others_travel(first: Step, grown: Step) -> None:
    shards = [name for name in grown.made if name.startswith(SHARDED)]
    new = {scene_id(10), scene_id(11)}
    changed = {name for name in shards if grown.made[name] != first.made.get(name)}
    assert changed == {name for name in shards if images_in(grown.lab, name) & new}
    assert 0 < len(changed) <= 2 * len(SHARDED) < len(shards) / 2
    unchanged = {hashlib.md5((grown.lab.folder / name).read_bytes()).hexdigest() for name in {*shards} - changed}
    assert unchanged.isdisjoint(grown.uploaded) and len(grown.uploaded) > len(changed)


def test_what_both_labs_added_and_removed_costs_no_call_once_it_is_merged(grown: Step, merged: Step) -> None:
    assert merged.calls == [] and merged.ran == PAID | CODE
    found = set().union(*(images_in(merged.lab, name) for name in merged.made if name.startswith("data/crop")))
    assert found == {scene_id(number) for number in (*range(1, 6), 10, 11, 20, 21)}


def test_the_other_lab_then_pulls_the_merged_work_and_computes_nothing(merged: Step, later: Step) -> None:
    assert (later.ran, later.calls) == (set(), [])
    assert {name: later.made[name] for name in later.made if name.startswith("data")} == {
        name: merged.made[name] for name in merged.made if name.startswith("data")
    }


def test_a_lab_without_a_lock_gets_every_expensive_stage_from_the_run_cache(world: World, first: Step) -> None:
    lab = world.lab("c")
    lab.run("git", "checkout", "--quiet", first.commit)
    (lab.folder / "dvc.lock").unlink()
    step = work(world, lab, "train@dapo", "--pull")
    assert (step.ran, step.calls) == (CODE, []) and step.made == first.made
