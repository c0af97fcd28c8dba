"""A disk that takes nothing more: cause and remedy, and the table that was there stays."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from r2i.core.disk import DiskError, disk_error, new_file, new_folder, writing
from r2i.core.errors import TableError
from r2i.core.metrics import write_metrics
from r2i.core.stage import explained
from r2i.core.tables import read_table, write_table

SCHEMA = pa.schema([pa.field("row_id", pa.string()), pa.field("value", pa.binary())])
OLD, NEW = [{"row_id": "a", "value": b"old"}], [{"row_id": "b", "value": b"new"}]


def fail(number: int) -> bytes:
    raise OSError(number, os.strerror(number))


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (errno.ENOSPC, "no space left while writing"),
        (errno.EDQUOT, "the disk quota is used up while writing"),
        (errno.EROFS, "the disk is read-only while writing"),
        (errno.EACCES, "permission denied while writing"),
    ],
)
def test_a_table_that_cant_be_written_says_why_and_the_old_one_stays(tmp_path: Path, number: int, what: str) -> None:
    write_table(tmp_path / "t", OLD, SCHEMA)
    with pytest.raises(DiskError) as caught:
        write_table(tmp_path / "t", [{"row_id": "b", "value": lambda: fail(number)}], SCHEMA)
    assert caught.value.cause.startswith(f"{what} {tmp_path / 't'}")
    assert "dvc repro" in caught.value.remedy and "replies that came are kept" in caught.value.remedy
    assert read_table(tmp_path / "t", SCHEMA, "crop") == OLD
    assert os.listdir(tmp_path) == ["t"]  # noqa: PTH208 - hidden ones too


def test_free_space_is_told(tmp_path: Path) -> None:
    found = disk_error(OSError(errno.ENOSPC, "x"), path=tmp_path / "not" / "there")
    assert found is not None and found.cause.endswith(" MiB free")


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(FileNotFoundError), writing(Path("t")):
        raise FileNotFoundError(errno.ENOENT, "gone")


def test_an_error_with_a_cause_of_its_own_stays_what_it_is() -> None:
    with pytest.raises(TableError), writing(Path("t")):
        raise TableError(f"x can't be read: {PermissionError(errno.EACCES, 'x')}", "look")


@pytest.mark.parametrize("new", [new_file, new_folder])
def test_a_block_that_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path, new: Any) -> None:
    path = tmp_path / "made" / "x"
    with pytest.raises(ValueError), new(path):
        raise ValueError
    assert os.listdir(tmp_path / "made") == []  # noqa: PTH208 - hidden ones too
    with new(path) as part:
        write_into(part, "old")
    with pytest.raises(DiskError, match=r"no space left while writing .*x: [\d,]+ MiB free"), new(path) as part:
        write_into(part, "new")
        fail(errno.ENOSPC)
    assert os.listdir(tmp_path / "made") == ["x"]  # noqa: PTH208
    assert read_from(path) == "old"
    with new(path) as part:
        write_into(part, "new")
        assert read_from(path) == "old"
    assert read_from(path) == "new"


def write_into(part: Path, text: str) -> None:
    (part / "text" if part.is_dir() else part).write_text(text)


def read_from(path: Path) -> str:
    return (path / "text" if path.is_dir() else path).read_text()


def test_what_killed_processes_left_of_a_file_goes_with_the_next_write(tmp_path: Path) -> None:
    dead, alive = (tmp_path / f".[m].json.{pid}.part" for pid in (dead_pid(), os.getppid()))
    dead.touch()
    alive.touch()
    write_metrics(tmp_path / "[m].json", {})
    assert {path.name for path in tmp_path.iterdir()} == {"[m].json", alive.name}


def test_a_copy_that_the_disk_does_not_take_is_a_disk_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`shutil.copytree` tells the system's error in its text alone."""
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "weights").touch()
    monkeypatch.setattr(shutil, "copy2", lambda *_: fail(errno.EDQUOT))
    with pytest.raises(DiskError, match="the disk quota is used up"), new_folder(tmp_path / "to") as part:
        shutil.copytree(tmp_path / "from", part, dirs_exist_ok=True, copy_function=shutil.copy2)
    assert [path.name for path in tmp_path.iterdir()] == ["from"]


def test_metrics_on_a_full_disk_leave_no_part_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_metrics(tmp_path / "m.json", {"rows": 1})
    monkeypatch.setattr(os, "replace", lambda *_: fail(errno.ENOSPC))
    with pytest.raises(DiskError, match=r"no space left while writing .*m\.json: [\d,]+ MiB free"):
        write_metrics(tmp_path / "m.json", {"rows": 2})
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["m.json"]
    assert '"rows": 1' in (tmp_path / "m.json").read_text()


def test_a_stage_on_a_full_disk_ends_with_1_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, explained(), open("/dev/full", "w") as file:  # noqa: PTH123
        file.write("x")
        file.flush()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("error: no space left") and "\n  -> make space" in said


def test_a_second_move_that_fails_brings_the_old_table_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table(tmp_path / "t", OLD, SCHEMA)
    replace, moves = os.replace, []

    def second_fails(one: Path, other: Path) -> None:
        moves.append(one)
        replace(one, other) if len(moves) != 2 else fail(errno.EIO)

    monkeypatch.setattr(os, "replace", second_fails)
    with pytest.raises(DiskError, match="input/output"):
        write_table(tmp_path / "t", NEW, SCHEMA)
    assert len(moves) == 3 and read_table(tmp_path / "t", SCHEMA, "crop") == OLD


def test_what_a_killed_process_left_is_put_back_or_removed(tmp_path: Path) -> None:
    """Killed between the two moves: no table, the old one beside it. A living process' part stays."""
    pid = dead_pid()
    write_table(tmp_path / "t", OLD, SCHEMA)
    (tmp_path / "t").rename(tmp_path / f".t.{pid}.old")
    (tmp_path / f".t.{pid}.part").mkdir()
    (tmp_path / f".t.{os.getppid()}.part").mkdir()
    with pytest.raises(DiskError):
        write_table(tmp_path / "t", [{"row_id": "b", "value": lambda: fail(errno.ENOSPC)}], SCHEMA)
    assert read_table(tmp_path / "t", SCHEMA, "crop") == OLD
    assert {path.name for path in tmp_path.iterdir()} == {"t", f".t.{os.getppid()}.part"}


def test_two_processes_that_write_one_table_at_once_both_end_and_one_table_is_there(tmp_path: Path) -> None:
    """As after `kill -9` of `dvc` alone: its stage goes on beside that of the next `dvc repro`."""
    code = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[2:]\n"
        "from test_disk import NEW, SCHEMA; from r2i.core.tables import write_table\n"
        "for _ in range(150): write_table(Path(sys.argv[1]), NEW, SCHEMA)\n"
    )
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", code, str(tmp_path / "t"), here, str(Path(here).parent)]
    runs = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [run.communicate()[1] for run in runs] == ["", ""] and [run.returncode for run in runs] == [0, 0]
    assert read_table(tmp_path / "t", SCHEMA, "crop") == NEW
    assert os.listdir(tmp_path) == ["t"]  # noqa: PTH208 - hidden ones too


def test_a_model_that_the_disk_does_not_take_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    from safetensors import SafetensorError

    from r2i.train.trl import save_model

    class Full:
        def save_pretrained(self, folder: Path) -> None:
            (folder / "config.json").touch()
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with pytest.raises(DiskError, match=r"no space left while writing .*distilled"):
        save_model(Full(), Full(), tmp_path / "distilled")
    assert list(tmp_path.iterdir()) == []
