import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2i.endpoint.quote import HIDDEN, escape_controls, hide_key

KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=16, max_size=60).filter(
    lambda key: key not in HIDDEN * 30
)


@given(KEYS, st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_a_key_is_in_no_text_that_was_made_fit_to_print(key: str, parts: list[str]) -> None:
    shown = escape_controls(hide_key(key.join(["", *parts, ""]), key))
    assert key not in shown and HIDDEN in shown and shown.isprintable()


@pytest.mark.parametrize("key", ["", "-", "a", "token", "EMPTY", "none", "null", "1234", "dummy", "password", "secret"])
def test_a_placeholder_is_no_key(key: str) -> None:
    text = f"a token - the EMPTY sign says {key}, a {key}"
    assert hide_key(text, key) == text


@pytest.mark.parametrize("key", ["sk-secret", "ab/cd-123", "abcdefghijklmnop", "0123456789"])
def test_what_may_be_a_key_is_hidden(key: str) -> None:
    assert hide_key(f"wrong key {key}!", key) == "wrong key ***!"


@given(st.text(st.characters(exclude_categories=("C", "Z"))))
def test_what_can_be_printed_stays_as_it_is(text: str) -> None:
    assert escape_controls(text) == text


def test_controls_are_shown_as_escapes() -> None:
    assert escape_controls("a\x1b[2J\n\u202eb\ud83d") == "a\\x1b[2J\\n\\u202eb\\ud83d"
