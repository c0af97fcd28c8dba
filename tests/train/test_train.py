"""Rewards, the mapping to TRL, dynamic sampling, and rollouts of the real trainer on a tiny model."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_run import OPTIONS, SMOKE, run, same_model, train_rows
from transformers import TrainingArguments

from r2i.core.curve import Line, read_curve
from r2i.core.errors import R2IError
from r2i.core.params import Dapo
from r2i.endpoint.vision import attend_in_one_call, encode_repeats_once
from r2i.grading.strict import grade_strictly
from r2i.mini.checkpoint import build_model, build_processor
from r2i.train.fit import fitting_rows
from r2i.train.judge import Undecided
from r2i.train.reward import RewardFunctions, accuracy_of, format_of, is_informative, overlong_penalty
from r2i.train.rows import rl_dataset
from r2i.train.trl_dapo import DapoTrainer, _whole_steps, keep_rows, trl_config


@pytest.mark.parametrize(
    ("tokens", "penalty"),
    [(5, 0.0), (6, 0.0), (7, -0.5), (8, -1.0), (9, -1.0)],  # limit 8, buffer 2: the slope runs from 6 to 8
)
def test_the_overlong_penalty_falls_linearly_over_the_buffer(tokens: int, penalty: float) -> None:
    assert overlong_penalty(tokens, limit=8, buffer=2) == penalty


def test_without_a_buffer_nothing_is_too_long() -> None:
    assert overlong_penalty(10_000, limit=8, buffer=0) == 0.0


def test_the_penalty_scales_with_its_factor() -> None:
    assert overlong_penalty(7, limit=8, buffer=2, factor=0.5) == -0.25


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("red<answer> A</answer>", (1.0, 1.0, "A")),
        ("red<answer> B</answer>", (1.0, 0.0, "B")),
        ("red<answer> A", (0.0, 0.0, "")),  # unclosed: a right letter in it must not pay
        ("", (0.0, 0.0, "")),
        ("<answer></answer>", (0.0, 0.0, "")),
        ("<answer>" + "A" * 301 + "</answer>", (0.0, 0.0, "")),
        ("<answer>a crimson one</answer>", (1.0, None, "a crimson one")),  # no rule reads it: for the judge
        ("<answer>A</answer> or <answer>", (0.0, 0.0, "")),
    ],
)
def test_the_reward_of_a_reply(reply: str, expected: tuple[float, float | None, str]) -> None:
    """Format, accuracy, and what the judge gets where there is no accuracy."""
    verdict = grade_strictly(reply, "A", OPTIONS)
    assert (format_of(verdict), accuracy_of(verdict), verdict.predicted) == expected


class HalfJudge:
    """Knows crimson alone."""

    def decide(self, items: list[Undecided]) -> list[bool | None]:
        assert all(
            (item.question, item.answer) == ("what color is the dot on the red square?", "red") for item in items
        )
        return [True if item.span == "a crimson one" else None for item in items]


def test_a_span_that_no_rule_reads_is_wrong_without_a_judge_and_masked_where_the_judge_is_undecided() -> None:
    replies = ["<answer>a crimson one</answer>", "<answer>A</answer>", "<answer>a wine one</answer>"]
    completions = [[{"content": reply}] for reply in replies]
    data = rl_dataset(train_rows(1))[0]
    columns = {name: [data[name]] * 3 for name in ("label", "options", "question", "answer")}  # as TRL passes them on
    with RewardFunctions(SMOKE.train.dapo, 0) as rewards:
        assert rewards.reward_accuracy(completions, **columns) == [0.0, 1.0, 0.0]
        assert rewards.shares() == {}
        rewards._judge = HalfJudge()  # type: ignore[assignment]
        assert rewards.reward_accuracy(completions, **columns) == [1.0, 1.0, None]
        assert rewards.shares() == {"judged": pytest.approx(1 / 3), "masked": pytest.approx(1 / 3)}


@pytest.mark.parametrize(
    ("accuracies", "kept"),
    [([1, 0], True), ([1, 1], False), ([0, 0], False), ([1, None], False), ([], False), ([1, 1, 1, 0], False)],
)
def test_groups_outside_of_the_range_or_not_wholly_graded_carry_no_signal(accuracies: list, kept: bool) -> None:
    assert is_informative(accuracies, 0.0, 0.75) is kept


def test_batch_sizes_in_prompts_become_samples_for_trl() -> None:
    """8 prompts x 8 rollouts = 64 samples a step."""
    config = trl_config(SMOKE.train, 0, Path("unused"))
    assert config.per_device_train_batch_size == 64
    assert config.generation_batch_size == 64
    assert (config.epsilon, config.epsilon_high, config.beta, config.loss_type) == (0.2, 0.3, 0.0, "dapo")
    assert config.delta == 3.0  # dual clip


def test_checkpoints_come_at_the_end_of_a_rollout_batch() -> None:
    """Of 2 optimizer steps each: a checkpoint every 3 rollout batches is one every 6 steps."""
    dapo = SMOKE.train.dapo.model_copy(update={"rollout_prompts": 16})
    train = SMOKE.train.model_copy(update={"dapo": dapo, "save_every": 3})
    assert trl_config(train, 0, Path("unused")).save_steps == 6


def test_groups_without_spread_leave_the_batch_and_the_denominator() -> None:
    """4 groups of 2; the second and fourth are silent. 4 rows stay, of 3 + 1 + 2 + 2 = 8 tokens."""
    mask = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 1], [1, 1, 1], [1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0]])
    batch = {
        "advantages": torch.tensor([1.0, -1.0, 0.0, 0.0, 0.5, -0.5, 0.0, 0.0]),
        "completion_mask": mask,
        "num_items_in_batch": mask.sum(),
        "pixel_values": torch.arange(16.0).repeat_interleave(2).view(32, 1)[:32],
        "image_grid_thw": torch.tensor([[1, 2, 2]] * 8),
        "num_images": [1] * 8,
    }
    informative = batch["advantages"].view(-1, 2).abs().amax(1) > 0
    rows = _whole_steps(informative, steps=1, group_size=2)
    kept = keep_rows(batch, rows)
    assert rows.tolist() == [0, 1, 4, 5]
    assert kept["advantages"].tolist() == [1.0, -1.0, 0.5, -0.5]
    assert int(kept["num_items_in_batch"]) == 8
    assert kept["pixel_values"].shape == (16, 1) and kept["num_images"] == [1] * 4
    assert torch.equal(kept["pixel_values"][8:12], batch["pixel_values"][16:20])  # the third kept row is row 4


def test_kept_groups_fill_whole_optimizer_steps() -> None:
    """5 informative groups and 2 optimizer steps: 4 are used, 2 a step."""
    informative = torch.tensor([True, True, False, True, True, True])
    assert len(_whole_steps(informative, steps=2, group_size=3)) == 12
    one = torch.tensor([False, True, False])
    assert _whole_steps(one, steps=2, group_size=1).tolist() == [1, 0]  # one silent group fills the second step


def test_images_that_repeat_are_encoded_once_and_give_the_same_features() -> None:
    model = attend_in_one_call(build_model(0)).eval()
    processor = build_processor()
    pictures = [Image.new("RGB", (128, 128), color) for color in ("red", "blue", "red", "red")]
    inputs = processor.image_processor(images=pictures, return_tensors="pt")
    seen: list[int] = []
    model.model.visual.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(len(kwargs["grid_thw"])), with_kwargs=True
    )
    with torch.no_grad():
        plain = model.model.get_image_features(inputs["pixel_values"], inputs["image_grid_thw"], return_dict=True)
        once = encode_repeats_once(model).model.get_image_features(
            inputs["pixel_values"], inputs["image_grid_thw"], return_dict=True
        )
    assert seen == [4, 2]
    for a, b in zip(plain.pooler_output, once.pooler_output, strict=True):
        assert torch.allclose(a, b, atol=1e-5)
    for a, b in zip(plain.deepstack_features, once.deepstack_features, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


SMALL = {"dapo": {"rollout_prompts": 4, "train_prompts": 4, "group_size": 4}, "sft": {"batch": 4}, "opd": {"batch": 4}}
"""Steps that are many times shorter, where it is about how they follow one another."""


@pytest.fixture(scope="module")
def undisturbed(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a run of four small steps, made once."""

    @cache
    def make(name: str) -> Path:
        folder = tmp_path_factory.mktemp(f"undisturbed-{name}")
        run(base, folder, name, steps=4, **SMALL[name])
        return folder

    return make


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def test_dapo_twice_gives_the_same_bytes_and_a_folder_that_loads(base: Path, tmp_path: Path) -> None:
    from r2i.endpoint.local import load_local

    (tmp_path / "b").mkdir()
    summary = run(base, tmp_path, "dapo", group_size=4)
    run(base, tmp_path / "b", "dapo", group_size=4)
    assert summary["steps"] == 2 and summary["rows"] == 8 and summary["dual_clip"] == "delta"
    noted = json.loads((tmp_path / "dapo" / "tokenizer_config.json").read_text())
    assert not {"is_local", "local_files_only"} & noted.keys()  # they differ with HF_HUB_OFFLINE
    assert same_model(tmp_path / "dapo", tmp_path / "b" / "dapo")
    lines = read_curve(tmp_path / "dapo.json")
    assert [line["step"] for line in lines] == [1, 2] and all("kept_groups" in line for line in lines)
    load_local(tmp_path / "dapo")
    assert not any((tmp_path / ".r2i" / "train").iterdir())  # a finished run leaves no checkpoint


def test_trl_s_advantages_are_rewards_in_units_of_their_group_s_spread(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1, 0, 0, 0: mean 0.25, deviation with n - 1: sqrt((0.5625 + 3 * 0.0625) / 3) = 0.5."""
    advantages: list[list[float]] = []
    informative = DapoTrainer._informative

    def one_of_four(self: RewardFunctions, completions: list, **_: object) -> list[float | None]:
        half = len(completions) // 2  # the second half is all right
        self.accuracies = [float(i % 4 == 0 or i >= half) for i in range(len(completions))]
        return self.accuracies

    def watched(self: DapoTrainer, values: torch.Tensor) -> torch.Tensor:
        advantages.append(values.tolist())
        return informative(self, values)

    monkeypatch.setattr(DapoTrainer, "_informative", watched)
    monkeypatch.setattr(RewardFunctions, "reward_accuracy", one_of_four)
    run(base, tmp_path, "dapo", steps=1, group_size=4, overlong_buffer=0)
    (values,) = advantages
    half = len(values) // 2
    assert values[:half] == pytest.approx([1.4997, -0.4999, -0.4999, -0.4999] * (half // 4), abs=1e-4)
    assert values[half:] == [0.0] * half


@pytest.mark.parametrize("name", ["dapo", "sft", "opd"])
def test_a_run_that_stopped_goes_on_and_ends_with_the_same_bytes(
    base: Path, tmp_path: Path, undisturbed: Callable[[str], Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from r2i.train import trl as module

    whole = undisturbed(name)
    told: list[int] = []

    def dying(_: str) -> object:
        def sink(step: int, steps: int, line: Line) -> None:
            told.append(step)
            if len(told) == (3 if name == "dapo" else 2):
                raise KeyboardInterrupt

        return sink

    with monkeypatch.context() as patch:
        patch.setattr(module, "progress_printer", dying)
        with pytest.raises(KeyboardInterrupt):
            run(base, tmp_path, name, steps=4, **SMALL[name])
        (halfway,) = (tmp_path / ".r2i" / "train").iterdir()
        (halfway / "checkpoint-9").mkdir()  # as a kill in the midst of writing leaves it
        assert not (tmp_path / name).exists()
        patch.setattr(module, "progress_printer", lambda _: lambda step, steps, line: told.append(step))
        run(base, tmp_path, name, steps=4, **SMALL[name])
    first = [1, 2, 3, 3, 4] if name == "dapo" else [1, 2, 2, 3, 4]
    assert told == first  # it went on from the last checkpoint, not from the start
    assert same_model(tmp_path / name, whole / name)
    assert (tmp_path / f"{name}.json").read_bytes() == (whole / f"{name}.json").read_bytes()


@pytest.mark.parametrize("name", ["dapo", "sft"])
def test_a_run_whose_newest_checkpoint_is_spoiled_goes_on_from_the_one_before_to_the_same_bytes(
    base: Path,
    tmp_path: Path,
    undisturbed: Callable[[str], Path],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from r2i.train import trl as module

    whole = undisturbed(name)
    checkpoint = tmp_path / ".r2i" / "train"

    def dying(_: str) -> object:
        def sink(step: int, steps: int, line: Line) -> None:
            if step > 1 and len(list(checkpoint.glob("*/checkpoint-*/complete"))) > (name == "dapo"):
                raise KeyboardInterrupt

        return sink

    with monkeypatch.context() as patch:
        patch.setattr(module, "progress_printer", dying)
        with pytest.raises(KeyboardInterrupt):
            run(base, tmp_path, name, steps=4, **SMALL[name])
    newest = max(checkpoint.glob("*/checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for spoiled in ("optimizer.pt", "model.safetensors"):
        data = bytearray((newest / spoiled).read_bytes())
        data[-5] ^= 1
        (newest / spoiled).write_bytes(data)
    run(base, tmp_path, name, steps=4, **SMALL[name])
    assert f"{newest} is not used: model.safetensors is not what was written" in capsys.readouterr().err
    assert same_model(tmp_path / name, whole / name)


def test_a_training_that_was_killed_goes_on(base: Path, tmp_path: Path, undisturbed: Callable[[str], Path]) -> None:
    """kill -9 once two checkpoints are there; the next run ends with the bytes of an undisturbed one."""
    whole = undisturbed("dapo")
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from pathlib import Path; import tiny_run"
    code += f"; tiny_run.run(Path({str(base)!r}), Path({str(tmp_path)!r}), 'dapo', steps=4, **{SMALL['dapo']})"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    waited = time.monotonic()
    while not list((tmp_path / ".r2i").glob("train/*/checkpoint-2/complete")):
        assert child.poll() is None and time.monotonic() < waited + 120
        time.sleep(0.02)
    child.kill()
    child.wait()
    assert not (tmp_path / "dapo").exists()
    run(base, tmp_path, "dapo", steps=4, **SMALL["dapo"])
    assert same_model(tmp_path / "dapo", whole / "dapo")


def test_sft_changes_the_model_and_lowers_its_loss(base: Path, tmp_path: Path) -> None:
    run(base, tmp_path, "sft")
    losses = [line["loss"] for line in read_curve(tmp_path / "sft.json")]
    assert losses[-1] < losses[0]
    assert (tmp_path / "sft" / "model.safetensors").read_bytes() != (base / "model.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["dapo", "sft", "opd"])
def test_several_gpus_are_one_to_a_training_in_process(
    base: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Arguments count GPUs once, when they are made; TRL refuses two in one process."""
    count = TrainingArguments.__post_init__

    def find_two(arguments: TrainingArguments) -> None:
        count(arguments)
        arguments._n_gpu = 2

    monkeypatch.setattr(TrainingArguments, "__post_init__", find_two)
    run(base, tmp_path, name, steps=1)
    assert "2 GPUs are visible: a training in process trains on the first" in capsys.readouterr().err


def test_an_objective_without_a_trainer_is_an_error(base: Path, tmp_path: Path) -> None:
    with pytest.raises(R2IError, match="no training objective 'ppo'"):
        run(base, tmp_path, "ppo")


def test_too_few_rows_are_an_error_with_a_remedy_and_leave_nothing(base: Path, tmp_path: Path) -> None:
    with pytest.raises(R2IError, match="3 train rows are fewer than one rollout batch of 8") as caught:
        run(base, tmp_path, "dapo", rows=3)
    assert "lower dapo.rollout_prompts" in caught.value.remedy and "max_prompt" not in caught.value.remedy
    assert not (tmp_path / "dapo").exists()


def test_rows_that_are_too_long_are_told_with_the_length_that_would_do() -> None:
    processor, rows = build_processor(), train_rows(9)
    rows[4]["prompt"] = "is " + rows[4]["prompt"]

    def limits(max_prompt: int) -> Dapo:
        return SMOKE.train.dapo.model_copy(update={"max_prompt": max_prompt, "rollout_prompts": 8})

    with pytest.raises(R2IError, match="9 more are over 5 tokens") as caught:
        fitting_rows(rows, processor, limits(5))
    found = re.search(r"raise dapo.max_prompt: (\d+) fill a batch, (\d+) take all rows", caught.value.remedy)
    assert found, caught.value.remedy
    for length, count in ((int(found[1]), 8), (int(found[2]), 9)):
        kept, left_out = fitting_rows(rows, processor, limits(length))
        assert (len(kept), left_out["too_long"]) == (count, 9 - count)
