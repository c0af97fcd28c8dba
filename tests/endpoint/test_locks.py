import os
from pathlib import Path

import pytest
from endpoint.made_replies import made_key, start_python

from r2i.core.errors import EndpointError
from r2i.endpoint import locks

KEY = made_key()
HOLD = """
import sys
from pathlib import Path
from r2i.endpoint import locks
print(locks.claim(Path(sys.argv[1]), sys.argv[2]), flush=True)
sys.stdin.readline()
locks.release(Path(sys.argv[1]), sys.argv[2])
print("released", flush=True)
sys.stdin.readline()
"""


def test_a_key_is_claimed_once_also_within_a_process(tmp_path: Path) -> None:
    assert locks.claim(tmp_path / "store", KEY)
    assert not locks.claim(tmp_path / "store", KEY)
    assert locks.claim(tmp_path / "store", made_key(1)), "other keys are free"
    assert locks.claim(tmp_path / "other", KEY), "other stores are free"
    locks.release(tmp_path / "store", KEY)
    assert locks.claim(tmp_path / "store", KEY)


def test_releasing_what_is_not_held_does_nothing(tmp_path: Path) -> None:
    locks.release(tmp_path, KEY)
    assert locks.claim(tmp_path, KEY)
    locks.release(tmp_path, made_key(1))
    assert not locks.claim(tmp_path, KEY)


def test_a_store_is_the_same_by_any_path(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "store")
    assert locks.claim(tmp_path / "store", KEY)
    assert not locks.claim(tmp_path / "link", KEY)


def test_another_process_is_waited_for_until_it_releases(tmp_path: Path) -> None:
    with start_python(HOLD, tmp_path, KEY) as other:
        assert other.stdout and other.stdin
        assert other.stdout.readline() == "True\n"
        assert not locks.claim(tmp_path, KEY)
        assert locks.claim(tmp_path, made_key(1))
        locks.release(tmp_path, made_key(1))  # no lock of ours, nor a release, frees theirs
        assert not locks.claim(tmp_path, KEY)
        print(file=other.stdin, flush=True)
        assert other.stdout.readline() == "released\n"
        assert locks.claim(tmp_path, KEY)
        other.kill()


def test_a_claim_dies_with_its_process(tmp_path: Path) -> None:
    with start_python(HOLD, tmp_path, KEY) as other:
        assert other.stdout
        assert other.stdout.readline() == "True\n"
        assert not locks.claim(tmp_path, KEY)
        other.kill()
        other.wait()
    assert locks.claim(tmp_path, KEY)


def test_our_claim_holds_off_another_process(tmp_path: Path) -> None:
    assert locks.claim(tmp_path, KEY)
    with start_python(HOLD, tmp_path, KEY) as other:
        assert other.stdout
        assert other.stdout.readline() == "False\n"
        other.kill()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_has_none_of_its_parents_claims(tmp_path: Path) -> None:
    assert locks.claim(tmp_path, KEY)
    child = os.fork()
    if child == 0:  # refused by the kernel, not by what the parent noted; another key is free
        os._exit(0 if not locks.claim(tmp_path, KEY) and locks.claim(tmp_path, made_key(1)) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not locks.claim(tmp_path, KEY)
    assert locks.claim(tmp_path, made_key(1)), "the child's claim died with it"


def test_without_file_locks_a_claim_still_holds_in_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "fcntl", None)
    assert locks.claim(tmp_path, KEY)
    assert not locks.claim(tmp_path, KEY)
    locks.release(tmp_path, KEY)
    assert locks.claim(tmp_path, KEY)


def test_a_file_system_without_locks_is_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(locks.fcntl, "lockf", refuse)
    assert locks.claim(tmp_path, KEY) and locks.claim(tmp_path, made_key(1))
    assert capsys.readouterr().err.count("has no locks") == 1


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EndpointError, match=r"can't be written.*R2I_STORE"):
        locks.claim(tmp_path / "file", KEY)
