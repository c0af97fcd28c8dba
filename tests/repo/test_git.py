"""Names of files as git has them, whatever letters they are of."""

from pathlib import Path

import pytest
from made_lab import GIT, run

from r2i.repo.git import changed_files, list_files, uncommitted_files

NAMES = [
    "pools/früh.dvc",
    "pools/图 片.dvc",
    'pools/a "b".dvc',
    "pools/line\nbreak.dvc",
    "pools/e\u0301.dvc",
    "pools/plain.dvc",
]


def test_names_that_are_not_ascii_are_told_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(tmp_path, "git", "init", "--quiet")
    Path("pools").mkdir()
    for name in NAMES:
        Path(name).write_text("1")
    assert sorted(list_files("*.dvc", with_new=True)) == sorted(NAMES)
    run(tmp_path, "git", "add", "-A")
    assert uncommitted_files() == sorted(NAMES)
    run(tmp_path, "git", *GIT, "commit", "--quiet", "-m", "pools")
    assert uncommitted_files() == [] and sorted(list_files("*.dvc")) == sorted(NAMES)
    for name in NAMES:
        Path(name).write_text("2")
    assert sorted(changed_files("HEAD")) == uncommitted_files() == sorted(NAMES)
    run(tmp_path, "git", "mv", NAMES[0], "pools/später.dvc")
    assert {NAMES[0], "pools/später.dvc"} <= set(uncommitted_files())
