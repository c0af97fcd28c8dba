import email.utils
import json
import time

import pytest

from r2i.endpoint.chat import (
    OPTION_PATTERNS,
    BadBodyError,
    Completion,
    CompletionChoice,
    ErrorBody,
    read_completion,
    read_error,
    refused_option,
    retry_after,
)  # fmt: skip


def body(*choices: object, **more: object) -> str:
    return json.dumps({"choices": choices} | more)


def choice(content: object, finish: str | None = "stop", index: int = 0, **message: object) -> dict[str, object]:
    return {"index": index, "finish_reason": finish, "message": {"content": content} | message}


def texts(text: str) -> list[tuple[str, str]]:
    return [(one.text, one.reason) for one in read_completion(text).choices]


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
    assert texts('{"choices": [{"message": {"content": "x\\ud83d"}}]}') == [("x\ufffd", "")]


def test_usage_is_read_and_shared_out() -> None:
    usage = {"prompt_tokens": 50, "completion_tokens": 7}
    found = read_completion(body(choice("a"), choice("b", index=1), usage=usage, model="m-1"))
    assert (found.tokens_in, found.tokens_out, found.served_model) == (50, 7, "m-1")
    assert [found.tokens_of(0), found.tokens_of(1)] == [(50, 4), (0, 3)]
    assert read_completion(body(choice("a"), usage=None)) == Completion([CompletionChoice("a", "", "stop")])


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", '{"choices": 3}', '{"choices": [3]}', '{"choices": [{"text": "old"}]}', '{"choices": []}',
     '{"choices": [{"message": {"content": "a"}}], "usage": {"prompt_tokens": "many"}}'],
)  # fmt: skip
def test_anything_else_is_a_bad_body(text: str) -> None:
    with pytest.raises(BadBodyError):
        read_completion(text)


def test_a_reply_that_the_server_gave_up_is_a_bad_body() -> None:
    with pytest.raises(BadBodyError):
        read_completion(body(choice("The col", "abort")))


@pytest.mark.parametrize("text", ["n must be 1", "Invalid 'n'", '{"param": "n"}', "parameter n>1", "`n` unsupported"])
def test_messages_about_n_are_known(text: str) -> None:
    assert refused_option(ErrorBody(text), OPTION_PATTERNS) == "n"


@pytest.mark.parametrize("text", ["not an image", "don't", "top_n", "a line\\n break", "max_tokens", "N/A"])
def test_messages_about_other_things_are_not(text: str) -> None:
    assert refused_option(ErrorBody(text), OPTION_PATTERNS) is None


def test_a_named_param_decides_before_any_word_of_the_message() -> None:
    assert refused_option(ErrorBody("no seed, please", param="n"), OPTION_PATTERNS) == "n"
    assert refused_option(ErrorBody("n is not a seed", param="messages"), OPTION_PATTERNS) is None
    assert refused_option(ErrorBody("bad", param="seed"), {"n"}) is None  # it was not sent


def test_complaints_are_read_from_any_body() -> None:
    stated = {"error": {"message": "no", "param": "seed", "code": 400}}
    assert read_error(json.dumps(stated)) == ErrorBody("no", "seed", "400")
    assert read_error('{"error": "overloaded"}') == ErrorBody("overloaded")
    for text in ("<html>", "[1]", '{"detail": "x"}', '{"error": {}}', "null"):
        assert read_error(text) == ErrorBody(text)


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after({"retry-after": "2.5"}) == 2.5
    soon = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert 28 <= retry_after({"retry-after": soon}) <= 30
    assert retry_after({"retry-after": "-3"}) == retry_after({"retry-after": "soon"}) == retry_after({}) == 0
