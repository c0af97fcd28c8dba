import json
from pathlib import Path

import pytest

from r2i.endpoint.base import Reply
from r2i.endpoint.store import Store, default_root
from r2i.errors import EndpointError

KEY = "ab" + "0" * 62


def reply(text: str = "four dots 🔴", status: str = "ok", reason: str = "", key: str = KEY) -> Reply:
    return Reply(text, status, reason, key, "big")


def test_what_was_put_is_found_by_another_process(tmp_path: Path) -> None:
    assert Store(tmp_path).put(reply())
    assert Store(tmp_path).get(KEY) == reply()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()] == [
        f"ab/{KEY}.json"
    ]
    assert Store(tmp_path).get("cd" + KEY[2:]) is None


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_a_torn_record_is_missing_and_can_be_written_again(tmp_path: Path, cut: int) -> None:
    store = Store(tmp_path)
    store.put(reply())
    path = store.path(KEY)
    path.write_bytes(path.read_bytes()[:cut])
    assert store.get(KEY) is None
    store.put(reply())
    assert store.get(KEY) == reply()


@pytest.mark.parametrize(
    "body", ["[]", "3", "null", "{}", '{"sha256": "x"}', '{"sha256": "x", "reply": {"a": 1}}', "\xff"]
)
def test_a_record_of_another_form_is_missing(tmp_path: Path, body: str) -> None:
    store = Store(tmp_path)
    store.put(reply())
    store.path(KEY).write_bytes(body.encode("latin-1"))
    assert store.get(KEY) is None


def test_an_altered_or_moved_record_is_missing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(reply())
    whole = store.path(KEY).read_text()
    store.path(KEY).write_text(whole.replace("four", "five"))
    assert store.get(KEY) is None
    other = "cd" + KEY[2:]
    store.path(other).parent.mkdir()
    store.path(other).write_text(whole)
    assert store.get(other) is None


@pytest.mark.parametrize("reason", ["truncated", "empty", "timeout", "server_error", "rate_limited", "connection"])
def test_a_failure_that_may_pass_is_not_kept(tmp_path: Path, reason: str) -> None:
    assert not Store(tmp_path).put(reply("", "failed", reason))
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("reason", ["bad_request", "refused"])
def test_a_failure_that_would_come_again_is_kept(tmp_path: Path, reason: str) -> None:
    Store(tmp_path).put(reply("", "failed", reason))
    assert Store(tmp_path).get(KEY) == reply("", "failed", reason)


def test_half_a_surrogate_pair_is_kept_as_it_came(tmp_path: Path) -> None:
    Store(tmp_path).put(reply("\ud83d"))
    assert Store(tmp_path).get(KEY) == reply("\ud83d")


def test_records_are_readable_json_without_time_or_address(tmp_path: Path) -> None:
    Store(tmp_path).put(reply())
    record = json.loads(Store(tmp_path).path(KEY).read_text())
    assert set(record) == {"schema", "reply", "sha256"}
    assert set(record["reply"]) == {"text", "status", "reason", "key", "model"}


def test_a_root_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EndpointError, match=r"can't be written.*R2I_STORE"):
        Store(tmp_path / "file").put(reply())
    with pytest.raises(EndpointError, match="can't be read"):
        Store(tmp_path / "file").get(KEY)


def test_the_root_is_r2i_store_then_dvc_root_then_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R2I_STORE", "/a")
    monkeypatch.setenv("DVC_ROOT", "/b")
    assert default_root() == Path("/a")
    monkeypatch.delenv("R2I_STORE")
    assert default_root() == Path("/b/.r2i/store")
    monkeypatch.delenv("DVC_ROOT")
    assert default_root() == Path(".r2i/store")
