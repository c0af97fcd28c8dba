"""Two branches that each ran the pipeline: their dvc.lock files merge stage by stage."""

import sys
from pathlib import Path

import pytest
import yaml
from made_lab import GIT, run

from r2i.core.errors import R2IError
from r2i.repo.lock_merge import merge_files, merge_stages

BASE = {"code": 1, "vote": 1, "train": 1, "pretrain": 1}


def test_each_side_brings_the_stages_that_it_changed() -> None:
    merged = merge_stages(BASE, BASE | {"vote": 2}, BASE | {"train": 3, "more": 1})
    assert merged == (BASE | {"vote": 2, "train": 3, "more": 1}, [])


def test_a_stage_that_both_changed_is_left_out_and_so_runs_again() -> None:
    others = {"code": 1, "train": 1, "pretrain": 1}
    assert merge_stages(BASE, BASE | {"vote": 2}, BASE | {"vote": 3}) == (others, ["vote"])
    assert merge_stages(BASE, BASE | {"vote": 2}, BASE | {"vote": 2}) == (BASE | {"vote": 2}, [])


def test_a_frozen_stage_that_both_changed_keeps_our_entry() -> None:
    keep = frozenset({"pretrain"})
    assert merge_stages(BASE, BASE | {"pretrain": 2}, BASE | {"pretrain": 3}, keep) == (BASE | {"pretrain": 2}, [])


def test_a_stage_that_one_side_removed_is_gone() -> None:
    fewer = {name: 1 for name in BASE if name != "vote"}
    assert merge_stages(BASE, BASE, fewer) == (fewer, [])
    assert merge_stages(BASE, fewer, BASE) == (fewer, [])
    assert merge_stages(BASE, fewer, BASE | {"vote": 2}) == (fewer, ["vote"])


def test_a_file_that_is_no_lock_is_left_to_a_person(tmp_path: Path) -> None:
    for name, text in (("base", ""), ("ours", "<<<<<<< HEAD\n"), ("theirs", "stages: {}\n")):
        (tmp_path / name).write_text(text)
    with pytest.raises(R2IError, match=r"ours is no dvc\.lock"):
        merge_files(tmp_path / "base", tmp_path / "ours", tmp_path / "theirs")
    assert (tmp_path / "ours").read_text() == "<<<<<<< HEAD\n"


def test_git_merges_two_runs_and_dvc_runs_what_both_changed(chain: Path) -> None:
    """Through git itself: each branch commits another output of its own stage, and of one that both changed."""
    from r2i.repo.git import install_merge_driver

    install_merge_driver()
    Path(".gitattributes").write_text("dvc.lock merge=dvc-lock\n")
    run(chain, "git", "add", "-A")
    run(chain, "git", *GIT, "commit", "-qm", "the driver")
    run(chain, "git", "branch", "other")
    edit({"vote": "a" * 32, "crop": "c" * 32})
    run(chain, "git", *GIT, "commit", "-qam", "ours")
    run(chain, "git", "checkout", "-q", "other")
    edit({"overlay": "b" * 32, "crop": "d" * 32})
    run(chain, "git", *GIT, "commit", "-qam", "theirs")
    run(chain, "git", *GIT, "merge", "-q", "--no-edit", "-")
    stages = yaml.safe_load(Path("dvc.lock").read_text())["stages"]
    assert stages["vote"]["outs"][0]["md5"] == "a" * 32 and stages["overlay"]["outs"][0]["md5"] == "b" * 32
    assert "crop" not in stages and "sample" in stages
    dry = run(chain, sys.executable, "-m", "dvc", "repro", "--dry", "--allow-missing")
    assert "Running stage 'crop'" in dry and "Running stage 'sample'" not in dry


def edit(outs: dict[str, str]) -> None:
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    for stage, md5 in outs.items():
        lock["stages"][stage]["outs"][0]["md5"] = md5
    Path("dvc.lock").write_text(yaml.safe_dump(lock))


def test_a_merged_lock_keeps_numbers_that_yaml_1_1_takes_for_words(tmp_path: Path) -> None:
    from dvc.utils.serialize import dump_yaml, load_yaml

    stage = {"cmd": "true", "params": {"params.yaml": {"lr": 1e-06, "name": "yes", "code": "010"}}}
    for name in ("base", "ours", "theirs"):
        dump_yaml(str(tmp_path / name), {"schema": "2.0", "stages": {"a": stage}})
    merge_files(tmp_path / "base", tmp_path / "ours", tmp_path / "theirs")
    assert load_yaml(str(tmp_path / "ours"))["stages"]["a"] == stage
