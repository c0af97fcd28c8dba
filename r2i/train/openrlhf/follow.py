"""Follow a training in another process to its end: the lines of its curve as they come, the cause where it fails."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from r2i.core.curve import CurveSink, Line
from r2i.core.disk import DiskError, new_file
from r2i.core.errors import R2IError
from r2i.train.openrlhf.executor import read_tallies
from r2i.train.openrlhf.launch import Training, wait_while_alive
from r2i.train.openrlhf.log_tail import Silence, last_words, remedy_for
from r2i.train.openrlhf.scalars import Scalars

POLL_S = 2.0


def follow(
    training: Training,
    scalars: Scalars,
    steps: int,
    sink: CurveSink,
    log: Path,
    longest_silence_s: float,
    hide: Callable[[str], str] = str,
) -> list[Line]:
    """Pass each line to `sink` until the end; returns the whole curve. An error or an interrupt stops the training.

    Raises R2IError, with the cause from the log, where the training fails or is silent for `longest_silence_s`.
    `hide` takes the keys out of what is said then.
    """
    try:
        reporter, silence = LineReporter(sink, steps), Silence(log)
        while wait_while_alive(training, POLL_S):
            lines = scalars.read()
            reporter.report(lines)
            if silence.seconds(len(lines)) > longest_silence_s:
                words = last_words(log, training.began, ended=False, hide=hide)
                raise _failure(f"has said nothing for {longest_silence_s:.0f} s", words, log)
        ended = training.ended_as()
        lines = scalars.read()
        reporter.report(lines, final=True)
        if ended:
            raise _failure(f"ended with {ended}", last_words(log, training.began, ended=True, hide=hide), log)
        return lines
    finally:
        training.stop()


def _failure(what: str, words: str, log: Path) -> R2IError:
    return R2IError(f"OpenRLHF {what}: {words}", remedy_for(words, log))


class LineReporter:
    """Passes on new and changed lines. The last one waits until it is the same in two reports: the scalars of a step
    come one by one."""

    def __init__(self, sink: CurveSink, steps: int) -> None:
        self.sink, self.steps = sink, steps
        self._reported: dict[int, Line] = {}
        self._last: Line | None = None

    def report(self, lines: list[Line], final: bool = False) -> None:
        last = lines[-1] if lines else None
        whole = lines if final or last == self._last else lines[:-1]
        self._last = last
        for line in whole:
            step = int(line["step"])
            if self._reported.get(step) != line:
                self._reported[step] = line
                self.sink(step, max(step, self.steps), {key: value for key, value in line.items() if key != "step"})


class AddMaskedShare:
    """A sink that adds to each line the share of rollouts masked since the line before, from the executors' tallies in
    `counts`. OpenRLHF's scalars lack the groups that dynamic sampling filters out, and would not show an outage of the
    judge. `told`: file of the shares by step, so that a run that goes on tells its earlier lines as they were."""

    def __init__(self, sink: CurveSink, counts: Path, told: Path) -> None:
        self.sink, self.counts, self.told = sink, counts, told
        self._before = read_tallies(counts)
        self._shares: dict[str, float] = json.loads(told.read_text(encoding="utf-8")) if told.exists() else {}

    def __call__(self, step: int, steps: int, line: Line) -> None:
        now = read_tallies(self.counts)
        if rollouts := now["rollouts"] - self._before["rollouts"]:
            self._shares[str(step)] = round((now["masked"] - self._before["masked"]) / rollouts, 6)
            with suppress(DiskError), new_file(self.told) as part:
                part.write_text(json.dumps(self._shares), encoding="utf-8")
        self._before = now
        if str(step) in self._shares:
            line = {**line, "masked": self._shares[str(step)]}
        self.sink(step, steps, line)
