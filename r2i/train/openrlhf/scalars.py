"""The training curve, read from OpenRLHF's TensorBoard scalars while it trains.

OpenRLHF writes one point a rollout batch; the writer flushes every two minutes, so lines come that late. After a
resume there is a file more, which starts over at the step after the checkpoint.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from r2i.core.curve import Line
from r2i.train.held_out import KEY

NAMES = {
    "train/policy_loss": "loss",  # minimised: the negative of the clipped objective, mean over tokens
    "train/reward": "reward",
    "train/group_reward_std": "reward_std",
    "train/accuracy": "accuracy",
    "train/format": "format",
    "train/response_length": "response_length",
    "train/truncated": "truncated",
    "train/ppo_clip_ratio": "clip_ratio",
    "train/entropy_loss": "entropy",  # the entropy itself, not its negative
    "train/actor_grad_norm": "grad_norm",  # of the last optimizer step of the batch
    "train/actor_lr": "learning_rate",
    "train/informative": "kept_groups",  # without dynamic sampling: the share that it would have kept
    "train/judged": "judged",
    "train/masked": "masked",
    "train/rollout/num_samples": "samples",
    "train/vllm_kl": "vllm_kl",
    f"train/{KEY}": KEY,  # told by r2i's trainer, of steps with a checkpoint
    "train/timing/generation": "seconds_rollout",
    "train/timing/ppo_train": "seconds_train",
    "train/timing/step_total": "seconds_step",
}
"""OpenRLHF's names and ours (r2i.core.curve.KEYS); all but timings are means over the rollout batch."""

PASS_RATE = "train/dynamic_filtering_pass_rate"


def to_line(step: int, values: Mapping[str, float], group_size: int) -> Line:
    """The scalars of one step as a line of the curve.

    The pass rate counts kept *samples* over *prompts* and is a percentage: divided by 100 and the group's size it
    is the share of groups that were kept, of all that were sampled. Masked rollouts count 0 in OpenRLHF's
    accuracy: ours is that of the others.
    """
    line = {ours: round(float(values[theirs]), 6) for theirs, ours in NAMES.items() if theirs in values}
    if PASS_RATE in values:
        line["kept_groups"] = round(float(values[PASS_RATE]) / 100 / group_size, 6)
    masked = line.get("masked", 0.0)
    if "accuracy" in line and 0 < masked < 1:
        line["accuracy"] = round(line["accuracy"] / (1 - masked), 6)
    return {"step": step, **line}


class Scalars:
    """All event files below `folder`, read on from where the last `read` stopped. tensorboard is imported late."""

    def __init__(self, folder: Path, group_size: int) -> None:
        self.folder, self.group_size = folder, group_size
        self._loaders: dict[Path, Any] = {}
        self._steps: dict[int, dict[str, float]] = {}
        self._source: dict[int, Path] = {}

    def read(self) -> list[Line]:
        """Every line so far, by step. Of a step that two files hold the later file's counts, and with it ends what
        the earlier ones held from there on. A half-written last record is read when it is whole."""
        for path in sorted(self.folder.rglob("events.out.tfevents.*"), key=_written_at):
            for step, name, value in self._new(path):
                if self._source.get(step) != path:
                    self._start_over(step)
                    self._source[step] = path
                self._steps.setdefault(step, {})[name] = value
        return [to_line(step, self._steps[step], self.group_size) for step in sorted(self._steps)]

    def _new(self, path: Path) -> Iterable[tuple[int, str, float]]:
        from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

        if path not in self._loaders:
            self._loaders[path] = LegacyEventFileLoader(str(path))
        for event in self._loaders[path].Load():
            for value in event.summary.value:
                if value.HasField("simple_value") and value.tag.startswith("train/"):
                    yield event.step, value.tag, value.simple_value

    def _start_over(self, step: int) -> None:
        for later in [known for known in self._steps if known >= step]:
            del self._steps[later], self._source[later]


def _written_at(path: Path) -> tuple[str, str]:
    """`events.out.tfevents.<seconds>.<host>.<pid>.<n>` in the order in which they were begun."""
    return path.name.split(".")[3].zfill(20), path.name
