"""The `dapo` params as options of TRL's GRPOConfig: a pure function (docs/training.md has the table)."""

from typing import Any

from r2i.core.params import Dapo


def trl_options(dapo: Dapo) -> dict[str, Any]:
    """Batch sizes in params are prompts, in TRL samples. Rows come in an order of our own, so TRL shuffles none.

    `delta` bounds the ratio from above before the minimum of the clipped and the plain objective is taken: for a
    negative advantage that is dual clip, for a positive one the upper clip is lower and it never acts.
    Dynamic sampling, the overlong penalty and the pixel limits have no option: DapoTrainer, the reward and the
    processor do them.
    """
    return {
        "learning_rate": dapo.lr,
        "weight_decay": dapo.weight_decay,
        "num_train_epochs": dapo.epochs,
        "max_steps": dapo.max_steps,
        "per_device_train_batch_size": dapo.train_prompts * dapo.group_size,
        "gradient_accumulation_steps": 1,
        "steps_per_generation": dapo.rollout_prompts // dapo.train_prompts,
        "num_generations": dapo.group_size,
        "temperature": dapo.temperature,
        "max_completion_length": dapo.max_response,
        "loss_type": "dapo",
        "epsilon": dapo.clip_low,
        "epsilon_high": dapo.clip_high,
        "delta": dapo.dual_clip,
        "beta": dapo.kl,
        "scale_rewards": "group",
        "shuffle_dataset": False,
    }


def recorded(dapo: Dapo) -> dict[str, str]:
    """What TRL does otherwise than DAPO says, for the metrics."""
    return {
        "dual_clip": "none" if dapo.dual_clip is None else "delta",
        "dynamic_sampling": "groups dropped, batch not refilled" if dapo.dynamic_sampling else "off",
    }
