"""Held-out rows are never trained on; the best checkpoint on them can be the result, also of a run that was killed."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tiny_run import SMOKE, run, same_model, train_rows

from r2i.core.curve import Line, read_curve
from r2i.core.errors import R2IError
from r2i.core.params import Train
from r2i.endpoint.local import load_local
from r2i.train.held_out import best_of, split_rows
from r2i.train.validate import Validation, measurements

MINI = Path(__file__).parents[2] / "models/mini"
SHARE = {"validation": 0.3}


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def test_no_image_is_trained_on_and_held_out() -> None:
    rows = [row | {"image_id": f"image{number // 3}"} for number, row in enumerate(train_rows(300))]
    trained, held = split_rows(rows, 0.2, 0, 8)
    sides = [{row["image_id"] for row in side} for side in (trained, held)]
    assert not sides[0] & sides[1] and len(sides[0] | sides[1]) == 100
    assert len(trained) + len(held) == 300 and 10 <= len(sides[1]) <= 30
    assert split_rows(rows[::-1], 0.2, 0, 8)[1] == held[::-1]  # by the image alone
    assert split_rows(rows, 0.2, 1, 8)[1] != held
    assert split_rows(rows, 0.0, 0, 8) == (rows, [])


def test_a_share_that_holds_nothing_out_or_leaves_less_than_a_batch_is_an_error() -> None:
    with pytest.raises(R2IError, match="holds 0 rows out and leaves 3"):
        split_rows(train_rows(3), 1e-9, 0, 1)
    with pytest.raises(R2IError, match="a batch is 8"):
        split_rows(train_rows(9), 0.9, 0, 8)


def test_a_best_checkpoint_without_rows_to_choose_by_is_refused() -> None:
    with pytest.raises(ValidationError, match="set validation"):
        Train.model_validate(SMOKE.train.model_dump(exclude={"cluster"}, exclude_none=True) | {"choose": "best"})


def test_of_equal_checkpoints_the_first_is_the_best_and_the_base_is_none() -> None:
    history = [{"step": step, "val_accuracy": value} for step, value in enumerate((0.9, 0.2, 0.5, 0.5))]
    assert best_of(measurements([*history, {"step": 9, "loss": 1.0}])) == (2, 0.5)
    assert [step for step, _ in measurements(history)] == [1, 2, 3]


@pytest.mark.parametrize("name", ["dapo", "sft"])
def test_the_accuracy_in_curve_and_metrics_is_that_of_the_saved_model(tmp_path: Path, name: str) -> None:
    rows = train_rows(16)
    found = run(MINI, tmp_path, name, rows=rows, train=SHARE)["validation"]
    held = split_rows(rows, 0.3, 0, 8)[1]
    assert (found["rows"], found["images"]) == (len(held), len(held)) and 0 < len(held) < 9
    accuracies = [line["val_accuracy"] for line in read_curve(tmp_path / f"{name}.json")]
    assert found["chosen"] == {"by": "last", "step": 2, "val_accuracy": pytest.approx(accuracies[1], abs=1e-6)}
    for folder, value in ((MINI, found["base"]), (tmp_path / name, found["last"])):
        model, processor = load_local(folder)
        assert Validation(held, processor, 8, 4).accuracy(model) == pytest.approx(value)
        assert not model.training


def script(monkeypatch: pytest.MonkeyPatch, values: dict[int, float]) -> None:
    """The accuracy after each step."""

    def on_step_end(self: Validation, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.measured = values[state.global_step] if control.should_save else None

    monkeypatch.setattr(Validation, "accuracy", lambda self, model: 0.125)
    monkeypatch.setattr(Validation, "on_step_end", on_step_end)


@pytest.mark.parametrize("spoiled", [False, True])
def test_the_best_checkpoint_is_the_result_also_where_the_run_was_killed(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoiled: bool
) -> None:
    """It is of step 1, whose checkpoint is gone when the run stops in step 4: two stay. It equals a run of one step."""
    from r2i.train import trl as module

    script(monkeypatch, {1: 0.75, 2: 0.5, 3: 0.75, 4: 0.25})
    rows, best = train_rows(16), SHARE | {"choose": "best"}
    (tmp_path / "short").mkdir()
    run(base, tmp_path / "short", "sft", rows=rows, steps=1, train=SHARE)

    def dying(_: str) -> object:
        def sink(step: int, steps: int, line: Line) -> None:
            if step == 4:
                raise KeyboardInterrupt

        return sink

    with monkeypatch.context() as patch:
        patch.setattr(module, "progress_printer", dying)
        with pytest.raises(KeyboardInterrupt):
            run(base, tmp_path, "sft", rows=rows, steps=4, train=best)
    (workspace,) = (path for path in (tmp_path / ".r2i" / "train").iterdir() if any(path.iterdir()))
    assert sorted(path.name for path in workspace.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-3"]
    if spoiled:
        (workspace / "checkpoint-3" / "best" / "model.safetensors").unlink()
    summary = run(base, tmp_path, "sft", rows=rows, steps=4, train=best)
    chosen = {"by": "best", "step": 1, "val_accuracy": 0.75}
    assert summary["steps"] == 4
    assert summary["validation"] | {"rows": 0, "images": 0} == {
        "rows": 0, "images": 0, "base": 0.125, "last": 0.25, "chosen": chosen,
    }  # fmt: skip
    assert same_model(tmp_path / "sft", tmp_path / "short" / "sft")
    assert [line["val_accuracy"] for line in read_curve(tmp_path / "sft.json")] == [0.75, 0.5, 0.75, 0.25]
    assert json.dumps(summary)
