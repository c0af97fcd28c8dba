import errno
import json
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from endpoint.made_replies import made_call, made_key, made_record, made_reply, made_request, noise, put, start_python

from r2i.core import paths
from r2i.core.errors import EndpointError
from r2i.endpoint.record import DamagedRecord, write_record
from r2i.endpoint.store import Store

KEY = made_key()


def texts(store: Store, number: int = 0) -> dict[int, str]:
    return {i: reply.text for i, reply in sorted(store.find(made_key(number)).items())}


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_what_was_put_is_found_by_another_store(tmp_path: Path) -> None:
    put(Store(tmp_path), 0, {0: "four dots 🔴", 1: "4"})
    assert Store(tmp_path).find(KEY) == {0: made_reply(0, 0), 1: made_reply(0, 1, "4")}
    assert files(tmp_path) == [f"{KEY[:2]}/{KEY}.json"]
    assert Store(tmp_path).find(made_key(1)) == {}


def test_calls_of_one_request_share_its_record_and_the_first_reply_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, 0, {0: "four"})
    put(store, 0, {0: "five", 1: "4"})
    assert texts(store) == {0: "four", 1: "4"}
    assert store.read(KEY).calls == [made_call(0), made_call(0, 1)]


def test_nothing_new_writes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, 0, {0: "four"})
    before = store.path(KEY).stat()
    put(store, 0, {0: "five"})
    assert store.path(KEY).stat().st_ino == before.st_ino


@pytest.mark.parametrize("reason", ["timeout", "server_error", "rate_limited", "connection"])
def test_a_failure_that_may_pass_is_not_kept(tmp_path: Path, reason: str) -> None:
    put(Store(tmp_path), 0, {0: ""}, reason)
    assert files(tmp_path) == []


@pytest.mark.parametrize("reason", ["bad_request", "refused", "truncated", "empty"])
def test_a_failure_that_was_paid_for_or_would_come_again_is_kept(tmp_path: Path, reason: str) -> None:
    put(Store(tmp_path), 0, {0: "cut"}, reason)
    assert Store(tmp_path).find(KEY) == {0: made_reply(0, 0, "cut", reason)}


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"null", b"3", b"{}", b"\xff\xfe\xff", b'{"sha256": "x"}', write_record(made_record())[:-1],
     write_record(made_record()).replace(b"four", b"five"), write_record(made_record(1))],
    ids="empty list null number object bytes stub torn altered of-another".split(),
)  # fmt: skip
def test_a_damaged_record_is_missing_and_is_paid_for_again(tmp_path: Path, data: bytes) -> None:
    store = Store(tmp_path)
    store.path(KEY).parent.mkdir()
    store.path(KEY).write_bytes(data)
    assert store.find(KEY) == {}
    with pytest.raises(DamagedRecord):
        store.read(KEY)
    put(store, 0, {0: "four"})
    assert texts(store) == {0: "four"}


@pytest.mark.parametrize("tokens", [(-1, 3), (7, -1), (True, 3), (float("inf"), 3), (0.5, 1), (10**30, 1)])
def test_a_record_that_could_not_be_read_back_is_never_written(tmp_path: Path, tokens: tuple[int, int]) -> None:
    store = Store(tmp_path)
    put(store, 0, {0: "four"})
    request = made_request()
    with pytest.raises(DamagedRecord):
        store.put(KEY, request.parts("big"), "", {1: made_reply(0, 1, "4", tokens=tokens)}, made_call(1))
    assert texts(store) == {0: "four"} and files(tmp_path) == [f"{KEY[:2]}/{KEY}.json"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes")
def test_what_is_no_file_or_too_large_is_missing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.path(KEY)
    path.parent.mkdir()
    os.mkfifo(path)
    assert store.find(KEY) == {}
    path.unlink()
    path.mkdir()
    with pytest.raises(EndpointError, match="Is a directory"):  # before a call is paid for that can't be stored
        store.find(KEY)
    path.rmdir()
    path.symlink_to(path)
    assert store.find(KEY) == {}
    path.unlink()
    with path.open("wb") as file:
        file.truncate(2**40)  # of holes
    assert store.find(KEY) == {}
    with pytest.raises(DamagedRecord, match="1099511627776 bytes"):
        store.read(KEY)


def test_half_a_surrogate_pair_is_kept_as_it_came(tmp_path: Path) -> None:
    put(Store(tmp_path), 0, {0: "\ud83d"})
    assert texts(Store(tmp_path)) == {0: "\ud83d"}


def test_parts_of_another_request_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="hash"):
        Store(tmp_path).put(KEY, made_request(1).parts("big"), "", {0: made_reply()}, made_call(0))


def test_threads_that_bring_samples_of_one_request_lose_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda i: put(store, 0, {i: str(i)}), range(64)))
    assert texts(store) == {i: str(i) for i in range(64)}


def test_a_root_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EndpointError, match=r"can't be (read|written).*R2I_STORE"):
        put(Store(tmp_path / "file"), 0, {0: "four"})
    with pytest.raises(EndpointError, match="can't be read"):
        Store(tmp_path / "file").find(KEY)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_store_is_read_and_named_when_written(tmp_path: Path) -> None:
    put(Store(tmp_path), 0, {0: "four"})
    tmp_path.chmod(0o500)
    try:
        assert texts(Store(tmp_path)) == {0: "four"}
        with pytest.raises(EndpointError, match="can't be written"):
            put(Store(tmp_path), 1, {0: "four"})
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_named_and_leaves_no_part_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = Store(tmp_path)
    put(store, 0, {0: "four"})
    monkeypatch.setattr(os, call, full)
    with pytest.raises(EndpointError, match=r"No space left.*free some space"):
        put(store, 0, {1: "4"})
    assert files(tmp_path) == [f"{KEY[:2]}/{KEY}.json"]
    assert texts(store) == {0: "four"}


LIMITED = """
import resource, sys
from pathlib import Path
from endpoint.made_replies import put
from r2i.endpoint.store import Store
from r2i.core.errors import EndpointError
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
put(Store(Path(sys.argv[1])), 0, {0: "four"})
try:
    put(Store(Path(sys.argv[1])), 0, {1: "4" * 4000})
except EndpointError as error:
    print(error.cause)
"""


@pytest.mark.skipif(os.name != "posix", reason="POSIX limits")
def test_a_write_that_the_system_cuts_short_costs_nothing_that_was_there(tmp_path: Path) -> None:
    with start_python(LIMITED, tmp_path) as other:
        out, error = other.communicate()
    assert "can't be written" in out, error
    assert files(tmp_path) == [f"{KEY[:2]}/{KEY}.json"]
    assert texts(Store(tmp_path)) == {0: "four"}


KILLED = """
import os, signal, sys
from pathlib import Path
from endpoint.made_replies import put
from r2i.endpoint.store import Store
store = Store(Path(sys.argv[1]))
put(store, 0, {0: "four"})
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
put(store, 0, {1: "4"})
"""


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_killed_before_the_replace_a_put_leaves_the_old_record_whole(tmp_path: Path) -> None:
    with start_python(KILLED, tmp_path) as other:
        assert other.wait() == -9
    assert texts(Store(tmp_path)) == {0: "four"}
    assert [name.endswith(".part") for name in files(tmp_path)] == [True, False]


BUSY = """
import sys
from pathlib import Path
from endpoint.made_replies import noise, put
from r2i.endpoint.store import Store
store = Store(Path(sys.argv[1]))
print("ready", flush=True)
for number in range(100_000):
    put(store, number % 50, {number // 50: noise(number, 20_000)})
"""


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_killed_at_any_moment_every_record_is_whole(tmp_path: Path) -> None:
    draw = random.Random(3)
    with start_python(BUSY, tmp_path) as one, start_python(BUSY, tmp_path) as other:  # two that share a store
        for process in (one, other):
            assert process.stdout and process.stdout.readline() == "ready\n"
        time.sleep(0.3 + draw.random())
        one.kill()
        other.kill()
    store = Store(tmp_path)
    keys = list(store.iter_keys())
    assert keys and keys == sorted(keys)
    for key in keys:
        store.read(key)  # raises where it is not whole
    for number in range(50):
        assert all(text == noise(number + 50 * i, 20_000) for i, text in texts(store, number).items())


def test_keys_are_those_of_records_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(20):
        put(store, number, {0: "four"})
    assert store.claim(KEY)
    (tmp_path / "ab").mkdir(exist_ok=True)
    for stray in ("ab/notes.txt", "ab/short.json", f"ab/.{KEY}.x.part", "README", f"ab/{'cd' * 32}.json"):
        (tmp_path / stray).write_text("x")
    assert list(store.iter_keys()) == sorted(made_key(number) for number in range(20))


def test_a_claim_is_one_for_all_stores_at_a_root(tmp_path: Path) -> None:
    assert Store(tmp_path).claim(KEY)
    assert not Store(tmp_path).claim(KEY)
    Store(tmp_path).release(KEY)
    assert Store(tmp_path).claim(KEY)


def test_the_root_is_r2i_store_then_dvc_root_then_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R2I_STORE", "/a")
    monkeypatch.setenv("R2I_REPLIES", "/c")
    monkeypatch.setenv("DVC_ROOT", "/b")
    assert (paths.reply_store(), paths.reply_archive()) == (Path("/a"), Path("/c"))
    monkeypatch.delenv("R2I_STORE")
    monkeypatch.delenv("R2I_REPLIES")
    assert (paths.reply_store(), paths.reply_archive()) == (Path("/b/.r2i/store"), Path("/b/replies"))
    monkeypatch.delenv("DVC_ROOT")
    assert (paths.reply_store(), paths.reply_archive()) == (Path(".r2i/store"), Path("replies"))


def test_a_store_with_a_root_of_its_own_has_no_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R2I_REPLIES", str(tmp_path / "replies"))
    monkeypatch.setenv("R2I_STORE", str(tmp_path / "store"))
    assert Store(tmp_path).archive is None
    own = Store()
    assert own.archive is not None and own.archive.folder == tmp_path / "replies"
    assert own.find(KEY) == {}
    assert not any(tmp_path.iterdir()), "looking makes nothing"


def test_records_are_json_that_a_person_can_read(tmp_path: Path) -> None:
    put(Store(tmp_path), 0, {0: "four"})
    record = json.loads(Store(tmp_path).path(KEY).read_bytes())
    assert record["request"]["prompt"] == "How many dots?" and record["replies"]["0"]["text"] == "four"
