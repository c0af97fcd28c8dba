"""A training that runs elsewhere, followed to its end: lines of its curve as they come, its cause of death."""

from pathlib import Path

from r2i.core.curve import Line, Say
from r2i.core.errors import R2IError
from r2i.train.openrlhf.launch import Training, wait_while_alive
from r2i.train.openrlhf.log_tail import Silence, last_words, remedy_for
from r2i.train.openrlhf.scalars import Scalars
from r2i.train.openrlhf.tally import read_tallies

POLL_S = 2.0


def follow(
    training: Training,
    scalars: Scalars,
    steps: int,
    say: Say,
    log: Path,
    longest_silence_s: float,
    secrets: tuple[str, ...] = (),
) -> list[Line]:
    """Tell `say` of each line until the end; the whole curve. The training is stopped when this is left by an error
    or an interrupt.

    Raises R2IError, with the cause from the log, where it ends badly or says nothing for `longest_silence_s`.
    """
    try:
        told, silence = Told(say, steps), Silence(log)
        while wait_while_alive(training, POLL_S):
            lines = scalars.read()
            told.tell(lines)
            if silence.seconds(len(lines)) > longest_silence_s:
                raise _failure(f"has said nothing for {longest_silence_s:.0f} s", training, log, secrets)
        ended = training.ended_as()
        lines = scalars.read()
        told.tell(lines, all_of_them=True)
        if ended:
            raise _failure(f"ended with {ended}", training, log, secrets)
        return lines
    finally:
        training.stop()


def _failure(what: str, training: Training, log: Path, secrets: tuple[str, ...]) -> R2IError:
    words = last_words(log, training.began, secrets)
    return R2IError(f"OpenRLHF {what}: {words}", remedy_for(words, log))


class Told:
    """Which lines were told. The last one is held back until it has not changed between two looks: the scalars of a
    step come one by one."""

    def __init__(self, say: Say, steps: int) -> None:
        self.say, self.steps = say, steps
        self._told: dict[int, Line] = {}
        self._last: Line | None = None

    def tell(self, lines: list[Line], all_of_them: bool = False) -> None:
        last = lines[-1] if lines else None
        whole = lines if all_of_them or last == self._last else lines[:-1]
        self._last = last
        for line in whole:
            step = int(line["step"])
            if self._told.get(step) != line:
                self._told[step] = line
                self.say(step, max(step, self.steps), {key: value for key, value in line.items() if key != "step"})


class WithMasked:
    """Gives `say` each line with the share of rollouts masked since the line before, from the executors' counts in
    `counts`: groups that dynamic sampling filters out are in none of OpenRLHF's scalars, and a judge that is down
    would go unseen."""

    def __init__(self, say: Say, counts: Path) -> None:
        self.say, self.counts = say, counts
        self._before = read_tallies(counts)

    def __call__(self, step: int, steps: int, line: Line) -> None:
        now = read_tallies(self.counts)
        if rollouts := now["rollouts"] - self._before["rollouts"]:
            line = {**line, "masked": round((now["masked"] - self._before["masked"]) / rollouts, 6)}
        self._before = now
        self.say(step, steps, line)
