"""Grading the rollouts of TRL: rules first, the judge where there is one, and what neither can grade is masked."""

from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from r2i.core.params import Dapo
from r2i.endpoint import connect
from r2i.train.judge import RewardJudge, Undecided
from r2i.train.reward import Score, overlong_penalty, score


class Grader:
    """The reward functions of one run. `accuracies`: of the last batch, in its order; None: could not be graded."""

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
        """For TRL: accuracy, the overlong penalty, and the format (weight 0: logged alone)."""
        return [self.reward_accuracy, self.reward_overlong, self.reward_format]

    def reward_accuracy(
        self, completions: list[Any], label: list[str], options: list[list[str]], **columns: Any
    ) -> list[float | None]:
        scores = [score(text, lab, opts) for text, lab, opts in zip(_texts(completions), label, options, strict=True)]
        self.accuracies = [found.accuracy for found in scores]
        self._judged = 0
        self._decide(scores, columns)
        return self.accuracies

    def _decide(self, scores: list[Score], columns: dict[str, Any]) -> None:
        """Ask the judge about what no rule could read; without a judge that is wrong."""
        open_ = [i for i, found in enumerate(scores) if found.accuracy is None]
        if self._judge is None:
            for i in open_:
                self.accuracies[i] = 0.0
            return
        asked = [Undecided(columns["question"][i], columns["answer"][i], scores[i].span) for i in open_]
        for i, verdict in zip(open_, self._judge.decide(asked), strict=True):
            self.accuracies[i] = None if verdict is None else float(verdict)
            self._judged += verdict is not None

    def reward_overlong(self, completion_ids: list[list[int]], **_: Any) -> list[float]:
        dapo = self.dapo
        return [
            overlong_penalty(len(ids), dapo.max_response, dapo.overlong_buffer, dapo.overlong_factor)
            for ids in completion_ids
        ]

    def reward_format(
        self, completions: list[Any], label: list[str], options: list[list[str]], **_: Any
    ) -> list[float]:
        texts = _texts(completions)
        return [float(score(text, lab, opts).format) for text, lab, opts in zip(texts, label, options, strict=True)]

    def shares(self) -> dict[str, float]:
        """Of the last batch, for the curve; empty without a judge, since then every rollout is graded."""
        if self._judge is None or not self.accuracies:
            return {}
        masked = sum(value is None for value in self.accuracies)
        return {"judged": self._judged / len(self.accuracies), "masked": masked / len(self.accuracies)}

    def summary(self) -> dict[str, Any]:
        """What became of the judge's calls; empty without a judge."""
        return {} if self._judge is None else {"judge": dict(sorted(self._judge.counts.items()))}


def _texts(completions: list[Any]) -> list[str]:
    return [completion[0]["content"] for completion in completions]
