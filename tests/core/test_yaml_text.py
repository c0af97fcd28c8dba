"""What DVC hashes and what a stage runs with are one value: YAML is read as DVC reads it."""

import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML  # DVC's reader

from r2i.core.yaml_text import DEEPEST, read_yaml

PLAIN = (
    "1e-06 1.0e-6 1E5 1e+5 1.e5 -.5 .5e-3 .1e3 5. yes No on y true TRUE 010 08 0o10 0o8 0x1F -0x1f 0b11 1_000 1_ _1 "
    "1__0 1:30 +1 -0 + 1e 1E .inf -.INF ~ null 2020-01-01 0. 1.5.2 0x 0_8 12e03 ."
)


def alike(one: object, other: object) -> bool:
    return type(one) is type(other) and (one == other or repr(one) == repr(other))


@pytest.mark.parametrize("text", PLAIN.split())
def test_a_plain_word_is_what_dvc_takes_it_for(text: str) -> None:
    try:
        right = YAML(typ="safe").load(f"a: {text}")["a"]
    except ValueError:  # `0x`: DVC's reader fails as well
        with pytest.raises((ValueError, yaml.YAMLError)):
            read_yaml(f"a: {text}")
        return
    assert alike(read_yaml(f"a: {text}")["a"], right)


@settings(max_examples=300, deadline=None)
@given(
    st.floats() | st.integers() | st.booleans() | st.none() | st.text(st.characters(codec="ascii", min_codepoint=32))
)
def test_what_dvc_writes_is_read_back(value: object) -> None:
    from dvc.utils.serialize import dumps_yaml

    read = read_yaml(dumps_yaml({"a": value}))["a"]
    assert read == value or (isinstance(value, float) and math.isnan(value) and math.isnan(read))


@pytest.mark.parametrize(
    "text", ["a: 2020-13-45", "a: 0x_", "a: &a {<<: *a}", "a: &a [1, {b: *a}]", "a: [", "a: !!python/name:os.system ''"]
)
def test_what_is_no_yaml_is_one_kind_of_error(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        read_yaml(text)


def test_a_key_that_stands_twice_is_an_error_and_one_that_replaces_a_merged_key_is_not() -> None:
    with pytest.raises(yaml.YAMLError, match="the key lr stands twice, lines 2 and 4"):
        read_yaml("dapo:\n  lr: 1\n  steps: 3\n  lr: 2\n")
    assert read_yaml("a: &a {x: 1}\nb: {<<: *a, x: 2}\n")["b"] == {"x": 2}


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 5_000, "- " * 5_000, "[" * 900 + "]" * 900])
def test_a_text_that_nests_deeply_is_an_error_and_never_ends_the_process(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match=f"more than {DEEPEST} deep"):
        read_yaml(f"a:\n  {text}")
