"""The reward of a rollout: a verdict (r2i.grading.strict) becomes a number. Both engines use it.

| reply | reward |
|---|---|
| right answer in a closed `<answer>` span | 1 |
| wrong answer | 0 |
| wrong format: no closed, non-empty span of at most 300 characters | 0 |
| a span that no rule reads | the judge's verdict; without a judge 0; where the judge gives none, no reward: masked |

less DAPO's soft penalty for replies that run into the length limit (arXiv 2503.14476, section 3.4).
"""

from collections.abc import Sequence
from contextlib import ExitStack
from statistics import fmean
from types import TracebackType
from typing import Any, Self

from r2i.core.params import Dapo
from r2i.endpoint import connect
from r2i.grading import FORMAT, Verdict
from r2i.grading.strict import grade_strictly
from r2i.train.judge import RewardJudge, Undecided


def accuracy_of(verdict: Verdict) -> float | None:
    """1.0 for a right answer, 0.0 for a wrong one or a wrong format; None where no rule read the span."""
    return None if verdict.correct is None else float(verdict.correct)


def format_of(verdict: Verdict) -> float:
    """1.0 where the reply closes its answer span, else 0.0. Logged, and no part of the reward."""
    return float(verdict.rule != FORMAT)


def overlong_penalty(tokens: int, limit: int, buffer: int, factor: float = 1.0) -> float:
    """0 up to `limit - buffer` tokens, then falling linearly to `-factor` at `limit`; buffer 0: no penalty.

    With limit 8, buffer 2 and factor 1: 6 tokens give 0, 7 give -0.5, 8 give -1.
    """
    if buffer <= 0:
        return 0.0
    return -factor * min(1.0, max(0.0, (tokens - (limit - buffer)) / buffer))


def is_informative(accuracies: Sequence[float | None], low: float, high: float) -> bool:
    """Dynamic sampling: whether the mean accuracy of a group lies strictly within (low, high).

    A group with a masked rollout (None) is not informative: its mean is unknown.
    """
    known = [value for value in accuracies if value is not None]
    return len(known) == len(accuracies) > 0 and low < fmean(known) < high


class RewardFunctions:
    """The reward functions that TRL calls, for one run; as a context, the judge is connected meanwhile.

    `accuracies`: of the last batch, in its order; None: masked.
    """

    def __init__(self, dapo: Dapo, seed: int) -> None:
        self.dapo, self.seed = dapo, seed
        self.accuracies: list[float | None] = []
        self._judge: RewardJudge | None = None
        self._judged = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if judge := self.dapo.judge:
            model = self._stack.enter_context(connect(judge.endpoint))
            self._judge = RewardJudge(model, judge, self.seed)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def functions(self) -> list[Any]:
        """Accuracy, the overlong penalty, and the format (weight 0: logged alone)."""
        return [self.reward_accuracy, self.reward_overlong, self.reward_format]

    def reward_accuracy(
        self, completions: list[Any], label: list[str], options: list[list[str]], **columns: Any
    ) -> list[float | None]:
        verdicts = _grade_all(completions, label, options)
        self.accuracies = [accuracy_of(verdict) for verdict in verdicts]
        self._judged = 0
        self._judge_unread(verdicts, columns)
        return self.accuracies

    def _judge_unread(self, verdicts: list[Verdict], columns: dict[str, Any]) -> None:
        """Ask the judge about the spans that no rule read; without a judge they are wrong."""
        unread = [i for i, accuracy in enumerate(self.accuracies) if accuracy is None]
        if self._judge is None:
            for i in unread:
                self.accuracies[i] = 0.0
            return
        asked = [Undecided(columns["question"][i], columns["answer"][i], verdicts[i].predicted) for i in unread]
        for i, correct in zip(unread, self._judge.decide(asked), strict=True):
            self.accuracies[i] = None if correct is None else float(correct)
            self._judged += correct is not None

    def reward_overlong(self, completion_ids: list[list[int]], **_: Any) -> list[float]:
        dapo = self.dapo
        return [
            overlong_penalty(len(ids), dapo.max_response, dapo.overlong_buffer, dapo.overlong_factor)
            for ids in completion_ids
        ]

    def reward_format(
        self, completions: list[Any], label: list[str], options: list[list[str]], **_: Any
    ) -> list[float]:
        return [format_of(verdict) for verdict in _grade_all(completions, label, options)]

    def shares(self) -> dict[str, float]:
        """Shares of the last batch that were judged and masked; empty without a judge, when nothing is masked."""
        if self._judge is None or not self.accuracies:
            return {}
        masked = sum(value is None for value in self.accuracies)
        return {"judged": self._judged / len(self.accuracies), "masked": masked / len(self.accuracies)}

    def summary(self) -> dict[str, Any]:
        """Counts of the judge's calls and verdicts, for metrics; empty without a judge."""
        return {} if self._judge is None else {"judge": dict(sorted(self._judge.counts.items()))}


def _grade_all(completions: list[Any], labels: list[str], options: list[list[str]]) -> list[Verdict]:
    texts = [completion[0]["content"] for completion in completions]
    return [grade_strictly(*each) for each in zip(texts, labels, options, strict=True)]
