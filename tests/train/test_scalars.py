"""OpenRLHF's names become ours. Event files themselves: tests/stack/test_run.py, where tensorboard is."""

from r2i.core.curve import KEYS
from r2i.train.openrlhf.scalars import NAMES, to_line


def test_every_name_is_one_of_the_curve() -> None:
    assert set(NAMES.values()) <= set(KEYS)
    assert len(set(NAMES.values())) == len(NAMES)


def test_the_pass_rate_in_samples_over_prompts_becomes_a_share_of_groups() -> None:
    # 12 prompts were sampled until 6 groups of 8 had passed: 48 samples / 12 prompts = 400 %; half of the groups
    assert to_line(3, {"train/dynamic_filtering_pass_rate": 400.0}, 8) == {"step": 3, "kept_groups": 0.5}


def test_rollouts_that_could_not_be_graded_do_not_count_as_wrong() -> None:
    # of 8, 2 are masked and 3 right: OpenRLHF's mean is 3/8, ours 3/6
    line = to_line(1, {"train/accuracy": 0.375, "train/masked": 0.25}, 8)
    assert line == {"step": 1, "accuracy": 0.5, "masked": 0.25}
    assert to_line(1, {"train/accuracy": 0.0, "train/masked": 1.0}, 8)["accuracy"] == 0.0


def test_unknown_numbers_are_left_out() -> None:
    assert to_line(1, {"train/kl": 0.5, "train/timing/step_total": 12.3456789}, 8) == {
        "step": 1,
        "seconds_step": 12.345679,
    }
