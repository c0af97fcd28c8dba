"""The training curve: one line a step, with the same names whichever engine trains."""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from r2i.core.disk import new_file
from r2i.core.errors import TableError

Line = Mapping[str, float]
CurveSink = Callable[[int, int, Line], None]
"""Takes each line while training: (step, number of steps, line)."""

KEYS = {
    "loss": "of the optimizer step",
    "reward": "mean: accuracy less the length penalty",
    "reward_std": "standard deviation of the reward within a group, mean over groups",
    "accuracy": "share of right answers",
    "format": "share of replies with a closed answer span",
    "response_length": "tokens, mean",
    "truncated": "share of replies cut by the length limit",
    "clip_ratio": "share of tokens whose ratio was clipped",
    "entropy": "nats a token, mean",
    "grad_norm": "before clipping",
    "learning_rate": "",
    "kept_groups": "share of groups that were trained on",
    "judged": "share of rollouts that the judge decided",
    "masked": "share of rollouts that could not be graded",
    "samples": "engine openrlhf: rollouts that were trained on",
    "vllm_kl": "engine openrlhf, where its flags ask for it: vLLM's log-probabilities less the trainer's, mean",
    "val_accuracy": "share of right greedy answers to held-out train rows",
    "agreement": "OPD: share of the reply's tokens that student and teacher find most likely alike",
    "teacher_entropy": "OPD: as entropy, of the teacher",
    "attention": "DAPO and attention: share of the attention to the image that goes to the box",
    "token_accuracy": "SFT: share of the reply's tokens that are most likely",
    "seconds_rollout": "engine openrlhf",
    "seconds_train": "engine openrlhf",
    "seconds_step": "engine openrlhf",
}
"""The numbers of a line, with their meaning. A line holds `step` and those that the engine measures."""


def combine_sinks(*sinks: CurveSink) -> CurveSink:
    """One sink that passes each line to all of `sinks`."""

    def sink_all(step: int, steps: int, line: Line) -> None:
        for sink in sinks:
            sink(step, steps, line)

    return sink_all


def progress_printer(name: str, every_s: float = 5.0) -> CurveSink:
    """A sink that prints progress and the remaining time on stderr, at most every `every_s` seconds."""
    started = time.monotonic()
    last = started

    def print_progress(step: int, steps: int, line: Line) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < every_s and step < steps:
            return
        last = now
        left = (now - started) / step * (steps - step)
        facts = " ".join(
            f"{key} {line[key]:.3f}" for key in ("loss", "accuracy", "kept_groups", "agreement") if key in line
        )
        print(f"{name}: step {step}/{steps}, {facts}, {left:.0f} s left", file=sys.stderr, flush=True)

    return print_progress


def write_curve(path: Path, lines: Sequence[Line]) -> None:
    """Write `lines` as a JSON list, one line a step, which `dvc plots` reads; whole or not at all. Raises DiskError."""
    with new_file(path) as part:
        part.write_text("[\n" + ",\n".join(json.dumps(line) for line in lines) + "\n]\n", encoding="utf-8")


def read_curve(path: Path) -> list[dict[str, float]]:
    """The lines of a curve; [] where there is no file. Raises TableError where the file is no curve."""
    if not path.is_file():
        return []
    try:
        return [dict(line) for line in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise TableError(f"{path} is no JSON list of steps ({error})", "run `dvc repro train`") from error


def last_mean(lines: Sequence[Line], keys: Sequence[str], window: int = 10) -> dict[str, float]:
    """Mean of each of `keys` over the last `window` lines, of those that hold it; keys in none of them are left out."""
    values = {key: [line[key] for line in lines[-window:] if key in line] for key in keys}
    return {key: sum(found) / len(found) for key, found in values.items() if found}
