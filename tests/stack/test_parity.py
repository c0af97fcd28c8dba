"""Both engines give one rollout one reward, one group one advantage, and one ratio one loss."""

from collections import defaultdict
from pathlib import Path
from statistics import fmean, stdev
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("openrlhf", reason="needs the GPU extra: `make test-stack`")

import torch
from openrlhf.models.loss import PolicyLoss
from openrlhf.trainer.ppo_utils.experience import Experience
from openrlhf.trainer.ppo_utils.experience_maker import RemoteExperienceMaker
from openrlhf.trainer.ppo_utils.kl_controller import FixedKLController
from trl import GRPOTrainer

from r2i.grading.strict import grade_strictly
from r2i.train.reward import accuracy_of, overlong_penalty

OPTIONS = ["red", "blue", "green", "pink"]
LIMIT, BUFFER, GROUP = 40, 16, 4
REPLIES = {  # by group; with the number of tokens of each
    "mixed": [("<answer>A</answer>", 9), ("<answer>B</answer>", 9), ("<answer>A", 9), ("<answer>red</answer>", 12)],
    "long": [("<answer>A</answer>", 40), ("<answer>A</answer>", 30), ("<answer>C</answer>", 40), ("", 25)],
    "all right": [("<answer>A</answer>", 9)] * 4,
    "all wrong": [("<answer>D</answer>", 11)] * 4,
    "right, unlike in length": [("<answer>A</answer>", length) for length in (24, 25, 32, 39)],
    "wrong, all at the limit": [("<answer>", 40)] * 4,
}


def maker(factor: float) -> RemoteExperienceMaker:
    """OpenRLHF's own, without the models that it asks for log-probabilities."""
    args = SimpleNamespace(
        algo=SimpleNamespace(advantage=SimpleNamespace(estimator="group_norm", gamma=1.0, lambd=1.0)),
        rollout=SimpleNamespace(n_samples_per_prompt=GROUP, max_new_tokens=LIMIT),
        reward=SimpleNamespace(
            clip_range=None, overlong_buffer_len=BUFFER if factor else None, overlong_penalty_factor=factor
        ),
    )
    return RemoteExperienceMaker(
        None, None, None, None, FixedKLController(0.0), SimpleNamespace(args=args), tokenizer=None
    )


def experience(index: int, reward: float, length: int) -> Experience:
    mask = torch.zeros(1, LIMIT + 4)
    mask[0, 3 : 3 + length] = 1
    return Experience(
        action_mask=mask, rewards=torch.tensor([reward]), response_length=torch.tensor([length]), index=[index],
        truncated=torch.tensor([length == LIMIT]), kl=torch.zeros_like(mask), info={"reward": torch.tensor([reward])},
    )  # fmt: skip


def of_openrlhf(groups: list[list[tuple[float, int]]], factor: float) -> tuple[list[float], list[float]]:
    """Rewards less penalties, and advantages, rollout by rollout."""
    flat = [rollout for group in groups for rollout in group]
    made = [experience(i, reward, length) for i, (reward, length) in enumerate(flat)]
    maker(factor).compute_advantages_and_returns(made)
    for one in made:  # one advantage for all of a rollout's tokens, none for others
        inside = one.advantages[one.action_mask.bool()]
        assert bool((inside == inside[0]).all())
    return [one.rewards.item() for one in made], [one.advantages[0, 3].item() for one in made]


@pytest.mark.parametrize("factor", [0.0, 1.0, 0.5])
def test_rewards_and_advantages_are_those_of_the_other_engine(factor: float) -> None:
    """TRL divides by the deviation + 1e-4 and OpenRLHF by it + 1e-9: less than 1e-3 apart from a spread of 0.1 on."""
    graded = [
        [(accuracy_of(grade_strictly(text, "A", OPTIONS)) or 0.0, n) for text, n in group] for group in REPLIES.values()
    ]
    buffer = BUFFER if factor else 0
    ours = [[accuracy + overlong_penalty(n, LIMIT, buffer, factor) for accuracy, n in group] for group in graded]
    rewards, advantages = of_openrlhf(graded, factor)
    assert rewards == pytest.approx([reward for group in ours for reward in group], abs=1e-6)
    expected = [(reward - fmean(group)) / (stdev(group) + 1e-4) for group in ours for reward in group]
    assert advantages == pytest.approx(expected, abs=1e-3)
    assert any(advantage > 0.5 for advantage in advantages)


def test_a_right_reply_of_the_mixed_group_by_hand() -> None:
    """Rewards 1, 0, 0, 1: mean 0.5, deviation sqrt(4 * 0.25 / 3) = 0.577, so 0.5 / 0.577 = 0.866."""
    _, advantages = of_openrlhf([[(1.0, 9), (0.0, 9), (0.0, 9), (1.0, 12)]], 0.0)
    assert advantages == pytest.approx([0.866, -0.866, -0.866, 0.866], abs=1e-3)


class Scripted(GRPOTrainer):
    """TRL's loss for given log-probabilities: no model is asked."""

    def __init__(self, delta: float | None) -> None:
        self.args = SimpleNamespace(
            delta=delta, use_bias_correction_kl=False, steps_per_generation=1, off_policy_mask_threshold=None
        )
        self.model = SimpleNamespace(training=False)
        self.accelerator = SimpleNamespace(
            num_processes=1, gather=lambda value: value, reduce=lambda value, reduction: value
        )
        self.epsilon_low, self.epsilon_high, self.beta, self.loss_type = 0.2, 0.3, 0.0, "dapo"
        self.importance_sampling_level, self.top_entropy_quantile = "token", 1.0
        self.off_policy_mask_threshold = None
        self._entropy_bonus_enabled = self.aux_loss_enabled = self.use_vllm = (
            self.vllm_importance_sampling_correction
        ) = False
        self._metrics: Any = {"eval": defaultdict(list)}

    def _get_per_token_logps_and_entropies(self, model: Any, *_: Any, **__: Any) -> Any:
        return model, torch.zeros_like(model), None


def of_trl(
    new: torch.Tensor, old: torch.Tensor, advantages: torch.Tensor, mask: torch.Tensor, delta: float | None
) -> Any:
    inputs = {
        "prompt_ids": torch.zeros(len(new), 1, dtype=torch.long), "prompt_mask": torch.ones(len(new), 1),
        "completion_ids": torch.zeros(new.shape, dtype=torch.long), "completion_mask": mask,
        "advantages": advantages, "old_per_token_logps": old, "num_items_in_batch": mask.sum(),
    }  # fmt: skip
    return Scripted(delta)._compute_loss(new, inputs)


@pytest.mark.parametrize("bound", [None, 3.0])
def test_dual_clip_is_trls_delta(bound: float | None) -> None:
    """Ratios from 1/20 to 20, advantages of both signs; the loss and its gradient at every token."""
    torch.manual_seed(0)
    old = -torch.rand(64, 7)
    mask = (torch.rand(64, 7) > 0.2).float()
    mask[:, 0] = 1
    advantages = torch.randn(64)
    shift = (torch.rand(64, 7) - 0.5) * 6
    losses, slopes = [], []
    for engine in ("openrlhf", "trl"):
        new = (old + shift).requires_grad_()
        if engine == "openrlhf":
            spread = advantages[:, None].expand_as(new)
            norm = {"batch_num_tokens": mask.sum(), "global_batch_size": 64}
            loss = PolicyLoss(0.2, 0.3, dual_clip=bound)(new, old, spread, action_mask=mask, **norm)[0]
        else:
            loss = of_trl(new, old, advantages, mask, bound)
        loss.backward()
        losses.append(loss.item())
        slopes.append(new.grad)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert torch.allclose(slopes[0], slopes[1], atol=1e-7)
    ratios = shift.exp()
    bounded = (ratios > 3) & (advantages[:, None] < 0) & (mask > 0)
    assert int(bounded.sum()) > 20  # else the bound was not at work
    assert bool((slopes[0][bounded] == 0).all()) is (bound is not None)


def test_this_page_reads_the_params_that_the_engines_get() -> None:
    """The clip range above is the reference's: clip_low 0.2, clip_high 0.3, dual_clip 3."""
    from r2i.core.params import load_params

    dapo = load_params(Path(__file__).parents[2] / "params.yaml").profiles["paper"].train.dapo
    assert (dapo.clip_low, dapo.clip_high, dapo.dual_clip) == (0.2, 0.3, 3.0)
