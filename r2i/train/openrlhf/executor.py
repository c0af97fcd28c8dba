"""Rollouts for OpenRLHF: images by reference, no marks of images in replies, grading, masking.

A group in which one rollout can't be graded (the judge is down or over its budget, a picture can't be read) teaches
nothing: its mean is unknown. OpenRLHF has no word for that, so such a group is made harmless instead. Its rewards are
all equal, which makes every advantage exactly 0; its scores are 0, which dynamic sampling filters out whatever its
range; and of each reply one token is left, the end: no token at all would make OpenRLHF's means NaN.

Needs neither OpenRLHF nor vLLM: agent.py brings their machinery as `generate`.
"""

import asyncio
import copy
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from r2i.core.errors import R2IError
from r2i.train.judge import JudgeError, RewardJudge, Undecided
from r2i.train.openrlhf.group import Group, Rollout
from r2i.train.openrlhf.prompt import Prepared, Prompt, blank, load_picture, marks_of, prepare, training_inputs
from r2i.train.openrlhf.settings import Settings
from r2i.train.openrlhf.tally import Tally
from r2i.train.reward import is_informative, overlong_penalty, score

NEVER = -100.0  # vLLM's strongest logit bias
BROKEN = 20  # groups in a row in which something went wrong: it is not the row

Generate = Callable[[Any, list[Any], Any], Awaitable[dict[str, Any]]]
"""(processor, pictures, sampling parameters) -> OpenRLHF's response, without a reward."""


class Rollouts:
    """Of one vLLM engine. All calls come from its event loop."""

    def __init__(self, settings: Settings, judge: RewardJudge | None, tally: Tally) -> None:
        self.dapo, self.judge, self.tally = settings.dapo, judge, tally
        self._open: dict[tuple[str, int], Group] = {}
        self._broken = 0

    async def execute(self, prompt: Prompt, generate: Generate) -> dict[str, Any]:
        """One rollout, given back when its whole group is there.

        Raises R2IError where the judge never worked, or BROKEN groups in a row failed.
        """
        group = self._join(prompt)
        place = group.join()
        rollout = Rollout(fault="cancelled")
        try:
            rollout = await self._roll(prompt, group, generate)
        except JudgeError:
            raise
        except Exception as error:  # a broken picture must not end a run of days; that all are broken must
            rollout = Rollout(fault="failed", error=error)
        finally:  # also when cancelled: the others wait for it
            group.put(place, rollout)
            if len(group.rollouts) == group.size:
                self._close(prompt, group)
        rollouts = await group.wait()
        if not any(each.fault for each in rollouts):
            return self._answer(prompt, rollout, [each.accuracy for each in rollouts])
        self._refuse_broken(rollouts)
        return await self._mask(prompt, group, rollout, any(each.error for each in rollouts))

    def _join(self, prompt: Prompt) -> Group:
        """The group of this call of `generate_responses`: its rollouts share one object of sampling parameters.

        They begin one after the other, before anything is awaited, so a full group is never joined by a stranger.
        """
        key = (prompt.label, id(prompt.sampling))
        group = self._open.get(key)
        if group is None:
            group = self._open[key] = Group(self.dapo.group_size, prompt.sampling)
        if group.joined == group.size - 1:
            del self._open[key]
        return group

    async def _roll(self, prompt: Prompt, group: Group, generate: Generate) -> Rollout:
        picture = await group.once("picture", lambda: asyncio.to_thread(load_picture, prompt.images))
        prepared = await group.once("prompt", lambda: asyncio.to_thread(prepare, prompt, picture))
        sampling = copy.deepcopy(prompt.sampling)
        marks = marks_of(prompt.processor)
        sampling.logit_bias = dict.fromkeys(sorted(marks), NEVER)
        output = await generate(prepared, [picture], sampling)
        (start, end), *_ = output["action_ranges"]
        reply = output["observation_tokens"][start:end]
        if marks & set(reply):  # they would be counted as images when the reply is trained on
            return Rollout(output, fault="image_mark")
        text = prompt.processor.batch_decode([reply], skip_special_tokens=True)[0]
        return await self._grade(text, json.loads(prompt.label), output)

    async def _grade(self, text: str, row: dict[str, Any], output: dict[str, Any]) -> Rollout:
        graded = score(text, row["label"], row["options"])
        if graded.accuracy is not None or self.judge is None:
            return Rollout(output, graded.format, graded.accuracy or 0.0)
        verdict = await self.judge.decide_async(Undecided(row["question"], row["answer"], graded.span))
        if verdict is None:
            return Rollout(output, graded.format, fault="undecided")
        return Rollout(output, graded.format, float(verdict), judged=True)

    def _answer(self, prompt: Prompt, rollout: Rollout, accuracies: Sequence[float]) -> dict[str, Any]:
        """OpenRLHF takes the penalty for length off by itself. The reference goes back, not the picture."""
        return rollout.output | {
            "images": prompt.images,
            "reward": rollout.accuracy,
            "scores": rollout.accuracy,
            "extra_logs": rollout.logs(is_informative(accuracies, *self.dapo.dynamic_range)),
        }

    async def _mask(self, prompt: Prompt, group: Group, rollout: Rollout, broken: bool) -> dict[str, Any]:
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
        if error and self._broken >= BROKEN:
            raise R2IError(
                f"{self._broken} groups of rollouts in a row failed, the last with {type(error).__name__}: {error}",
                "see the log for the first of them",
            ) from error

    def _close(self, prompt: Prompt, group: Group) -> None:
        """Count a whole group, and say what masks it."""
        rollouts = list(group.rollouts.values())
        faults = [each.fault for each in rollouts if each.fault]
        error = next((each.error for each in rollouts if each.error), None)
        self._broken = self._broken + 1 if error else 0
        counts = self.tally.counts
        counts.update(groups=1, rollouts=len(rollouts), judged=sum(each.judged for each in rollouts))
        counts.update(masked=len(faults), masked_groups=int(bool(faults)))
        counts.update(f"masked_{fault}" for fault in faults)
        if self.judge:
            for name, count in self.judge.counts.items():
                counts[f"judge_{name}"] = count
        self.tally.write()
        if faults:
            why = f"{type(error).__name__}: {error}" if error else ", ".join(sorted(set(faults)))
            row = json.loads(prompt.label)["row_id"]
            print(f"row {row}: its {group.size} rollouts are masked ({why})", file=sys.stderr, flush=True)
