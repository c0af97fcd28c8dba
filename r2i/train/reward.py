"""The reward of a rollout: pure, shared by both engines.

1 for a right answer in a closed `<answer>` span, else 0 (r2i/grading/strict.py), less DAPO's soft penalty
for replies that run into the length limit (arXiv 2503.14476, section 3.4). A closed span that no rule can read
is left to the judge where there is one. What can't be graded has no reward: it is masked, never 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from r2i.core.parse import last_span
from r2i.core.text import strip_markup
from r2i.grading.strict import grade

EPSILON = 1e-4  # of TRL's group_norm; OpenRLHF adds 1e-9


@dataclass(frozen=True)
class Score:
    """`format`: the reply closes a non-empty answer span of at most 300 characters. `accuracy`: 1.0, 0.0, or None
    where no rule could read the span (a judge may). `span`: what stands in it, markup removed."""

    format: bool
    accuracy: float | None
    span: str


def score(reply: str, label: str, options: list[str]) -> Score:
    """Grade by rules alone. `reply`: the response's text, never the prompt's. `label`: the letter of the right
    option, or the right answer's text where there are no options. An unclosed span is wrong, not undecided."""
    graded = grade(reply, label, options)
    undecided = graded.format and graded.rule == "none"
    span = strip_markup(last_span(reply) or "") if graded.format else ""
    return Score(graded.format, None if undecided else float(graded.correct), span)


def overlong_penalty(tokens: int, limit: int, buffer: int, factor: float = 1.0) -> float:
    """0 up to `limit - buffer` tokens, then falling linearly to `-factor` at `limit`; buffer 0: no penalty.

    With limit 8, buffer 2 and factor 1: 6 tokens give 0, 7 give -0.5, 8 give -1.
    """
    if buffer <= 0:
        return 0.0
    return -factor * min(1.0, max(0.0, (tokens - (limit - buffer)) / buffer))


def group_advantages(rewards: list[float]) -> list[float]:
    """(reward - mean) / (standard deviation + EPSILON) of one prompt's rollouts, with n - 1 in the deviation."""
    mean, spread = fmean(rewards), stdev(rewards) if len(rewards) > 1 else 0.0
    return [(reward - mean) / (spread + EPSILON) for reward in rewards]


def is_informative(accuracies: Sequence[float | None], low: float, high: float) -> bool:
    """Dynamic sampling: whether the mean accuracy of a group lies strictly within (low, high).

    A group in which one rollout could not be graded is not: its mean is unknown.
    """
    graded = [value for value in accuracies if value is not None]
    return len(graded) == len(accuracies) > 0 and low < fmean(graded) < high
