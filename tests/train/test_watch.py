"""Warnings of collapse: when they come, what they say, and that they come once."""

import pytest

from r2i.core.curve import Line
from r2i.core.params import Watch
from r2i.train.watch import Watcher, warnings

WATCH = Watch(window=2)


def curve(key: str, *values: float) -> list[Line]:
    return [{"step": step, key: value} for step, value in enumerate(values, 1)]


def kinds(lines: list[Line]) -> list[str]:
    return [warning.kind for warning in warnings(lines, WATCH)]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (curve("format", 1.0, 0.9, 0.8, 0.6), ["format"]),  # 0.95 -> 0.70 is a fall of 0.25
        (curve("format", 1.0, 0.9, 0.9, 0.8), []),  # 0.95 -> 0.85
        (curve("format", 0.1, 0.1, 0.9, 0.9), []),  # it rises
        (curve("response_length", 100, 100, 210, 210), ["length"]),
        (curve("response_length", 100, 100, 200, 200), []),  # twice is allowed
        (curve("truncated", 0.0, 0.0, 0.4, 0.4), ["truncated"]),
        (curve("truncated", 0.9, 0.9, 0.0, 0.1), []),  # the end counts
        (curve("kept_groups", 0.1, 0.2), ["silent_groups"]),  # 0.85 of the groups teach nothing
        (curve("kept_groups", 0.2, 0.3), []),
        (curve("masked", 0.1, 0.2), ["masked"]),
        (curve("masked", 0.0, 0.2), []),  # 0.1 is not more than 0.1
        (curve("loss", 1.0, 2.0, 3.0, 4.0), []),
        ([], []),
    ],
)
def test_what_is_warned_about(lines: list[Line], expected: list[str]) -> None:
    assert kinds(lines) == expected


def test_comparisons_need_two_windows_and_shares_need_one() -> None:
    assert kinds(curve("format", 1.0, 0.0, 0.0)) == []  # three lines are no two windows of two
    assert kinds(curve("masked", 1.0)) == []
    assert kinds(curve("masked", 1.0, 1.0)) == ["masked"]


def test_a_warning_has_both_numbers_the_steps_and_what_to_do() -> None:
    (warning,) = warnings(curve("response_length", 100, 120, 500, 520, 540), WATCH)
    assert "530 in steps 4-5" in str(warning) and "110 in steps 1-2" in str(warning)
    assert "dapo.overlong_buffer" in str(warning)


def test_lines_that_lack_a_number_are_passed_over() -> None:
    lines = curve("masked", 0.5, 0.5)
    assert kinds([lines[0], {"step": 7, "loss": 1.0}, lines[1]]) == ["masked"]


def test_each_kind_is_told_once_and_again_after_it_had_gone(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    watcher = Watcher(WATCH, lambda warning: told.append(warning.kind))
    for step, masked in enumerate([0.5, 0.5, 0.5, 0.5], 1):
        watcher(step, 20, {"masked": masked})
    assert told == ["masked"]
    # two good steps push the share below the limit; after two steps without the warning it counts as gone
    for step, masked in enumerate([0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5], 5):
        watcher(step, 20, {"masked": masked})
    assert told == ["masked", "masked"]
    assert capsys.readouterr().err.count("warning: rollouts could not be graded") == 2
