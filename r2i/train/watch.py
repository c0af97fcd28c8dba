"""Signs that a training run is collapsing, read off its curve.

The first and the last steps are compared (params: `dapo.watch`, `opd.watch`). A falling share of closed answer spans
and growing replies are the first signs of reward hacking and collapse; groups with equal rewards and masked rollouts
teach nothing.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from r2i.core.curve import Line
from r2i.core.params import Watch


@dataclass(frozen=True)
class CollapseWarning:
    """`kind`: format | length | agreement | entropy | truncated | silent_groups | masked.
    `message`: numbers, steps, what to do."""

    kind: str
    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class _Window:
    """The mean of one number over some lines, with the steps it covers."""

    mean: float
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.mean:.3g} in steps {self.first}-{self.last}"


def warnings(lines: Sequence[Line], watch: Watch, section: str = "dapo") -> list[CollapseWarning]:
    """The warnings at the end of `lines`. Shares need `watch.window` lines, comparisons twice as many.

    `section`: of the objective's params, which remedies name.
    """
    found = [
        _falling(
            lines,
            "format",
            watch.window,
            watch.format_drop,
            "closed answer spans fall: share",
            f"stop, go back to an earlier state, lower {section}.lr, and read some replies: an unclosed span earns "
            "nothing, so the policy is drifting",
        ),
        _growing_length(lines, watch, section),
        _falling(
            lines,
            "agreement",
            watch.window,
            watch.agreement_drop,
            "student and teacher agree less: share of tokens",
            f"lower {section}.lr, raise {section}.crop_share, or take the frozen teacher: an ema teacher follows a "
            "student that errs",
        ),
        _lost_entropy(lines, watch, section),
    ]
    found += [
        _large_share(lines, watch.window, key, limit, kind, what, remedy)
        for key, limit, kind, what, remedy in (
            ("truncated", watch.truncated, "truncated", "replies are cut by the length limit: share",
             f"raise {section}.max_response{_penalty(section, ', or set {} to penalise long replies')}"),
            ("silent_groups", watch.silent_groups, "silent_groups", "groups with equal rewards teach nothing: share",
             "the rows are too easy or too hard for the student: change overlay.drop_at or its rows, "
             "raise dapo.temperature or dapo.group_size"),
            ("masked", watch.masked, "masked", "rollouts could not be graded and are left out: share",
             "see that the judge answers and that dapo.judge.max_calls is not spent"),
        )
    ]  # fmt: skip
    return [warning for warning in found if warning]


def _falling(
    lines: Sequence[Line], key: str, window: int, drop: float, what: str, remedy: str
) -> CollapseWarning | None:
    start, end = _both_ends(lines, key, window)
    if not start or not end or start.mean - end.mean <= drop:
        return None
    return CollapseWarning(key, f"{what} {end}, after {start}; {remedy}")


def _growing_length(lines: Sequence[Line], watch: Watch, section: str) -> CollapseWarning | None:
    start, end = _both_ends(lines, "response_length", watch.window)
    if not start or not end or end.mean <= watch.length_growth * start.mean:
        return None
    return CollapseWarning(
        "length",
        f"replies grow: tokens {end}, after {start}; read some of them, lower {section}.lr"
        + _penalty(section, ", or set {} to penalise long replies"),
    )


def _penalty(section: str, words: str) -> str:
    """`words` about the penalty of long replies, of an objective that has one."""
    return words.format(f"{section}.overlong_buffer") if section.startswith("dapo") else ""


def _lost_entropy(lines: Sequence[Line], watch: Watch, section: str) -> CollapseWarning | None:
    """Of a student that has a teacher; what it may lose is what the teacher doesn't have either."""
    own, teacher = _values(lines, "entropy"), _values(lines, "teacher_entropy")
    if len(teacher) < watch.window or len(own) < watch.window:
        return None
    end, wanted = _mean(own[-watch.window :]), _mean(teacher[-watch.window :])
    if end.mean >= watch.entropy * wanted.mean:
        return None
    return CollapseWarning(
        "entropy",
        f"replies lose their spread: entropy {end}, the teacher's {wanted.mean:.3g}; lower {section}.lr, or take "
        "divergence forward_kl: reverse_kl and jsd let the student settle on one reply",
    )


def _large_share(
    lines: Sequence[Line], window: int, key: str, limit: float, kind: str, what: str, remedy: str
) -> CollapseWarning | None:
    held = _values(lines, key)
    if len(held) < window:
        return None
    end = _mean(held[-window:])
    if end.mean <= limit:
        return None
    return CollapseWarning(kind, f"{what} {end}, more than {limit:g}; {remedy}")


def _both_ends(lines: Sequence[Line], key: str, window: int) -> tuple[_Window | None, _Window | None]:
    held = _values(lines, key)
    return (_mean(held[:window]), _mean(held[-window:])) if len(held) >= 2 * window else (None, None)


def _values(lines: Sequence[Line], key: str) -> list[tuple[int, float]]:
    """(step, value) of each line that holds `key`; `silent_groups` is what `kept_groups` leaves."""
    if key == "silent_groups":
        return [(int(line["step"]), 1 - line["kept_groups"]) for line in lines if "kept_groups" in line]
    return [(int(line["step"]), line[key]) for line in lines if key in line]


def _mean(held: Sequence[tuple[int, float]]) -> _Window:
    return _Window(fmean(value for _, value in held), held[0][0], held[-1][0])


def print_warning(warning: CollapseWarning) -> None:
    print(f"warning: {warning}", file=sys.stderr, flush=True)


class Watcher:
    """A sink of the curve that warns while training: once a kind, and again only after `watch.window` steps without it.
    A warning is printed on stderr and passed to each of `handlers`."""

    def __init__(self, watch: Watch, *handlers: Callable[[CollapseWarning], None], section: str = "dapo") -> None:
        self.watch, self.handlers, self.section = watch, (print_warning, *handlers), section
        self.lines: list[Line] = []
        self._quiet: dict[str, int] = {}  # kind -> steps since it was last seen

    def __call__(self, step: int, steps: int, line: Line) -> None:
        self.lines.append({"step": step, **line})
        self._quiet = {kind: n + 1 for kind, n in self._quiet.items() if n + 1 < self.watch.window}
        for warning in warnings(self.lines, self.watch, self.section):
            if warning.kind not in self._quiet:
                for handle in self.handlers:
                    handle(warning)
            self._quiet[warning.kind] = 0
