import email.utils
import json
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2i.endpoint.chat import (
    BadBodyError,
    Completion,
    CompletionChoice,
    ErrorBody,
    ReportedError,
    read_completion,
    read_error,
    retry_after,
)  # fmt: skip


def body(*choices: object, **more: object) -> bytes:
    return json.dumps({"choices": choices} | more).encode()


def choice(content: object, finish: Any = "stop", index: int = 0, **message: object) -> dict[str, object]:
    return {"index": index, "finish_reason": finish, "message": {"content": content} | message}


def texts(data: bytes, n: int = 4) -> list[tuple[str, str]]:
    return [(one.text, one.reason) for one in read_completion(data, n).choices]


def test_choices_are_read_in_the_order_of_their_index() -> None:
    assert texts(body(choice("b", index=1), choice("a", index=0))) == [("a", ""), ("b", "")]


def test_a_cut_reply_without_content_is_truncated_not_empty() -> None:
    # a reasoning model that spent all its tokens on thinking
    assert texts(body(choice(None, "length"))) == [("", "truncated")]


def test_a_refusal_field_is_a_refusal() -> None:
    assert texts(body(choice(None, refusal="I can't help"))) == [("", "refused")]


def test_content_in_parts_is_joined() -> None:
    assert texts(body(choice([{"type": "text", "text": "re"}, {"type": "text", "text": "d"}]))) == [("red", "")]


def test_half_an_emoji_becomes_a_replacement_character() -> None:
    assert texts(body(choice("x\ud83d"))) == [("x\ufffd", "")]


def test_usage_is_read_and_shared_out() -> None:
    usage = {"prompt_tokens": 50, "completion_tokens": 7}
    found = read_completion(body(choice("a"), choice("b", index=1), usage=usage, model="m-1"), 2)
    assert (found.tokens_in, found.tokens_out, found.served_model) == (50, 7, "m-1")
    assert [found.tokens_of(0), found.tokens_of(1)] == [(50, 4), (0, 3)]
    assert read_completion(body(choice("a"), usage=None)) == Completion([CompletionChoice("a", "", "stop")])


@pytest.mark.parametrize("finish", ["stop", "STOP", "eos", "eos_token", "stop_sequence", "end_turn", "COMPLETE"])
def test_a_finished_reply_is_an_answer(finish: str) -> None:
    assert texts(body(choice("red", finish))) == [("red", "")]


@pytest.mark.parametrize(
    ("finish", "reason", "passing"),
    [
        ("length", "truncated", False), ("MAX_TOKENS", "truncated", False), ("model_length", "truncated", False),
        ("content_filter", "refused", False), ("sensitive", "refused", False), ("SAFETY", "refused", False),
        ("RECITATION", "refused", False), ("PROHIBITED_CONTENT", "refused", False),
        ("network_error", "network_error", True), ("abort", "abort", True), ("error", "server_error", True),
        ("insufficient_system_resource", "insufficient_system_resource", True),
        (None, "unfinished", True), ("", "unfinished", True), (7, "unfinished", True), ({}, "unfinished", True),
        ("tool_calls", "tool_calls", False), ("repetition", "repetition", False), ("\x1b[31mDone!", "31mdone", False),
        ("ok", "server_error", False), ("x" * 999, "x" * 40, False),
    ],
)  # fmt: skip
def test_every_other_ending_is_a_failure_with_its_name(finish: Any, reason: str, passing: bool) -> None:
    (one,) = read_completion(body(choice("The color is", finish))).choices
    assert (one.text, one.reason, one.passing) == ("The color is", reason, passing)


def test_a_choice_with_an_error_is_no_answer_whatever_its_ending() -> None:
    for finish in ("stop", "error", "length", None):
        (one,) = read_completion(body(choice("The col", finish) | {"error": {"code": 502}})).choices
        assert one.reason in ("server_error", "unfinished") and one.passing


def test_an_error_beside_choices_is_an_error() -> None:
    with pytest.raises(ReportedError) as caught:
        read_completion(body(choice("red"), error={"message": "overloaded", "code": 503}))
    assert caught.value.error == ErrorBody("overloaded", code="503")


def test_reasoning_parts_are_no_part_of_the_text() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "blue?"}]}, {"type": "text", "text": "red"}]
    parts.append({"type": "reasoning", "text": "it is blue"})
    assert texts(body(choice(parts))) == [("red", "")]
    assert texts(body(choice([{"type": "refusal", "refusal": "no"}]))) == [("", "refused")]


@pytest.mark.parametrize("content", [
    3, True, {"text": "red"}, {"text": "red", "type": "text"}, [3], [None], [{"type": "text", "text": 3}],
    [{"type": "text"}], [{"type": "image_url"}], [[]],
])  # fmt: skip
def test_content_that_is_no_text_is_no_answer(content: object) -> None:
    with pytest.raises(BadBodyError):
        read_completion(body(choice(content)))


@pytest.mark.parametrize(
    "data",
    [
        body(choice("red"), choice("blue")),  # two of index 0
        body(choice("red"), choice("blue", index=1), choice("green", index=1)),
        body(*(choice(color, index=i) for i, color in enumerate("red blue green teal pink".split()))),  # 5, asked for 4
        body(choice("red") | {"index": "0"}),
        body(choice("red") | {"index": True}),
        body(choice("red") | {"index": None}, choice("blue", index=0)),
        body(choice("red")) + body(choice("blue")),
        b'{"choices": [], ' + body(choice("red"))[1:],
        body(choice("red")).replace(b'"content"', b'"content": "blue", "content"'),
    ],
)
def test_two_answers_to_one_request_are_none(data: bytes) -> None:
    with pytest.raises(BadBodyError):
        read_completion(data, 4)


def test_choices_without_an_index_stand_in_their_order() -> None:
    bare = [{"message": {"content": text}, "finish_reason": "stop"} for text in "ab"]
    assert texts(body(*bare)) == [("a", ""), ("b", "")]


@pytest.mark.parametrize("count", ["-1", "-1e300", "1e400", "Infinity", "NaN", "1" + "0" * 30, '"many"', "true", "[]"])
def test_a_count_of_tokens_that_cannot_be_true_costs_no_reply(count: str) -> None:
    usage = f'{{"prompt_tokens": {count}, "completion_tokens": {count}}}'
    found = read_completion(body(choice("red"), usage=3).replace(b'"usage": 3', b'"usage": ' + usage.encode()))
    assert (found.choices[0].text, found.tokens_in, found.tokens_out) == ("red", 0, 0)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"3", b"null", b'{"choices": 3}', b'{"choices": {}}', b'{"choices": [3]}', b'{"choices": []}',
        b'{"choices": [{"text": "old"}]}', b'{"choices": [{"message": null, "finish_reason": "stop"}]}',
        body(choice("caf\u00e9")).replace(b"\\u00e9", b"\xe9"), b"\xff\xfe" + '{"choices": []}'.encode("utf-16-le"),
        b"[" * 20_000, b'{"choices":' * 20_000, b'{"choices": [' + b"[" * 900 + b"]" * 900 + b"]}",
        b'{"choices": ' + b"9" * 5000 + b"}", b"data: {}\n\ndata: [DONE]\n\n", b"\0" * 1000,
    ],
)  # fmt: skip
def test_anything_else_is_a_bad_body(data: bytes) -> None:
    with pytest.raises(BadBodyError):
        read_completion(data)
    assert read_error(data).message is not None  # an error in such a body is told all the same


def test_a_byte_order_mark_is_no_part_of_a_body() -> None:
    assert texts(b"\xef\xbb\xbf" + body(choice("red"))) == [("red", "")]


@given(st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5)
    | st.sampled_from(["stop", "message", "content"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["choices", "message", "content", "index", "finish_reason", "usage", "error", "type", "text",
                         "prompt_tokens", "code", "refusal", "model", "id"]), inner, max_size=6),
    max_leaves=30,
))  # fmt: skip
def test_any_json_is_a_completion_or_a_bad_body(value: Any) -> None:
    data = json.dumps(value).encode()
    try:
        for one in read_completion(data, 2).choices:
            assert isinstance(one.text, str) and (one.reason or one.text.strip())
    except BadBodyError:
        pass
    error = read_error(data)
    assert all(isinstance(text, str) for text in (error.message, error.param, error.code, error.type))


def test_complaints_are_read_from_any_body() -> None:
    stated = {"error": {"message": "no", "param": "seed", "code": 400, "type": "bad"}}
    assert read_error(json.dumps(stated).encode()) == ErrorBody("no", "seed", "400", "bad")
    assert read_error(b'{"error": "overloaded"}') == ErrorBody("overloaded")
    assert read_error(b'{"code": "Arrearage", "message": "no money"}') == ErrorBody("no money", code="Arrearage")
    for text in ("<html>", "[1]", '{"detail": "x"}', '{"error": {}}', "null"):
        assert read_error(text.encode()) == ErrorBody(text)


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after({"retry-after": "2.5"}) == 2.5
    soon = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert 28 <= retry_after({"retry-after": soon}) <= 30
    assert retry_after({}) == 0


@pytest.mark.parametrize("value", [
    "-3", "soon", "", "inf", "nan", "1e999", "-inf", "9" * 500, "Fri, 31 Dec 99999999 23:59:59 GMT",
    "Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 01 Jan 0001 00:00:00 +2300", "Thu, 01 Jan 1970 00:00:00 GMT", "\x00", "٣",
])  # fmt: skip
def test_a_retry_after_that_is_no_time_to_wait_is_none(value: str) -> None:
    seconds = retry_after({"retry-after": value})
    assert math.isfinite(seconds) and seconds >= 0
