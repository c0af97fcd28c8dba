"""Grading: a reply becomes a verdict, by rules first and by an LLM judge last.

Two graders. `strict` is for what a model learns from: training, the difficulty filter. It reads a closed `<answer>`
span alone. `flexible` is for what is measured: evaluation. It reads the reply as a careful person would, since a right
answer should not be lost to its form. A judge (`verdict`: its prompt) decides what rules leave open: in training
r2i.train.judge asks it, in evaluation `judged`. What a verdict is worth in training says r2i.train.reward.
"""

from dataclasses import dataclass

FORMAT, DECLINED, JUDGE, NONE = "format", "declined", "judge", "none"
RULES = ("exact", "yes_no", "number", "letter", "option_text", "mathematics", DECLINED, JUDGE, NONE)
"""Rules that a row of PREDICTIONS may name. `format` is the strict grader's own."""


@dataclass(frozen=True)
class Verdict:
    """What a grader makes of one reply.

    `rule`: the rule that decided, of RULES or `format` (no closed answer span: wrong). `correct`: None where no rule
    decided (`none`). `predicted`: the chosen letter, several letters apart by spaces, or the text that was read; empty
    where there is none.
    """

    rule: str
    correct: bool | None
    predicted: str
