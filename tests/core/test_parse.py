"""What the parsers of replies share."""

import contextlib
import json
import time

import pytest

from r2i.core.parse import ReplyError, last_boxed, last_span, make_form, read_json, strict_object


def is_numbers(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, int) for item in value)


def test_the_last_closed_span_counts() -> None:
    assert last_span("<answer>A</answer> no: <answer> B </answer> done") == " B "


@pytest.mark.parametrize(
    "text", ["B", "<answer>B", "B</answer>", "</answer>B<answer>", "<answer>A</answer> or <answer>B"]
)
def test_a_span_that_is_not_closed_is_none(text: str) -> None:
    assert last_span(text) is None


def test_an_inner_opening_starts_the_span_anew() -> None:
    assert last_span("I put it in <answer>, so: <answer>B</answer></answer>") == "B"


def test_boxed_keeps_inner_braces() -> None:
    # the last one counts, and \text{...} inside it does not end it
    assert last_boxed(r"\boxed{1} so \boxed{\text{dark blue}}.") == r"\text{dark blue}"


def test_an_unclosed_box_is_none() -> None:
    assert last_boxed(r"\boxed{1} so \boxed{\text{dark") is None


def test_json_is_found_in_prose_and_fences() -> None:
    assert read_json("Sure [sic]!\n```json\n[1, 2]\n```\nHope it helps.", "[", is_numbers) == ([1, 2], False)


def test_the_last_json_that_fits_counts() -> None:
    assert read_json('[1] hm, rather [2, 3] and ["x"]', "[", is_numbers) == ([2, 3], False)


def test_strict_json_is_not_repaired() -> None:
    # repaired, the whole text from the first bracket on would be another list
    assert read_json('[0] "a", [4]', "[", is_numbers) == ([4], False)


def test_broken_json_is_repaired_and_must_fit() -> None:
    def texts(value: object) -> bool:
        return isinstance(value, list) and len(value) == 2 and all(isinstance(item, str) for item in value)

    assert read_json("['red', 'blue',]", "[", texts) == (["red", "blue"], True)  # flagged as repaired
    with pytest.raises(ReplyError):
        read_json("['red', 'blue', 'green',]", "[", texts)


def test_a_revision_that_can_not_be_read_is_an_error_not_the_first_draft() -> None:
    with pytest.raises(ReplyError):
        read_json("[1, 2] no, wait: [3, maybe", "[", is_numbers)


def test_prose_in_brackets_is_no_json() -> None:
    def texts(value: object) -> bool:
        return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)

    with pytest.raises(ReplyError):
        read_json("I can see nothing [sorry]", "[", texts)


@pytest.mark.parametrize("text", ["", "[", "[" * 5000, "null", '{"a": 1}'])
def test_hostile_texts_are_unparsable(text: str) -> None:
    with pytest.raises(ReplyError):
        read_json(text, "[", is_numbers)


@pytest.mark.parametrize(
    "text",
    ["[" * 6000, "{" * 6000, "[1," * 5000, '["a",' * 5000, "[" * 900 + '"a', ("[" * 900 + "a") * 20],
)
def test_thousands_of_brackets_take_little_time(text: str) -> None:
    start = time.monotonic()
    for opening in "[{":
        with contextlib.suppress(ReplyError):
            read_json(text, opening, is_numbers)
    assert time.monotonic() - start < 3  # some 0.4 s at most; every bracket tried in turn took a minute


def test_json_behind_thousands_of_brackets_is_found() -> None:
    assert read_json("[" * 6000 + " [1, 2]", "[", is_numbers).value == [1, 2]


def test_a_form_is_an_object_of_required_properties_in_the_order_they_are_to_be_written() -> None:
    form = json.loads(make_form("verdict", strict_object(reasoning={"type": "string"}, fits={"type": "boolean"})))
    assert form["name"] == "verdict"
    assert list(form["schema"]["properties"]) == ["reasoning", "fits"] == form["schema"]["required"]
    assert form["schema"]["additionalProperties"] is False


@pytest.mark.parametrize("unit", ["[", "{", '["', '{"a":', "[1,", "[[],", '[{"', "\\boxed{", '"[', "[]{", '{"a" "b"'])
@pytest.mark.parametrize("opening", ["[", "{"])
def test_openings_by_the_thousand_are_refused_in_little_time(unit: str, opening: str) -> None:
    for count in (2_000, 200_000):
        started = time.perf_counter()
        with pytest.raises(ReplyError):
            read_json(unit * count, opening, lambda value: False)
        assert time.perf_counter() - started < 3.0, f"{unit} {count} times"  # some tens of milliseconds on a quiet core
