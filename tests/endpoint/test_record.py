import dataclasses
import json

import pytest
from endpoint.made_replies import made_call, made_key, made_record, made_reply, made_request
from hypothesis import given
from hypothesis import strategies as st

from r2i.endpoint.base import canonical, key_of
from r2i.endpoint.record import DamagedRecord, is_storable, own_sha256, read_record, write_record

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)  # lone surrogates and NUL too
DATA = write_record(made_record())
KEY = made_key()


def resigned(change: object) -> bytes:
    """The made record after `change`, with a true sha256: only its form can tell."""
    from hashlib import sha256

    fields = json.loads(DATA)
    del fields["sha256"]
    change(fields)  # type: ignore[operator]
    return canonical(fields | {"sha256": sha256(canonical(fields).encode()).hexdigest()}).encode()


@given(st.dictionaries(st.integers(0, 12), ANY_TEXT, min_size=1))
def test_any_text_comes_back_as_it_was(texts: dict[int, str]) -> None:
    record = made_record(0, texts)
    assert read_record(write_record(record), KEY) == record


def test_the_key_is_the_hash_of_the_requests_parts() -> None:
    assert key_of(made_request().parts("big")) == KEY == made_record().key
    assert key_of(made_request().parts("small")) != KEY


def test_a_record_is_one_line_of_ascii_json_without_an_address() -> None:
    assert DATA.isascii() and b"\n" not in DATA
    assert sorted(json.loads(DATA)) == ["calls", "prompt_sha256", "replies", "request", "schema", "sha256"]
    assert json.loads(DATA)["replies"]["0"] == {
        "text": "four", "status": "ok", "reason": "", "tokens_in": 7, "tokens_out": 3,
    }  # fmt: skip
    assert own_sha256(DATA) == json.loads(DATA)["sha256"]


@given(st.integers(0, len(DATA) - 1), st.integers(0, 255))
def test_one_wrong_byte_is_noticed(place: int, byte: int) -> None:
    data = DATA[:place] + bytes([byte]) + DATA[place + 1 :]
    try:
        assert read_record(data, KEY) == made_record()  # the same byte, or another way to write the same character
    except DamagedRecord:
        assert data != DATA


@given(st.integers(0, len(DATA) - 1))
def test_a_record_that_is_cut_anywhere_is_damaged(end: int) -> None:
    with pytest.raises(DamagedRecord, match=r"empty|torn"):
        read_record(DATA[:end], KEY)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"\0" * 4096, "empty"),  # what some file systems leave after a power cut
        (b"[]", "no record"),
        (b"null", "no record"),
        (b"{}", "schema None"),
        (b'{"schema": 1, "reply": {}, "sha256": "x"}', "schema 1, not 2"),
        (b'{"schema": 2, "sha256": "x"}', "altered"),
        (b"\xff\xfe{", "torn"),
        (DATA.replace(b"four", b"five"), "altered"),
        (b"[" * 200_000, "torn"),
        (b'{"schema":2,"calls":' + b"[" * 900 + b"]" * 900 + b"}", "altered|nested"),
    ],
)
def test_what_is_no_record_is_damaged_and_says_why(data: bytes, why: str) -> None:
    with pytest.raises(DamagedRecord, match=why):
        read_record(data, KEY)


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.update(replies=[]),
        lambda fields: fields.update(replies={"x": fields["replies"]["0"]}),
        lambda fields: fields.update(replies={"01": fields["replies"]["0"]}),
        lambda fields: fields.update(replies={"-1": fields["replies"]["0"]}),
        lambda fields: fields.update(replies={"0": "four"}),
        lambda fields: fields["replies"]["0"].update(tokens_in=-1),
        lambda fields: fields["replies"]["0"].update(tokens_out=True),
        lambda fields: fields["replies"]["0"].update(text=None),
        lambda fields: fields["replies"]["0"].update(extra=1),
        lambda fields: fields["replies"]["0"].pop("reason"),
        lambda fields: fields["replies"]["0"].update(status="failed", reason="timeout"),
        lambda fields: fields["replies"]["0"].update(status="ok", reason="truncated"),
        lambda fields: fields.pop("request"),
        lambda fields: fields.update(request=[]),
        lambda fields: fields["request"].pop("model"),
        lambda fields: fields.update(calls=[3]),
        lambda fields: fields.update(calls=None),
    ],
)
def test_a_true_hash_does_not_excuse_a_wrong_form(change: object) -> None:
    with pytest.raises(DamagedRecord, match=r"form|another"):
        read_record(resigned(change), KEY)


def test_resigning_alone_does_no_damage() -> None:
    assert read_record(resigned(lambda fields: None), KEY) == made_record()


def test_the_record_of_another_request_is_named() -> None:
    with pytest.raises(DamagedRecord, match=f"another request, {KEY}"):
        read_record(DATA, made_key(1))


def test_samples_that_are_there_stay_as_they_are() -> None:
    record = made_record(0, {0: "four", 1: "4"})
    more = record.adding({1: made_reply(0, 1, "five"), 2: made_reply(0, 2, "vier")}, made_call(1, 2))
    assert {i: reply.text for i, reply in more.replies.items()} == {0: "four", 1: "4", 2: "vier"}
    assert more.calls == [made_call(0, 1), made_call(1, 2)]
    assert more.adding({2: made_reply(0, 2, "quatre")}, made_call(2)) is more


def test_a_part_of_a_record_keeps_the_calls_that_brought_it() -> None:
    record = made_record(0, {0: "four"}).adding({1: made_reply(0, 1)}, made_call(1))
    part = record.only([1, 9])
    assert part.replies == {1: made_reply(0, 1)} and part.calls == [made_call(1)]
    assert read_record(write_record(part), KEY) == part


@pytest.mark.parametrize("reason", ["", "truncated", "empty", "refused", "bad_request"])
def test_what_was_paid_for_or_would_come_again_is_kept(reason: str) -> None:
    assert is_storable(made_reply(reason=reason))


@pytest.mark.parametrize("reason", ["timeout", "server_error", "rate_limited", "connection"])
def test_a_failure_that_may_pass_is_not_kept(reason: str) -> None:
    assert not is_storable(made_reply(reason=reason))
    assert not is_storable(dataclasses.replace(made_reply(), status="ok", reason=reason))


def test_a_calls_keys_are_strings_once_written() -> None:
    """{2: .., 10: ..} sorts otherwise as numbers than as the strings that JSON makes of them."""
    record = dataclasses.replace(made_record(), calls=[{"usage": {2: 1, 10: 1}}])
    assert read_record(write_record(record), KEY).calls == [{"usage": {"2": 1, "10": 1}}]
