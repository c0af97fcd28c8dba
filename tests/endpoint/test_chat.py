import email.utils
import json
import time

import pytest

from r2i.endpoint.chat import BadBody, Choice, read_choices, refuses_n, retry_after


def body(*choices: object) -> str:
    return json.dumps({"choices": choices})


def choice(content: object, finish: str | None = "stop", index: int = 0, **message: object) -> dict[str, object]:
    return {"index": index, "finish_reason": finish, "message": {"content": content} | message}


def test_choices_are_read_in_the_order_of_their_index() -> None:
    assert read_choices(body(choice("b", index=1), choice("a", index=0))) == [Choice("a", ""), Choice("b", "")]


def test_a_cut_reply_without_content_is_truncated_not_empty() -> None:
    # a reasoning model that spent all its tokens on thinking
    assert read_choices(body(choice(None, "length"))) == [Choice("", "truncated")]


def test_a_refusal_field_is_a_refusal() -> None:
    assert read_choices(body(choice(None, refusal="I can't help"))) == [Choice("", "refused")]


def test_content_in_parts_is_joined() -> None:
    assert read_choices(body(choice([{"type": "text", "text": "re"}, {"type": "text", "text": "d"}])))[0].text == "red"


def test_half_an_emoji_becomes_a_replacement_character() -> None:
    assert read_choices('{"choices": [{"message": {"content": "x\\ud83d"}}]}')[0].text == "x\ufffd"


@pytest.mark.parametrize(
    "text", ["", "[]", "3", '{"choices": 3}', '{"choices": [3]}', '{"choices": [{"text": "old"}]}']
)
def test_anything_else_is_a_bad_body(text: str) -> None:
    with pytest.raises(BadBody):
        read_choices(text)


def test_a_reply_that_the_server_gave_up_is_a_bad_body() -> None:
    with pytest.raises(BadBody):
        read_choices(body(choice("The col", "abort")))


@pytest.mark.parametrize("text", ["n must be 1", "Invalid 'n'", '{"param": "n"}', "parameter n>1", "`n` unsupported"])
def test_messages_about_n_are_known(text: str) -> None:
    assert refuses_n(text)


@pytest.mark.parametrize("text", ["not an image", "don't", "top_n", "a line\\n break", "max_tokens", "N/A"])
def test_messages_about_other_things_are_not(text: str) -> None:
    assert not refuses_n(text)


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after({"retry-after": "2.5"}) == 2.5
    soon = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert 28 <= retry_after({"retry-after": soon}) <= 30
    assert retry_after({"retry-after": "-3"}) == retry_after({"retry-after": "soon"}) == retry_after({}) == 0
