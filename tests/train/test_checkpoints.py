"""A run goes on from the newest checkpoint whose bytes are those that were written, and from no other."""

from collections.abc import Callable
from pathlib import Path

import pytest

from r2i.train.resume import MARK, fault_of_checkpoint, last_checkpoint, mark_complete


def make_checkpoint(folder: Path, step: int, complete: bool = True) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    (checkpoint / "rng").mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.pt", "trainer_state.json", "rng/0.pth"):
        (checkpoint / name).write_bytes(f"{name} {step}".encode() * 99)
    if complete:
        mark_complete(checkpoint)
    return checkpoint


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


SPOILS: dict[str, Callable[[Path], object]] = {
    "a weight's bit": lambda one: flip(one / "model.safetensors"),
    "half a file": lambda one: cut(one / "model.safetensors"),
    "an empty file": lambda one: (one / "trainer_state.json").write_bytes(b""),
    "no optimizer": lambda one: (one / "optimizer.pt").unlink(),
    "a file in a folder": lambda one: flip(one / "rng/0.pth"),
    "a folder in place of a file": lambda one: ((one / "optimizer.pt").unlink(), (one / "optimizer.pt").mkdir()),
    "no mark": lambda one: (one / MARK).unlink(),
    "an empty mark": lambda one: (one / MARK).write_bytes(b""),
    "half a mark": lambda one: cut(one / MARK),
    "a mark of nothing": lambda one: (one / MARK).write_text("{}"),
    "a mark that is a list": lambda one: (one / MARK).write_text("[1]"),
    "a mark of another text": lambda one: (one / MARK).write_bytes(b"\xff\xfe"),
    "a mark that is a folder": lambda one: ((one / MARK).unlink(), (one / MARK).mkdir()),
}  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
def test_an_older_whole_checkpoint_is_taken_where_the_newest_is_spoiled(
    tmp_path: Path, spoil: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    older, newest = make_checkpoint(tmp_path, 8), make_checkpoint(tmp_path, 10)
    assert last_checkpoint(tmp_path) == str(newest) and capsys.readouterr().err == ""
    spoil(newest)
    marked = (newest / MARK).exists()
    assert last_checkpoint(tmp_path) == str(older)
    assert not newest.exists() and fault_of_checkpoint(older) == ""
    assert (f"{newest} is not used" in capsys.readouterr().err) == marked  # one that a kill cut short is no news


def test_training_starts_anew_where_no_checkpoint_is_whole(tmp_path: Path) -> None:
    for step in (1, 2):
        flip(make_checkpoint(tmp_path, step) / "optimizer.pt")
    make_checkpoint(tmp_path, 3, complete=False)
    assert last_checkpoint(tmp_path) is None and not list(tmp_path.iterdir())
    assert last_checkpoint(tmp_path / "nowhere") is None


def test_what_only_looks_like_a_checkpoint_is_passed_over(tmp_path: Path) -> None:
    whole = make_checkpoint(tmp_path, 5)
    (tmp_path / "checkpoint-best").mkdir()
    (tmp_path / "checkpoint-7").write_text("a file")
    (tmp_path / "checkpoint-8").symlink_to(whole)
    assert last_checkpoint(tmp_path) in (str(whole), str(tmp_path / "checkpoint-8"))
    assert (tmp_path / "checkpoint-best").is_dir()


@pytest.mark.parametrize("step", [9, 10, 100])
def test_the_newest_is_that_of_the_highest_step(tmp_path: Path, step: int) -> None:
    for number in (2, 8, step):
        make_checkpoint(tmp_path, number)
    assert last_checkpoint(tmp_path) == str(tmp_path / f"checkpoint-{step}")
