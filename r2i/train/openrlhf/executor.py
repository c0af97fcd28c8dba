"""Rollouts for OpenRLHF: images by reference, no image tokens in replies, rewards, masking.

A group in which one rollout has no reward (the judge is down or over its budget, an image can't be read) is masked: its
mean is unknown. OpenRLHF knows no masked samples, so the group is made neutral instead. Its rewards are all equal,
which makes every advantage exactly 0; its `scores` (OpenRLHF's input of dynamic sampling) are 0, which is outside of
any range; and each reply keeps one token, the end: no token at all would make OpenRLHF's means NaN.

Needs neither OpenRLHF nor vLLM: agent.py passes their generation as `generate`.
"""

import asyncio
import copy
import json
import socket
import sys
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r2i.core.disk import new_file
from r2i.core.errors import R2IError
from r2i.grading.strict import grade_strictly
from r2i.train.judge import JudgeError, RewardJudge, Undecided
from r2i.train.openrlhf.prompt import Prepared, Prompt, blank, load_picture, marks_of, prepare, training_inputs
from r2i.train.openrlhf.view import HELD
from r2i.train.openrlhf.workspace import AgentSettings
from r2i.train.reward import accuracy_of, format_of, is_informative, overlong_penalty

NEVER = -100.0  # vLLM's strongest logit bias
MOST_BROKEN = 20  # groups in a row that failed: then it is not the row

Generate = Callable[[Any, list[Any], Any], Awaitable[dict[str, Any]]]
"""(processor, pictures, sampling parameters) -> OpenRLHF's response, without a reward."""


@dataclass(frozen=True)
class Rollout:
    """One reply. `output`: OpenRLHF's response. `fault`: why it has no reward (then `accuracy` means nothing); `error`:
    the exception behind it, if any."""

    output: dict[str, Any] = field(default_factory=dict)
    format: bool = False
    accuracy: float = 0.0
    judged: bool = False
    fault: str = ""
    error: Exception | None = None

    def logs(self, informative: bool) -> dict[str, float]:
        """OpenRLHF's `extra_logs`. A masked rollout counts 0 in accuracy and 1 in masked: the accuracy of the others is
        `accuracy / (1 - masked)`. `informative`: whether dynamic sampling keeps its group."""
        return {
            "accuracy": 0.0 if self.fault else self.accuracy,
            "format": float(self.format),
            "judged": float(self.judged),
            "masked": float(bool(self.fault)),
            "informative": float(informative),
        }


class RolloutGroup:
    """The rollouts of one prompt: of one call of OpenRLHF's `generate_responses`, which runs them in one event loop."""

    def __init__(self, size: int, sampling: Any) -> None:
        self.size = size
        self.sampling = sampling  # referenced, so that its id stays unique: it is the key of the group
        self.joined = 0
        self.rollouts: dict[int, Rollout] = {}
        self._complete = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[Any]] = {}

    def join(self) -> int:
        """The place of one more rollout."""
        self.joined += 1
        return self.joined - 1

    def put(self, place: int, rollout: Rollout) -> None:
        self.rollouts[place] = rollout
        if len(self.rollouts) == self.size:
            self._complete.set()

    async def wait(self) -> list[Rollout]:
        """All rollouts, in the order in which they joined. Each puts one, whatever happens to it."""
        await self._complete.wait()
        return [self.rollouts[place] for place in range(self.size)]

    async def once(self, name: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """The result of `make`, which runs once for all that ask; cancelling one of them does not cancel it."""
        if name not in self._tasks:
            self._tasks[name] = asyncio.ensure_future(make())
        return await asyncio.shield(self._tasks[name])


class Tally:
    """Counts of one executor, written after every group, since Ray kills its processes without notice. Groups that
    dynamic sampling filters out are in none of OpenRLHF's own scalars.

    `earlier`: the sum over executors that began before this one, in the run that this one resumes or beside it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{socket.gethostname()}-{uuid.uuid4().hex}.json"
        self.earlier = read_tallies(folder)
        self.counts: Counter[str] = Counter()

    def write(self) -> None:
        with new_file(self.path) as part:
            part.write_text(json.dumps(self.counts, sort_keys=True) + "\n", encoding="utf-8")


def read_tallies(folder: Path) -> Counter[str]:
    """The sum over all executors: `rollouts`, `masked` and `masked_<reason>` (without a reward), `judged`,
    `groups`, `masked_groups`, `filtered` (rollouts that dynamic sampling leaves out), and the judge's own counts as
    `judge_<name>` (`judge_calls`: what was paid for). The trainer adds `left_over`."""
    total: Counter[str] = Counter()
    for path in sorted(folder.glob("*.json")):
        total.update(json.loads(path.read_text(encoding="utf-8")))
    return total


class RolloutExecutor:
    """The rollouts of one vLLM engine. All calls come from its event loop."""

    def __init__(self, settings: AgentSettings, judge: RewardJudge | None, tally: Tally) -> None:
        self.dapo, self.judge, self.tally = settings.dapo, judge, tally
        self._open: dict[tuple[str, int], RolloutGroup] = {}
        self._broken = 0

    async def execute(self, prompt: Prompt, generate: Generate) -> dict[str, Any]:
        """One rollout, returned when its whole group is complete; an answer to a row held out for validation at once.

        Raises R2IError where the judge never worked, or MOST_BROKEN groups in a row failed.
        """
        if json.loads(prompt.label).get("turn") == HELD:
            return await self._validate(prompt, generate)
        group = self._join(prompt)
        place = group.join()
        rollout = Rollout(fault="cancelled")
        try:
            rollout = await self._roll(prompt, group, generate)
        except JudgeError:
            raise
        except Exception as error:  # one broken image must not end a run of days; many in a row do
            rollout = Rollout(fault="failed", error=error)
        finally:  # also when cancelled: the group waits for it
            group.put(place, rollout)
            if len(group.rollouts) == group.size:
                self._close(prompt, group)
        rollouts = await group.wait()
        if not any(each.fault for each in rollouts):
            return self._answer(prompt, rollout, [each.accuracy for each in rollouts])
        self._refuse_broken(rollouts)
        return await self._mask(prompt, group, rollout, any(each.error for each in rollouts))

    async def _validate(self, prompt: Prompt, generate: Generate) -> dict[str, Any]:
        """One answer, graded strictly and counted nowhere; one that failed is masked: it is no wrong answer."""
        group = RolloutGroup(1, prompt.sampling)
        try:
            rollout = await self._roll(prompt, group, generate)
        except Exception as error:
            rollout = Rollout(fault="failed", error=error)
            row = json.loads(prompt.label)["row_id"]
            print(f"held-out row {row} has no answer ({type(error).__name__}: {error})", file=sys.stderr, flush=True)
        if rollout.fault:
            return await self._mask(prompt, group, rollout, rollout.error is not None)
        return self._answer(prompt, rollout, [rollout.accuracy])

    def _join(self, prompt: Prompt) -> RolloutGroup:
        """The group of this call of `generate_responses`: its rollouts share one object of sampling parameters.

        They join one after the other, before anything is awaited, so a full group gets no rollout of another call.
        """
        key = (prompt.label, id(prompt.sampling))
        group = self._open.get(key)
        if group is None:
            group = self._open[key] = RolloutGroup(self.dapo.group_size, prompt.sampling)
        if group.joined == group.size - 1:
            del self._open[key]
        return group

    async def _roll(self, prompt: Prompt, group: RolloutGroup, generate: Generate) -> Rollout:
        picture = await group.once("picture", lambda: asyncio.to_thread(load_picture, prompt.images))
        prepared = await group.once("prompt", lambda: asyncio.to_thread(prepare, prompt, picture))
        sampling = copy.deepcopy(prompt.sampling)
        marks = marks_of(prompt.processor)
        sampling.logit_bias = dict.fromkeys(sorted(marks), NEVER)
        output = await generate(prepared, [picture], sampling)
        (start, end), *_ = output["action_ranges"]
        reply = output["observation_tokens"][start:end]
        if marks & set(reply):  # training would take them for images
            return Rollout(output, fault="image_mark")
        text = prompt.processor.batch_decode([reply], skip_special_tokens=True)[0]
        return await self._reward(text, json.loads(prompt.label), output)

    async def _reward(self, text: str, row: dict[str, Any], output: dict[str, Any]) -> Rollout:
        verdict = grade_strictly(text, row["label"], row["options"])
        closed, accuracy = bool(format_of(verdict)), accuracy_of(verdict)
        if accuracy is not None or self.judge is None or row.get("turn") == HELD:
            return Rollout(output, closed, accuracy or 0.0)
        correct = await self.judge.decide_async(Undecided(row["question"], row["answer"], verdict.predicted))
        if correct is None:
            return Rollout(output, closed, fault="undecided")
        return Rollout(output, closed, float(correct), judged=True)

    def _answer(self, prompt: Prompt, rollout: Rollout, accuracies: Sequence[float]) -> dict[str, Any]:
        """OpenRLHF takes the penalty for length off by itself. The reference goes back, not the picture."""
        return rollout.output | {
            "images": prompt.images,
            "reward": rollout.accuracy,
            "scores": rollout.accuracy,
            "extra_logs": rollout.logs(is_informative(accuracies, *self.dapo.dynamic_range)),
        }

    async def _mask(self, prompt: Prompt, group: RolloutGroup, rollout: Rollout, broken: bool) -> dict[str, Any]:
        """A reply of one token, with a reward of exactly 0 once OpenRLHF has taken its penalty for length off."""
        name = "blank" if broken else "prompt"
        prepared: Prepared = await group.once(name, lambda: asyncio.to_thread(prepare, prompt, blank()))
        tokens = [*prepared.tokens, prompt.processor.tokenizer.eos_token_id]
        if len(tokens) > prompt.max_length:
            raise R2IError(f"a prompt of {len(tokens) - 1} tokens is too long even without its image", "make it anew")
        dapo = self.dapo
        return {
            "prompt": prompt.text,
            "label": prompt.label,
            "images": prompt.images,
            "mm_train_inputs": training_inputs(prepared),
            "observation_tokens": tokens,
            "action_ranges": [(len(tokens) - 1, len(tokens))],
            "rollout_log_probs": None if prompt.sampling.logprobs is None else [0.0] * len(tokens),
            "truncated": False,
            "reward": -overlong_penalty(1, dapo.max_response, dapo.overlong_buffer, dapo.overlong_factor),
            "scores": 0.0,
            "extra_logs": rollout.logs(informative=False),
        }

    def _refuse_broken(self, rollouts: list[Rollout]) -> None:
        error = next((each.error for each in rollouts if each.error), None)
        if error and self._broken >= MOST_BROKEN:
            raise R2IError(
                f"{self._broken} groups of rollouts in a row failed, the last with {type(error).__name__}: {error}",
                "see the log for the first of them",
            ) from error

    def _close(self, prompt: Prompt, group: RolloutGroup) -> None:
        """Count a complete group, and print why it is masked."""
        rollouts = list(group.rollouts.values())
        faults = [each.fault for each in rollouts if each.fault]
        error = next((each.error for each in rollouts if each.error), None)
        self._broken = self._broken + 1 if error else 0
        counts = self.tally.counts
        counts.update(groups=1, rollouts=len(rollouts), judged=sum(each.judged for each in rollouts))
        counts.update(masked=len(faults), masked_groups=int(bool(faults)))
        rewards = [None if each.fault else each.accuracy for each in rollouts]
        if self.dapo.dynamic_sampling and not is_informative(rewards, *self.dapo.dynamic_range):
            counts.update(filtered=len(rollouts))
        counts.update(f"masked_{fault}" for fault in faults)
        if self.judge:
            for name, count in self.judge.counts.items():
                counts[f"judge_{name}"] = count
        self.tally.write()
        if faults:
            why = f"{type(error).__name__}: {error}" if error else ", ".join(sorted(set(faults)))
            row = json.loads(prompt.label)["row_id"]
            print(f"row {row}: its {group.size} rollouts are masked ({why})", file=sys.stderr, flush=True)
