"""Which outputs a run has in common with the committed lock, and why the others differ."""

import json
from pathlib import Path

import pytest
import yaml
from made_lab import TABLES, run

from r2i.repo.reproduced import MACHINE, Comparison, compare_locks, cpu_kind, describe, describe_run


def stage(outs: dict[str, str], deps: dict[str, str], **more: object) -> dict[str, object]:
    entries = {"outs": outs, "deps": deps}
    return {
        "cmd": "python x.py",
        **{k: [{"path": p, "md5": m} for p, m in v.items()] for k, v in entries.items()},
    } | more


COMMITTED = {
    "code": stage({"data/code": "c1"}, {"r2i": "r1"}),
    "vote": stage({"votes": "v1"}, {"data/code/vote.txt": "k1"}, params={"params.yaml": {"seed": 0}}),
    "train": stage({"model": "m1", "curve": "u1"}, {"votes": "v1", "data/code/train.txt": "k2"}),
    "score": stage({"scores": "s1"}, {"model": "m1"}),
}


def other(**stages: dict[str, object]) -> dict[str, dict[str, object]]:
    return COMMITTED | stages


def test_the_same_lock_is_equal_in_all_outputs() -> None:
    assert compare_locks(COMMITTED, COMMITTED) == Comparison(5, 5)


def test_other_bytes_from_equal_inputs_are_told_from_what_follows_from_them() -> None:
    here = other(
        train=stage({"model": "m2", "curve": "u1"}, {"votes": "v1", "data/code/train.txt": "k2"}),
        score=stage({"scores": "s2"}, {"model": "m2"}),
    )
    assert compare_locks(here, COMMITTED) == Comparison(3, 5, arithmetic=["train"], following=["score"])


@pytest.mark.parametrize("change", [{"params": {"params.yaml": {"seed": 1}}}, {"cmd": "python y.py"}])
def test_a_stage_with_other_params_or_command_is_changed(change: dict[str, object]) -> None:
    here = other(
        vote=stage({"votes": "v2"}, {"data/code/vote.txt": "k1"}, params={"params.yaml": {"seed": 0}}) | change
    )
    assert compare_locks(here, COMMITTED).changed == ["vote"]


def test_a_stage_with_other_code_or_that_is_new_is_changed() -> None:
    code = other(vote=COMMITTED["vote"] | stage({"votes": "v2"}, {"data/code/vote.txt": "k9"}))
    assert compare_locks(code, COMMITTED).changed == ["vote"]
    assert compare_locks(other(more=stage({"x": "1"}, {"y": "2"})), COMMITTED).changed == ["more"]


def test_the_lines_name_both_kinds_of_cpu() -> None:
    found = Comparison(3, 5, arithmetic=["train"], following=["score"])
    lines = describe(found, "AuthenticAMD avx2", "GenuineIntel avx2 avx512f")
    assert lines[0].startswith("outputs: 3 of 5")
    assert any("AuthenticAMD avx2; here: GenuineIntel avx2 avx512f" in line for line in lines)
    assert "make twins" in "\n".join(describe(found, "A avx2", "A avx2"))
    assert len(describe(Comparison(5, 5), "A", "B")) == 1


def test_a_run_with_other_outputs_writes_down_its_machine_and_an_equal_one_does_not(chain: Path) -> None:
    assert describe_run() == [
        f"outputs: {2 * len(TABLES)} of {2 * len(TABLES)} have the bytes that the committed dvc.lock names"
    ]
    assert not MACHINE.exists()
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    lock["stages"]["vote"]["outs"][0]["md5"] = "0" * 32
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    lines = describe_run()
    assert any("other bytes from equal inputs: vote" in line for line in lines) and "not recorded" in "\n".join(lines)
    assert json.loads(MACHINE.read_text())["cpu"] == cpu_kind()
    run(chain, "git", "rm", "-q", "--cached", "dvc.lock")
    run(chain, "git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "no lock")
    assert describe_run() == []
