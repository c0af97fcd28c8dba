"""The reward of a rollout: pure, shared by both engines.

1 for a right answer in a closed `<answer>` span, else 0 (r2i/reward.py), less DAPO's soft penalty
for replies that run into the length limit (arXiv 2503.14476, section 3.4).
"""

from r2i.reward import grade


def accuracy_reward(reply: str, label: str, options: list[str]) -> float:
    """1.0 or 0.0. `reply` is the response text alone, never the prompt."""
    return float(grade(reply, label, options).correct)


def format_reward(reply: str, label: str, options: list[str]) -> float:
    """1.0 where the reply closes its `<answer>` span; logged, not trained on."""
    return float(grade(reply, label, options).format)


def overlong_penalty(tokens: int, limit: int, buffer: int) -> float:
    """0 up to `limit - buffer` tokens, then falling linearly to -1 at `limit`; buffer 0: no penalty.

    With limit 8 and buffer 2: 6 tokens give 0, 7 give -0.5, 8 give -1.
    """
    if buffer <= 0:
        return 0.0
    return -min(1.0, max(0.0, (tokens - (limit - buffer)) / buffer))
