"""What is put by comes back, from any thread, and is gone with the block."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from r2i.core.spool import Spool


def test_what_many_threads_keep_each_gets_back(tmp_path: Path) -> None:
    datas = [bytes([number]) * (1000 + number) for number in range(200)]
    with Spool(tmp_path / "new") as spool, ThreadPoolExecutor(8) as pool:
        givers = list(pool.map(spool.keep, datas))
        assert list(pool.map(lambda give: give(), reversed(givers))) == datas[::-1]


def test_nothing_is_made_until_there_is_something_to_keep_and_nothing_is_left(tmp_path: Path) -> None:
    with Spool(tmp_path / "new"):
        assert not (tmp_path / "new").exists()
    with Spool(tmp_path / "new") as spool:
        give = spool.keep(b"x")
        assert list((tmp_path / "new").iterdir()) == []  # no name: a killed process leaves nothing
    with pytest.raises(ValueError, match="closed file"):
        give()


def test_a_further_file_is_read_in_parts(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        file = spool.new_file()
        file.write(b"0123456789")
        assert spool.keep(b"abc")() == b"abc"
        assert spool.part(file, 3, 4) == b"3456"
